"""Overviews: compiled cells against the obvious way, and against GDAL's COG driver where sizes stay even."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from conftest import write_tif
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geoseg.tiling.overviews import HALVE, Kind, halved, levels_within, pyramid

KINDS: tuple[Kind, ...] = ("categories", "probability")


def naive(pixels: NDArray[np.uint8], kind: Kind) -> NDArray[np.uint8]:
    """Half the size, cell by cell, in plain Python."""
    out = np.zeros(halved(pixels.shape), np.uint8)
    for row, col in np.ndindex(out.shape):
        known = [int(v) for v in pixels[2 * row : 2 * row + 2, 2 * col : 2 * col + 2].ravel() if v]
        if not known:
            continue
        if kind == "probability":
            out[row, col] = int(sum(known) / len(known) + 0.5)
            continue
        counts: Counter[int] = Counter()
        for value in known:
            counts[value] += 1
            if counts[value] > counts[int(out[row, col])]:
                out[row, col] = value
    return out


@pytest.mark.parametrize("kind", KINDS)
@given(
    height=st.integers(1, 17), width=st.integers(1, 17), top=st.sampled_from([1, 2, 4, 255]), seed=st.integers(0, 99)
)
def test_cells_are_those_of_the_obvious_way(kind: Kind, height: int, width: int, top: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, top, (height, width), np.uint8, endpoint=True)
    np.testing.assert_array_equal(HALVE[kind](pixels), naive(pixels, kind))
    np.testing.assert_array_equal(HALVE[kind](pixels[::-1, ::-1]), naive(pixels[::-1, ::-1], kind))


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_of_even_size_change_nothing(kind: Kind) -> None:
    pixels = np.random.default_rng(1).integers(0, 4, (37, 53), np.uint8)
    whole = HALVE[kind](pixels)
    np.testing.assert_array_equal(HALVE[kind](pixels[:16]), whole[:8])
    np.testing.assert_array_equal(HALVE[kind](pixels[16:, 48:]), whole[8:, 24:])


@pytest.mark.parametrize(("kind", "resampling"), [("categories", "MODE"), ("probability", "AVERAGE")])
def test_levels_are_those_of_gdal_where_sizes_stay_even(tmp_path: Path, kind: Kind, resampling: str) -> None:
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 4 if kind == "categories" else 256, (1024, 2048), np.uint8)
    pixels[100:300, 900:] *= rng.random((200, 1148)) < 0.3  # much nodata, and cells of nothing else
    pixels[500:600] = 0
    source = write_tif(tmp_path / "a.tif", pixels[None], nodata=0)
    rasterio.shutil.copy(
        source, tmp_path / "cog.tif", driver="COG", blocksize=64, compress="DEFLATE", overview_resampling=resampling
    )
    shapes = pyramid(pixels.shape, 64)
    assert len(shapes) == 6
    for level, shape in enumerate(shapes[1:]):
        pixels = HALVE[kind](pixels)
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
