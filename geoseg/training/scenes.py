"""The scene of an entry of the training data."""

from geoseg.scenes.open import open_scene
from geoseg.scenes.reading import open_raster
from geoseg.scenes.scene import Scene
from geoseg.training.data_spec import LabelledScene


def open_labelled(item: LabelledScene) -> Scene:
    """Open the scene of an entry; pixel_m counts where its file has no place."""
    no_crs = False
    if item.pixel_m is not None:
        with open_raster(item.name) as src:
            no_crs = src.crs is None or src.transform.is_identity
    pixel_m = item.pixel_m if no_crs else None
    return open_scene(
        item.scenes, bands=item.bands, sensor=item.sensor, nodata=item.nodata, no_crs=no_crs, pixel_m=pixel_m
    )
