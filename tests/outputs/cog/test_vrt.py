"""The live preview: parts so far as one raster, and what GDAL is told of names and place."""

import shutil
from pathlib import Path

import numpy as np
import rasterio
from make_outputs import GRID, LAYERS, layers_of, write_parts

from geoseg.outputs.cog.vrt import tiff_template, write_parts_vrt
from geoseg.values.box import Box
from geoseg.values.grid import Grid
from geoseg.values.layers import Layer


def test_preview_shows_the_parts_so_far_and_can_be_moved(tmp_path: Path) -> None:
    job = tmp_path / "job"
    parts = write_parts(job / "parts", GRID, layers_of(GRID), chunk_px=512)
    missing = Box(512, 512, 700, 1024)
    parts.pop(missing).unlink()
    write_parts_vrt(job / "parts.vrt", parts, GRID, LAYERS)
    assert sorted(p.name for p in job.iterdir()) == ["parts", "parts.vrt"]
    shutil.move(job, tmp_path / "elsewhere")
    expected = np.stack([layers_of(GRID)[layer.name] for layer in LAYERS])
    expected[(slice(None), *missing.within(GRID.box))] = 0
    with rasterio.open(tmp_path / "elsewhere/parts.vrt") as preview:
        np.testing.assert_array_equal(preview.read(), expected)
        assert preview.descriptions == tuple(layer.name for layer in LAYERS)
        assert preview.nodata == 0
        assert Grid(preview.crs, preview.transform, preview.shape).same_as(GRID)


def test_preview_reads_the_parts_overviews(tmp_path: Path) -> None:
    """Reading at half size takes the parts' own level: what it shows is changed there alone."""
    layers = {"classes": np.ones(GRID.shape, np.uint8)}
    parts = write_parts(tmp_path / "parts", GRID, layers, chunk_px=1024)
    write_parts_vrt(tmp_path / "parts.vrt", parts, GRID, LAYERS[:1])
    for path in parts.values():
        with rasterio.open(path, "r+", overview_level=0, IGNORE_COG_LAYOUT_BREAK="YES") as overview:
            overview.write(np.full((1, *overview.shape), 4, np.uint8))
    with rasterio.open(tmp_path / "parts.vrt") as preview:
        assert np.unique(preview.read(1)).tolist() == [1]
        assert np.unique(preview.read(1, out_shape=(GRID.height // 2, GRID.width // 2))).tolist() == [4]


def test_preview_of_no_parts_is_nodata(tmp_path: Path) -> None:
    write_parts_vrt(tmp_path / "parts.vrt", {}, GRID, LAYERS[:1])
    with rasterio.open(tmp_path / "parts.vrt") as preview:
        assert not preview.read().any()


def test_template_does_not_depend_on_the_size() -> None:
    bands = [Layer("a", "number", description="<&ä>", scale=2.0, offset=1.0, unit="m"), Layer("b", "number")]
    small = tiff_template(Grid(GRID.crs, GRID.transform, (1, 1)), bands, tags={"T": "1"})
    assert small == tiff_template(GRID, bands, tags={"T": "1"})
