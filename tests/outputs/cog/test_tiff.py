"""The bytes before the tiles, as GDAL and rio-cogeo read them."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rio_cogeo.cogeo import cog_validate

from geoseg.outputs.cog.tiff import CLASSIC_LIMIT, FRAME_BYTES, TILE_PX, Level, framed, header
from geoseg.outputs.cog.tiles import decode_tile, encode_tile
from geoseg.outputs.cog.vrt import tiff_template
from geoseg.tiling.overviews import pyramid
from geoseg.values.grid import Grid
from geoseg.values.layers import Layer

CRS_M, PLACE = CRS.from_epsg(32633), Affine(0.5, 0, 5e5, 0, -0.5, 5.4e6)
IDS = Layer("ids", "category")


def template(bands: int) -> bytes:
    return tiff_template(Grid(CRS_M, PLACE, (1, 1)), [Layer(f"band {i}", "category") for i in range(1, bands + 1)])


def levels_of(shape: tuple[int, int], bands: int, size: int) -> list[Level]:
    return [
        Level(s, np.full((bands, -(-s[0] // TILE_PX), -(-s[1] // TILE_PX)), size, np.uint32))
        for s in pyramid(shape, TILE_PX)
    ]


def test_frame_is_what_gdal_documents() -> None:
    assert framed(b"abcdefg") == b"\7\0\0\0abcdefgdefg"
    assert framed(b"") == b""
    assert len(framed(b"12345")) == 5 + FRAME_BYTES


@pytest.mark.parametrize("shape", [(1, 1), (3, 511), (512, 512), (1031, 77), (600, 1201)])
@pytest.mark.parametrize("bands", [1, 3])
def test_tiles_stand_where_the_header_says(tmp_path: Path, shape: tuple[int, int], bands: int) -> None:
    """Every tile holds a number of its own, so one in a wrong place is seen."""
    levels, tiles, number = [], [], 0
    for size in pyramid(shape, TILE_PX):
        counts = (bands, -(-size[0] // TILE_PX), -(-size[1] // TILE_PX))
        made = []
        for _ in range(int(np.prod(counts))):
            number = number % 255 + 1
            made.append(encode_tile(np.full((TILE_PX, TILE_PX), number, np.uint8), IDS))
        levels.append(Level(size, np.reshape([len(t) for t in made], counts).astype(np.uint32)))
        tiles.append(made)
    path = tmp_path / "a.tif"
    path.write_bytes(header(template(bands), levels) + b"".join(framed(t) for made in tiles[::-1] for t in made))
    assert cog_validate(path, strict=True, quiet=True)[0]
    number = 0
    for level in range(-1, len(levels) - 1):
        with rasterio.open(path, **({} if level < 0 else {"overview_level": level})) as image:
            assert image.shape == levels[level + 1].shape
            for band in image.indexes:
                for _, window in image.block_windows(band):
                    number = number % 255 + 1
                    assert (image.read(band, window=window) == number).all()


def test_empty_tiles_are_not_stored_and_read_as_nodata(tmp_path: Path) -> None:
    tile = encode_tile(np.full((TILE_PX, TILE_PX), 7, np.uint8), IDS)
    sizes = np.array([[[0, len(tile)], [0, 0]]], np.uint32)
    small = encode_tile(np.full((TILE_PX, TILE_PX), 9, np.uint8), IDS)
    levels = [Level((1024, 1024), sizes), Level((512, 512), np.array([[[len(small)]]], np.uint32))]
    path = tmp_path / "a.tif"
    path.write_bytes(header(template(1), levels) + framed(small) + framed(tile))
    assert cog_validate(path, strict=True, quiet=True)[0]
    with rasterio.open(path) as image:
        expected = np.zeros((1024, 1024), np.uint8)
        expected[:512, 512:] = 7
        np.testing.assert_array_equal(image.read(1), expected)
        assert not image.read_masks(1)[600:].any()


def test_bigtiff_only_where_offsets_need_it(tmp_path: Path) -> None:
    """A file of more than 4 GB, of which only one tile is there: the last, beyond what 32 bits can say."""
    tile = encode_tile(np.full((TILE_PX, TILE_PX), 3, np.uint8), IDS)
    levels = levels_of((20480, 20480), 1, 3_000_000)
    levels[0].sizes[0, -1, -1] = len(tile)
    head = header(template(1), levels)
    assert head[:4] == b"II+\0"
    path = tmp_path / "big.tif"
    end = len(head) + sum(int(level.stored.sum()) for level in levels)
    assert end > CLASSIC_LIMIT
    with path.open("wb") as file:
        file.write(head)
        file.seek(end - len(framed(tile)))
        file.write(framed(tile))  # a hole lies before it: the file takes no room
    assert cog_validate(path, strict=True, quiet=True)[0]
    with rasterio.open(path) as image:
        window = ((20480 - 512, 20480), (20480 - 512, 20480))
        assert (image.read(1, window=window) == 3).all()
        assert image.crs == CRS_M
        assert image.descriptions == ("band 1",)


def test_the_limit_of_classic_tiff_is_met_exactly() -> None:
    room = CLASSIC_LIMIT - len(header(template(1), levels_of((512, 512), 1, 100))) - FRAME_BYTES
    assert header(template(1), levels_of((512, 512), 1, room))[:4] == b"II*\0"
    assert header(template(1), levels_of((512, 512), 1, room + 1))[:4] == b"II+\0"


def test_template_must_be_a_classic_tiff() -> None:
    with pytest.raises(ValueError, match="classic"):
        header(b"II+\0" + bytes(100), levels_of((10, 10), 1, 9))


def test_tiles_come_back() -> None:
    rng = np.random.default_rng(0)
    for shape in [(1, 1), (512, 512), (37, 500)]:
        pixels = rng.integers(0, 256, shape, np.uint8)
        whole = decode_tile(encode_tile(pixels, IDS), IDS)
        np.testing.assert_array_equal(whole[: shape[0], : shape[1]], pixels)
        assert whole.sum() == pixels.sum()  # nodata beside it
    assert encode_tile(np.zeros((9, 9), np.uint8), IDS) == b""
    assert not decode_tile(b"", IDS).any()
