"""Assembly: the tiles of all parts of a scene, copied as they are into one GeoTIFF."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import OutputError
from geoseg.outputs.cog.parts import StoredPart
from geoseg.outputs.cog.tiff import TILE_PX, Level, header
from geoseg.outputs.cog.tiles import LayerEncoder, TileRow, decode_row, level_of
from geoseg.tiling.overviews import halved_layer, pyramid
from geoseg.values.box import Box
from geoseg.values.grid import Grid
from geoseg.values.layers import Layer, Pixels

_AGAIN = "start the job over with --overwrite"


@dataclass(frozen=True, slots=True, eq=False)
class Mosaic:
    """The parts of a scene, by row and column of chunks, and how many of their levels are whole tiles of the scene."""

    shape: tuple[int, int]
    parts: tuple[tuple[StoredPart, ...], ...]
    levels: int

    @classmethod
    def open(cls, parts: Mapping[Box, Path], grid: Grid) -> Self:
        """Read the index of every part; raises OutputError where one is damaged, or where they do not fit together."""
        rows, cols = _chunk_rows_and_cols(parts, grid)
        opened = tuple(tuple(_open(Box(row0, col0, row1, col1), parts) for col0, col1 in cols) for row0, row1 in rows)
        levels = min(len(part.rows) for line in opened for part in line)
        levels = min(levels, len(pyramid(grid.shape, TILE_PX)))
        if any(start % (TILE_PX << (levels - 1)) for start, _ in (*rows, *cols)):
            raise OutputError(f"parts do not start at whole tiles of their {levels} levels; {_AGAIN}")
        return cls(grid.shape, opened, levels)

    def sizes(self, level: int, band: int) -> NDArray[np.uint32]:
        """Return the sizes of a band's tiles, (rows, columns); bands count from 0."""
        lines = [
            np.hstack([np.array([row.sizes for row in part.rows[level][band]], np.uint32) for part in line])
            for line in self.parts
        ]
        return np.vstack(lines)

    def tile_rows(self, level: int, band: int) -> Iterator[list[TileRow]]:
        """Yield the band's rows of tiles from top to bottom, in pieces from left to right; each is checked."""
        for line in self.parts:
            for index in range(len(line[0].rows[level][band])):
                yield [part.rows[level][band][index].read(part.path) for part in line]


def _chunk_rows_and_cols(parts: Mapping[Box, Path], grid: Grid) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return [start, stop) of the rows and columns of chunks; raises OutputError where a cell is missing or doubled."""
    rows = sorted({(box.row0, box.row1) for box in parts})
    cols = sorted({(box.col0, box.col1) for box in parts})
    whole = all(
        [start for start, _ in spans] + [size] == [0] + [stop for _, stop in spans]
        for spans, size in ((rows, grid.height), (cols, grid.width))
    )
    if not whole or len(parts) != len(rows) * len(cols):
        raise OutputError(
            f"{len(parts)} parts do not cover the scene's {grid.height} x {grid.width} pixels exactly once; {_AGAIN}"
        )
    return rows, cols


def _open(box: Box, parts: Mapping[Box, Path]) -> StoredPart:
    part = StoredPart.open(parts[box])
    if part.shape != box.shape:
        raise OutputError(f"{part.path}: holds {part.shape} pixels, not those of {box}; {_AGAIN}")
    return part


def write_cog(path: Path, mosaic: Mosaic, *, bands: Mapping[int, Layer], template: bytes) -> None:
    """Write layers of the parts, by their position in them, as a cloud-optimised GeoTIFF, and read it back.

    The parts' levels are copied, smaller ones are built from the last of them, a row of tiles at a time: beside the
    index of the parts and the built tiles, memory grows with the width of the scene alone. template: see ``header``.
    Raises OutputError where a part is damaged or the file reads back differently.
    """
    shapes = pyramid(mosaic.shape, TILE_PX)
    copied = [
        Level(shape, np.stack([mosaic.sizes(index, band) for band in bands]))
        for index, shape in enumerate(shapes[: mosaic.levels])
    ]
    built = _build(mosaic, shapes[mosaic.levels :], bands)
    smaller = [level_of(shape, level) for shape, level in zip(shapes[mosaic.levels :], built, strict=True)]
    head = TileRow.of((), header(template, [*copied, *smaller]))
    written = []
    with path.open("wb") as file:
        for row in chain([head], _rows(mosaic, built, bands)):
            file.write(row.data)
            written.append((len(row.data), row.sha256))
    with path.open("rb") as file:
        if any(hashlib.sha256(file.read(length)).hexdigest() != sha256 for length, sha256 in written):
            raise OutputError(f"{path.name}: what was written reads back differently; check the disk, then run again")


Built = list[list[list[TileRow]]]  # by level, band and row


def _build(mosaic: Mosaic, shapes: Sequence[tuple[int, int]], bands: Mapping[int, Layer]) -> Built:
    """Return the tiles of the levels that follow the parts' last one."""
    if not shapes:
        return []
    by_band = []
    for band, layer in bands.items():
        encoder = LayerEncoder(shapes[0], layer, len(shapes) - 1)
        for pixels in _strips(mosaic, band, layer):
            encoder.add(halved_layer(pixels, layer))
        by_band.append(encoder.finish())
    return [list(level) for level in zip(*by_band, strict=True)]


def _strips(mosaic: Mosaic, band: int, layer: Layer) -> Iterator[Pixels]:
    """Yield the pixels of the parts' last level, a row of tiles at a time."""
    last = mosaic.levels - 1
    height, width = pyramid(mosaic.shape, TILE_PX)[last]
    for index, pieces in enumerate(mosaic.tile_rows(last, band)):
        yield np.hstack([decode_row(piece, layer) for piece in pieces])[: height - index * TILE_PX, :width]


def _rows(mosaic: Mosaic, built: Built, bands: Iterable[int]) -> Iterator[TileRow]:
    """Yield all rows of tiles in the order of the file: the smallest level first, then by band, row and column."""
    for level in reversed(built):
        yield from chain(*level)
    for index in reversed(range(mosaic.levels)):
        for band in bands:
            yield from chain.from_iterable(mosaic.tile_rows(index, band))
