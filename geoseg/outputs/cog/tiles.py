"""Tiles: the pixels of a layer, handed over from top to bottom, as compressed tiles of all its levels.

Deflate, because everything reads it, and horizontal differences (predictor 2), which all bands of a part must share.
On the demo's outputs they take 1 % off classes and 9 to 16 % off probabilities, which are the bulk; very noisy classes
become 10 % larger.
"""

import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from geoseg.outputs.cog.tiff import FRAME_BYTES, TILE_PX, Level, framed
from geoseg.tiling.overviews import HALVE, Kind, Pixels, halved

# zlib's level and strategy. Demo outputs, one core: classes take 30 % less at level 6 than at 4, at 172 Mpx/s.
# Probabilities are noise to a search for repetitions: run lengths alone make them 2 % larger than level 4 does, at
# twice the speed (125 against 60 Mpx/s); level 6 makes them 4 % smaller, at 25 Mpx/s.
DEFLATE: Mapping[Kind, tuple[int, int]] = {
    "categories": (6, zlib.Z_DEFAULT_STRATEGY),
    "probability": (4, zlib.Z_RLE),
}


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


def encode_tile(pixels: Pixels, kind: Kind) -> bytes:
    """Return pixels (h, w) of at most one tile, compressed; nothing where all of them are nodata."""
    if not pixels.any():
        return b""
    tile = np.zeros((TILE_PX, TILE_PX), np.uint8)
    tile[: pixels.shape[0], : pixels.shape[1]] = pixels
    tile[:, 1:] -= tile[:, :-1].copy()
    level, strategy = DEFLATE[kind]
    deflate = zlib.compressobj(level, strategy=strategy)
    return deflate.compress(tile) + deflate.flush()


def decode_tile(tile: bytes) -> Pixels:
    """Return the (TILE_PX, TILE_PX) pixels of a compressed tile."""
    differences = np.frombuffer(zlib.decompress(tile), np.uint8) if tile else np.zeros(TILE_PX**2, np.uint8)
    return np.cumsum(differences.reshape(TILE_PX, TILE_PX), axis=1, dtype=np.uint8)


def encode_row(pixels: Pixels, kind: Kind) -> TileRow:
    """Return pixels (h, w) of at most TILE_PX rows as a row of tiles."""
    tiles = [encode_tile(pixels[:, col : col + TILE_PX], kind) for col in range(0, pixels.shape[1], TILE_PX)]
    return TileRow.of(tuple(map(len, tiles)), b"".join(map(framed, tiles)))


def decode_row(row: TileRow) -> Pixels:
    """Return the pixels of a row of tiles, (TILE_PX, tiles x TILE_PX): what hangs over the image's edge is nodata."""
    return np.hstack([decode_tile(tile) for tile in _unframed(row)])


def _unframed(row: TileRow) -> Iterator[bytes]:
    at = 0
    for size in row.sizes:
        yield row.data[at + 4 : at + 4 + size]
        at += size + FRAME_BYTES if size else 0


class LayerEncoder:
    """Takes the rows of a layer from top to bottom, and gives the rows of tiles of its ``overviews`` + 1 levels.

    Holds, beside compressed tiles, TILE_PX rows of pixels a level: less than 2 x TILE_PX x width bytes together.
    """

    def __init__(self, shape: tuple[int, int], kind: Kind, overviews: int) -> None:
        self.shape = shape
        self._kind = kind
        self._done: list[TileRow] = []
        self._taken = 0
        self._pending = np.empty((min(TILE_PX, shape[0]), shape[1]), np.uint8)
        self._smaller = LayerEncoder(halved(shape), kind, overviews - 1) if overviews else None

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
        self._done.append(encode_row(pixels, self._kind))
        if self._smaller is not None:
            self._smaller.add(HALVE[self._kind](pixels) if pixels.any() else np.zeros(halved(pixels.shape), np.uint8))

    def finish(self) -> list[list[TileRow]]:
        """Return the rows of tiles of each level, largest first; raises ValueError where rows are missing."""
        if self._taken != self.shape[0]:
            raise ValueError(f"{self._taken} of {self.shape[0]} rows were given")
        return [self._done] + (self._smaller.finish() if self._smaller else [])
