"""Overviews: compiled cells against the obvious way, and against GDAL's COG driver where sizes stay even."""

from collections import Counter
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from conftest import write_tif
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geoseg.tiling.overviews import halved, halved_layer, levels_within, pyramid
from geoseg.values.layers import Layer

LAYERS = (
    Layer("a", "category"),
    Layer("b", "probability"),
    Layer("c", "ids", dtype="uint32", nodata=2**32 - 1),
    Layer("d", "number", dtype="uint16", nodata=65535),
    Layer("e", "number", dtype="int16", nodata=-3),
    Layer("f", "number", dtype="uint32"),
    Layer("g", "number", dtype="float32", nodata=float("nan")),
)


def pixels_of(layer: Layer, shape: tuple[int, int], *, top: int, seed: int) -> NDArray[np.generic]:
    """Numbers around or below the layer's nodata, which is among them."""
    drawn = np.random.default_rng(seed).integers(0, top, shape, endpoint=True)
    if np.isnan(layer.nodata):
        return np.where(drawn == 0, np.nan, drawn / 7).astype(np.float32)
    return (int(layer.nodata) + (-drawn if layer.nodata > 2**15 else drawn)).astype(layer.dtype)


def naive(pixels: NDArray[np.generic], layer: Layer) -> NDArray[np.generic]:
    """Half the size, cell by cell, in plain Python."""
    out = layer.blank(halved(pixels.shape))
    for row, col in np.ndindex(out.shape):
        cell = pixels[2 * row : 2 * row + 2, 2 * col : 2 * col + 2].ravel()
        known = [v.item() for v in cell[~layer.is_nodata(cell)]]
        if not known:
            continue
        if layer.kind in {"probability", "number"}:
            mean = Fraction(sum(known)) / len(known) if layer.dtype != "float32" else sum(known) / len(known)
            out[row, col] = mean if layer.dtype == "float32" else floor(mean + Fraction(1, 2))
            continue
        counts: Counter[int] = Counter()
        for value in known:
            counts[value] += 1
            if counts[value] > counts[out[row, col].item()]:
                out[row, col] = value
    return out


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: f"{layer.dtype} {layer.kind}")
@given(
    height=st.integers(1, 17), width=st.integers(1, 17), top=st.sampled_from([1, 2, 4, 255]), seed=st.integers(0, 99)
)
def test_cells_are_those_of_the_obvious_way(layer: Layer, height: int, width: int, top: int, seed: int) -> None:
    pixels = pixels_of(layer, (height, width), top=top, seed=seed)
    np.testing.assert_array_equal(halved_layer(pixels, layer), naive(pixels, layer))
    np.testing.assert_array_equal(halved_layer(pixels[::-1, ::-1], layer), naive(pixels[::-1, ::-1], layer))


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: f"{layer.dtype} {layer.kind}")
def test_chunks_of_even_size_change_nothing(layer: Layer) -> None:
    pixels = pixels_of(layer, (37, 53), top=4, seed=1)
    whole = halved_layer(pixels, layer)
    np.testing.assert_array_equal(halved_layer(pixels[:16], layer), whole[:8])
    np.testing.assert_array_equal(halved_layer(pixels[16:, 48:], layer), whole[8:, 24:])


@pytest.mark.parametrize("layer", LAYERS[:2], ids=lambda layer: layer.kind)
def test_levels_are_those_of_gdal_where_sizes_stay_even(tmp_path: Path, layer: Layer) -> None:
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 4 if layer.kind == "category" else 256, (1024, 2048), np.uint8)
    pixels[100:300, 900:] *= rng.random((200, 1148)) < 0.3  # much nodata, and cells of nothing else
    pixels[500:600] = 0
    source = write_tif(tmp_path / "a.tif", pixels[None], nodata=0)
    rasterio.shutil.copy(
        source,
        tmp_path / "cog.tif",
        driver="COG",
        blocksize=64,
        compress="DEFLATE",
        overview_resampling=layer.treatment.resampling,
    )
    shapes = pyramid(pixels.shape, 64)
    assert len(shapes) == 6
    for level, shape in enumerate(shapes[1:]):
        pixels = halved_layer(pixels, layer)
        assert pixels.shape == shape
        with rasterio.open(tmp_path / "cog.tif", overview_level=level) as overview:
            np.testing.assert_array_equal(overview.read(1), pixels)


def test_sizes_are_rounded_up() -> None:
    assert pyramid((1, 1), 512) == ((1, 1),)
    assert pyramid((512, 512), 512) == ((512, 512),)
    assert pyramid((3, 1025), 512) == ((3, 1025), (2, 513), (1, 257))


@pytest.mark.parametrize("chunk_px", [0, 100, 513])
def test_chunks_that_are_not_whole_tiles_are_refused(chunk_px: int) -> None:
    with pytest.raises(ValueError, match="whole tiles"):
        levels_within(chunk_px, 512)
