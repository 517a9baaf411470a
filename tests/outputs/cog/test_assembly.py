"""The COG of all parts against naive arrays at any size, and against GDAL's COG driver where sizes stay even."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from conftest import write_tif
from make_outputs import LAYERS, layers_of, write_parts
from numpy.typing import NDArray
from rasterio.crs import CRS
from rio_cogeo.cogeo import cog_validate

from geoseg.errors import OutputError
from geoseg.outputs.check import cog_faults
from geoseg.outputs.cog.cog import assemble
from geoseg.outputs.cog.parts import PartEncoder, write_part
from geoseg.tiling.overviews import halved_layer, pyramid
from geoseg.values.box import Box
from geoseg.values.grid import Grid
from geoseg.values.layers import Layer

CLASS_BAND, PROBABILITIES = {0: LAYERS[0]}, {1: LAYERS[1], 2: LAYERS[2]}


def grid_of(shape: tuple[int, int]) -> Grid:
    return Grid(CRS.from_epsg(32633), Affine(0.5, 0, 5e5, 0, -0.5, 5.4e6), shape)


def assert_levels(path: Path, layers: list[NDArray[np.generic]], of: Layer) -> None:
    """All levels of a file equal the pixels, halved again and again as whole arrays."""
    assert cog_faults(path) == []
    if layers[0].shape[1] > 1:  # rio-cogeo takes the overviews of a file one pixel wide for none, GDAL's own too
        assert cog_validate(path, strict=True, quiet=True)[0]
    for level in range(-1, len(pyramid(layers[0].shape, 512)) - 1):
        with rasterio.open(path, **({} if level < 0 else {"overview_level": level})) as image:
            np.testing.assert_array_equal(image.read(), layers)
        layers = [halved_layer(layer, of) for layer in layers]
    with rasterio.open(path) as image:
        assert len(image.overviews(1)) == len(pyramid(image.shape, 512)) - 1


@pytest.mark.parametrize(
    ("shape", "chunk_px"),
    [
        ((1, 1), 512),
        ((37, 509), 512),
        ((512, 512), 512),
        ((523, 1031), 512),
        ((1031, 2053), 1024),
        ((1025, 513), 1024),  # the last chunks are one pixel high or wide
        ((2053, 1543), 2048),
        ((3001, 2003), 512),
        ((1, 3000), 1024),
        ((3000, 1), 512),
        ((1100, 1600), 1536),  # chunks of an odd number of tiles have no level that is whole tiles
    ],
)
def test_every_level_equals_naive_arrays_at_any_size(tmp_path: Path, shape: tuple[int, int], chunk_px: int) -> None:
    grid = grid_of(shape)
    layers = layers_of(grid)
    layers["classes"][: shape[0] // 2, shape[1] // 2 :] = 0
    parts = write_parts(tmp_path / "parts", grid, layers, chunk_px=chunk_px)
    assemble(parts, grid, CLASS_BAND, tmp_path / "c.tif", tags={})
    assert_levels(tmp_path / "c.tif", [layers["classes"]], LAYERS[0])
    assemble(parts, grid, PROBABILITIES, tmp_path / "p.tif", tags={})
    assert_levels(tmp_path / "p.tif", [layers["confidence"], layers["probability_building"]], LAYERS[1])


@pytest.mark.parametrize(("band", "resampling"), [(0, "MODE"), (1, "AVERAGE")])
def test_pixels_of_all_levels_are_gdal_s_at_powers_of_two(tmp_path: Path, band: int, resampling: str) -> None:
    grid = grid_of((2048, 4096))
    layers = layers_of(grid)
    parts = write_parts(tmp_path / "parts", grid, layers, chunk_px=1024)
    assemble(parts, grid, {band: LAYERS[band]}, tmp_path / "ours.tif", tags={})
    source = write_tif(tmp_path / "plain.tif", layers[LAYERS[band].name][None], nodata=0)
    rasterio.shutil.copy(source, tmp_path / "gdal.tif", driver="COG", blocksize=512, overview_resampling=resampling)
    for level in range(-1, 3):
        options = {} if level < 0 else {"overview_level": level}
        with (
            rasterio.open(tmp_path / "ours.tif", **options) as ours,
            rasterio.open(tmp_path / "gdal.tif", **options) as gdal,
        ):
            np.testing.assert_array_equal(ours.read(), gdal.read())
            assert ours.shape == gdal.shape


def test_scene_of_nodata_alone_is_a_sound_file(tmp_path: Path) -> None:
    grid = grid_of((1500, 700))
    parts = write_parts(tmp_path / "parts", grid, {"classes": np.zeros(grid.shape, np.uint8)}, chunk_px=512)
    assemble(parts, grid, CLASS_BAND, tmp_path / "c.tif", tags={})
    assert_levels(tmp_path / "c.tif", [np.zeros(grid.shape, np.uint8)], LAYERS[0])
    assert (tmp_path / "c.tif").stat().st_size < 8000


def test_parts_must_lie_on_whole_tiles_and_fit_their_boxes(tmp_path: Path) -> None:
    grid = grid_of((600, 600))
    ones = {"classes": np.ones((600, 300), np.uint8)}
    halves = {}
    for col in (0, 300):
        box = Box(0, col, 600, col + 300)
        halves[box] = tmp_path / f"{col}.tif"
        encoder = PartEncoder(box.shape, LAYERS[:1], overviews=0)
        encoder.add(ones)
        write_part(halves[box], encoder.finish(), grid=grid.crop(box), record={})
    with pytest.raises(OutputError, match="whole tiles"):
        assemble(halves, grid, CLASS_BAND, tmp_path / "c.tif", tags={})
    with pytest.raises(OutputError, match=r"0\.tif: holds \(600, 300\) pixels"):
        assemble({grid.box: tmp_path / "0.tif"}, grid, CLASS_BAND, tmp_path / "c.tif", tags={})
