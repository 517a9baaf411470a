"""The configs of the field's jobs learn a toy each: bands, indices, target and loss fit together."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from geoseg.config.load import load_config
from geoseg.models.spec import Architecture
from geoseg.training.loop import fit
from geoseg.training.samples import load_samples

CONFIGS = Path(__file__).parents[2] / "configs"
SIDE, BLOCK = 256, 16
BANDS = {
    "flood": ("blue", "green", "red", "nir", "swir16"),
    "forest_loss": ("red", "nir", "swir16"),
    "fields": ("blue", "green", "red", "nir"),
    "weeds": ("red", "green", "blue"),
    "plant_counts": ("red", "green", "blue"),
}
KINDS = {"flood": "water", "forest_loss": "loss", "fields": "field"}


def write(path, pixels, pixel_m, names=()):
    place = {"crs": "EPSG:32645", "transform": Affine(pixel_m, 0, 3e5, 0, -pixel_m, 3.06e6)}
    count, height, width = pixels.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype="uint8", **place
    ) as dst:
        dst.write(pixels.astype(np.uint8))
        for i, name in enumerate(names, 1):
            dst.set_band_description(i, name)


def make(folder, name, pixel_m):
    """Write a scene of squares that are brighter than what is around, and labels as the config wants them."""
    made = np.random.default_rng(0)
    squares = made.random((SIDE // BLOCK, SIDE // BLOCK)) < 0.3
    mask = squares.repeat(BLOCK, 0).repeat(BLOCK, 1)
    dark, bright = (made.normal(80, 8, (len(BANDS[name]), SIDE, SIDE)) + 70 * m for m in (0 * mask, mask))
    where = [(c * BLOCK * pixel_m, r * BLOCK * pixel_m) for r, c in np.argwhere(squares)]
    size = BLOCK * pixel_m
    boxes = [shapely.box(3e5 + x, 3.06e6 - y - size, 3e5 + x + size, 3.06e6 - y) for x, y in where]
    if name == "forest_loss":
        write(folder / "before.tif", dark, pixel_m, BANDS[name])
    images = {"forest_loss": "after.tif", "weeds": "field.tif", "plant_counts": "field.tif"}
    write(folder / images.get(name, "scene.tif"), bright, pixel_m, BANDS[name])
    if name == "weeds":
        write(folder / "plants.tif", (mask * (1 + (np.arange(SIDE) > SIDE // 2)))[None], pixel_m)
        return
    shapes = [b.centroid for b in boxes] if name == "plant_counts" else boxes
    files = {"flood": "water", "forest_loss": "loss", "fields": "fields", "plant_counts": "plants"}
    frame = gpd.GeoDataFrame({"kind": [KINDS.get(name, "")] * len(shapes)}, geometry=shapes, crs="EPSG:32645")
    frame.to_file(folder / f"{files[name]}.gpkg")


@pytest.mark.slow
@pytest.mark.parametrize("name", BANDS)
def test_a_config_of_the_field_learns_a_toy(tmp_path, name):
    config = load_config(CONFIGS / f"train_{name}.yaml", changes={"data_folder": str(tmp_path)})
    make(tmp_path, name, config.gsd_m)
    schedule = config.schedule.model_copy(
        update={"epochs": 2, "steps_per_epoch": 15, "batch": 2, "crop_px": 32, "learning_rate": 0.01, "patience": 9}
    )
    small = Architecture(name="compact-unet", options={"widths": [6, 8]})
    split = config.split.model_copy(update={"side_m": 32 * config.gsd_m, "buffer_m": 0})
    spec = config.spec.model_copy(update={"schedule": schedule, "arch": small, "split": split})
    fitted = fit(spec, load_samples(spec))
    first, last = fitted.epochs[0].train_loss, fitted.epochs[-1].train_loss
    assert last < first
    assert fitted.spec.classes[-1].name in ("water", "loss", "field", "weed", "plant")
