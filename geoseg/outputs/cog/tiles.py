"""Tiles: the pixels of a layer, handed over from top to bottom, as compressed tiles of all its levels.

Deflate, because everything reads it, and horizontal differences (TIFF's predictors 2 and 3).
On the demo's outputs they take 1 % off classes and 9 to 16 % off probabilities, which are the bulk; very noisy classes
become 10 % larger.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, Self

import numpy as np

from geoseg.outputs.cog.tiff import FRAME_BYTES, TILE_PX, Level, framed
from geoseg.tiling.overviews import halved, halved_layer
from geoseg.values.layers import PREDICTOR, Dtype, Layer, Pixels

Each = Callable[[Callable[[Pixels], bytes], Iterable[Pixels]], Iterable[bytes]]  # map, or that of a pool of threads


@dataclass(frozen=True, slots=True)
class TileRow:
    """A row of tiles of one band: the bytes of each tile, 0 for one of nodata alone, what is stored, its sha256."""

    sizes: tuple[int, ...]
    data: bytes
    sha256: str

    @classmethod
    def of(cls, sizes: tuple[int, ...], data: bytes) -> Self:
        """Return the row that these tiles, framed, make."""
        return cls(sizes, data, hashlib.sha256(data).hexdigest())


class Sized(Protocol):
    """Anything that knows the sizes of the tiles of a row."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of each tile."""
        ...


def level_of(shape: tuple[int, int], bands: Sequence[Sequence[Sized]]) -> Level:
    """Return the level of an image of (height, width) that is made of these rows of tiles, by band and row."""
    return Level(shape, np.array([[row.sizes for row in band] for band in bands], np.uint32))


def encode_tile(pixels: Pixels, layer: Layer) -> bytes:
    """Return pixels (h, w) of at most one tile, compressed; nothing where all of them are nodata."""
    if layer.is_nodata(pixels).all():
        return b""
    tile = layer.blank((TILE_PX, TILE_PX))
    tile[: pixels.shape[0], : pixels.shape[1]] = pixels
    how = layer.treatment
    deflate = zlib.compressobj(how.deflate, strategy=zlib.Z_RLE if how.run_lengths else zlib.Z_DEFAULT_STRATEGY)
    return deflate.compress(_differences(tile, layer.dtype)) + deflate.flush()


def _differences(tile: Pixels, dtype: Dtype) -> bytes:
    """Return a tile as its TIFF predictor has it: each value, or byte of floats, less the one to its left."""
    if PREDICTOR[dtype] == 3:
        planes = tile.astype(">f4").view(np.uint8).reshape(TILE_PX, TILE_PX, -1)  # the highest byte first
        tile = np.ascontiguousarray(planes.transpose(0, 2, 1)).reshape(TILE_PX, -1)
    tile[:, 1:] -= tile[:, :-1].copy()  # type: ignore[misc]
    return tile.astype(tile.dtype.newbyteorder("<"), copy=False).tobytes()


def decode_tile(tile: bytes, layer: Layer) -> Pixels:
    """Return the (TILE_PX, TILE_PX) pixels of a compressed tile."""
    if not tile:
        return layer.blank((TILE_PX, TILE_PX))
    floats = PREDICTOR[layer.dtype] == 3
    stored = np.dtype(np.uint8 if floats else layer.dtype)
    differences = np.frombuffer(zlib.decompress(tile), stored.newbyteorder("<")).reshape(TILE_PX, -1)
    values = np.cumsum(differences, axis=1, dtype=stored)
    if floats:
        planes = values.reshape(TILE_PX, -1, TILE_PX).transpose(0, 2, 1)
        return np.ascontiguousarray(planes).view(">f4")[..., 0].astype(layer.dtype)
    return values


def encode_row(pixels: Pixels, layer: Layer, each: Each = map) -> TileRow:
    """Return pixels (h, w) of at most TILE_PX rows as a row of tiles; each: what compresses them, in order."""
    columns = [pixels[:, col : col + TILE_PX] for col in range(0, pixels.shape[1], TILE_PX)]
    tiles = list(each(partial(encode_tile, layer=layer), columns))
    return TileRow.of(tuple(map(len, tiles)), b"".join(map(framed, tiles)))


def decode_row(row: TileRow, layer: Layer, cols: slice = slice(None)) -> Pixels:
    """Return the pixels of a row of tiles, (TILE_PX, tiles x TILE_PX): what hangs over the image's edge is nodata.

    cols: those of its tiles that are wanted.
    """
    return np.hstack([decode_tile(tile, layer) for tile in list(_unframed(row))[cols]])


def _unframed(row: TileRow) -> Iterator[bytes]:
    at = 0
    for size in row.sizes:
        yield row.data[at + 4 : at + 4 + size]
        at += size + FRAME_BYTES if size else 0


class LayerEncoder:
    """Takes the rows of a layer from top to bottom, and gives the rows of tiles of its ``overviews`` + 1 levels.

    Holds, beside compressed tiles, TILE_PX rows of pixels a level: less than 2 x TILE_PX x width pixels together.
    """

    def __init__(self, shape: tuple[int, int], layer: Layer, overviews: int, each: Each = map) -> None:
        self.shape = shape
        self._layer, self._each = layer, each
        self._done: list[TileRow] = []
        self._taken = 0
        self._pending: Pixels = np.empty((min(TILE_PX, shape[0]), shape[1]), layer.dtype)
        self._smaller = LayerEncoder(halved(shape), layer, overviews - 1, each) if overviews else None

    def add(self, rows: Pixels) -> None:
        """Take the next rows (n, width), any number of them; raises ValueError at more than there are."""
        height, width = self.shape
        if rows.shape[1] != width or self._taken + len(rows) > height:
            raise ValueError(f"rows {rows.shape} after row {self._taken} of {height} x {width} pixels")
        while len(rows):
            at = self._taken % TILE_PX
            now, rows = rows[: TILE_PX - at], rows[TILE_PX - at :]
            self._pending[at : at + len(now)] = now
            self._taken += len(now)
            if self._taken % TILE_PX == 0 or self._taken == height:
                self._encode(self._pending[: at + len(now)])

    def _encode(self, pixels: Pixels) -> None:
        row = encode_row(pixels, self._layer, self._each)
        self._done.append(row)
        if self._smaller is not None:
            blank = self._layer.blank(halved(pixels.shape))
            self._smaller.add(halved_layer(pixels, self._layer) if any(row.sizes) else blank)

    def finish(self) -> list[list[TileRow]]:
        """Return the rows of tiles of each level, largest first; raises ValueError where rows are missing."""
        if self._taken != self.shape[0]:
            raise ValueError(f"{self._taken} of {self.shape[0]} rows were given")
        return [self._done] + (self._smaller.finish() if self._smaller else [])
