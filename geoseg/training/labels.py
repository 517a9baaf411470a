"""Label files to raw labels on a given grid: polygons, or a raster on a grid of its own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
import shapely
from rasterio.warp import Resampling, reproject

from geoseg.errors import InputError
from geoseg.scenes.labelled import burn
from geoseg.scenes.no_raster import RASTERS
from geoseg.scenes.polygons import read_polygons
from geoseg.training.spec import LabelledScene
from geoseg.training.targets import UNKNOWN, BuildingTarget, ClassTarget, Raw
from geoseg.values.box import Box
from geoseg.values.grid import Grid


def open_labels(data: LabelledScene, target: BuildingTarget | ClassTarget, grid: Grid) -> Callable[[Box], Raw]:
    """Return what draws the raw labels of ``data`` in a box of ``grid``: (H, W) int32, UNKNOWN where nothing is known.

    A pixel belongs to the polygon that holds its centre; invalid polygons fill by the even-odd rule, as drawn. A file
    without polygons says that nothing is there. Raises InputError where all labels lie beside the scene.
    """
    void = None if data.ignore is None else read_polygons(data.ignore, layer=None, grid=grid).geometry.values
    drawn = _raster(data, target, grid) if is_raster(data.labels) else _polygons(data, target, grid)

    def labels(box: Box) -> Raw:
        raw = drawn(box)
        if void is not None:
            raw[burn(void, [1] * len(void), grid.crop(box)) > 0] = UNKNOWN
        return raw

    return labels


def _polygons(data: LabelledScene, target: BuildingTarget | ClassTarget, grid: Grid) -> Callable[[Box], Raw]:
    frame = read_polygons(data.labels, layer=data.layer, grid=grid)
    if len(frame) and not shapely.box(*frame.total_bounds).intersects(shapely.box(*grid.bounds)):
        raise InputError(
            f"{data.labels}: no polygon lies on the scene {data.scene}; is it the right file, the right CRS?"
        )
    return lambda box: target.burn(frame, grid.crop(box), source=data.labels)


def _raster(data: LabelledScene, target: BuildingTarget | ClassTarget, grid: Grid) -> Callable[[Box], Raw]:
    values = _read_raster(data, grid)
    return lambda box: target.of_raster(values[box.within(grid.box)], source=data.labels)


def is_raster(path: str) -> bool:
    """Whether a label file is a raster, by its suffix."""
    return Path(path).suffix.lower() in RASTERS


def _read_raster(data: LabelledScene, grid: Grid) -> Raw:
    """Return the nearest values of a label raster's first band on ``grid``, UNKNOWN where it says nothing."""
    try:
        with rasterio.open(data.labels) as source:
            if source.count != 1 or not np.issubdtype(np.dtype(source.dtypes[0]), np.integer):
                raise InputError(
                    f"{data.labels}: {source.count} bands of {source.dtypes[0]}; labels are one band of whole numbers"
                )
            values = source.read(1).astype(np.int32)
            values[source.read_masks(1) == 0] = UNKNOWN
            out = np.full(grid.shape, UNKNOWN, np.int32)
            reproject(
                values, out, src_transform=source.transform, src_crs=source.crs or grid.crs, src_nodata=UNKNOWN,
                dst_transform=grid.transform, dst_crs=grid.crs, dst_nodata=UNKNOWN, resampling=Resampling.nearest,
            )  # fmt: skip
    except rasterio.errors.RasterioError as error:
        raise InputError(f"{data.labels}: cannot be read as a raster of labels ({error})") from error
    if (out == UNKNOWN).all():
        raise InputError(
            f"{data.labels}: no pixel lies on the scene {data.scene}; is it the right file, the right CRS?"
        )
    return out
