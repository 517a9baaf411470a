"""TIFF from compressed tiles: everything that stands before the tiles of a tiled GeoTIFF, as bytes.

The layout is that of GDAL's COG driver: header, ghost area, the directories of all levels, then the tiles, smallest
level first, each level band by band and row by row, each tile between its size and its last four bytes once more
(gdal.org/drivers/raster/cog.html). Tiles of size 0 are not stored; readers fill them with nodata.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TILE_PX = 512
FRAME_BYTES = 8  # a tile's size before it, its last four bytes after it
CLASSIC_LIMIT = 2**32 - 1  # offsets of a classic TIFF have 32 bits
_GHOST = (
    "LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    "BLOCK_TRAILER=LAST_4_BYTES_REPEATED\n{interleave}KNOWN_INCOMPATIBLE_EDITION=NO\n "
)  # the last blank becomes the end of YES when an editor breaks the layout
_SHORT, _LONG, _LONG8 = 3, 4, 16
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8}  # of a value, by TIFF type
_REDUCED, _WIDTH, _HEIGHT, _OFFSETS, _SIZES = 254, 256, 257, 324, 325
# Bits, compression, photometric, samples, planar, predictor, palette, tile size, extra samples, format, nodata.
_OF_OVERVIEWS = {258, 259, 262, 277, 284, 317, 320, 322, 323, 338, 339, 42113}


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """One resolution of an image: (height, width), and the bytes of its compressed tiles.

    sizes: (bands, rows of tiles, columns of tiles) uint32, 0 for a tile of nodata alone.
    """

    shape: tuple[int, int]
    sizes: NDArray[np.uint32]

    @property
    def stored(self) -> NDArray[np.int64]:
        """What every tile takes in a file, with its frame; the shape of ``sizes``."""
        return np.where(self.sizes > 0, self.sizes.astype(np.int64) + FRAME_BYTES, 0)


def framed(tile: bytes) -> bytes:
    """Return a compressed tile as it stands in a file; nothing where it is empty."""
    return struct.pack("<I", len(tile)) + tile + tile[-4:] if tile else b""


def header(template: bytes, levels: Sequence[Level]) -> bytes:
    """Return all bytes before the first tile of a file with these levels, largest first; BigTIFF only where needed.

    template: a classic TIFF of the same bands, tile size, codec and predictor, whose other tags (place, names, palette,
    nodata) are taken as they are.
    """
    tags = _read_tags(template)
    tiles = sum(int(level.stored.sum()) for level in levels)
    flavour = _CLASSIC
    if len(_directories(tags, levels, flavour, first_tile=0)) + tiles > CLASSIC_LIMIT:
        flavour = _BIG
    length = len(_directories(tags, levels, flavour, first_tile=0))
    return _directories(tags, levels, flavour, first_tile=length)


@dataclass(frozen=True, slots=True, order=True)
class _Tag:
    code: int
    type: int
    count: int
    value: bytes


@dataclass(frozen=True, slots=True)
class _Flavour:
    """How a TIFF writes its numbers: magic, format of a directory's length, of counts and offsets, type of offsets."""

    magic: bytes
    length: str
    number: str
    offset_type: int

    @property
    def width(self) -> int:
        """Bytes of an offset."""
        return struct.calcsize(self.number)


_CLASSIC = _Flavour(b"II*\0", "<H", "<I", _LONG)
_BIG = _Flavour(b"II+\0\x08\0\0\0", "<Q", "<Q", _LONG8)


def _read_tags(tiff: bytes) -> dict[int, _Tag]:
    """Return the tags of the first directory of a classic little-endian TIFF by code."""
    if tiff[:4] != _CLASSIC.magic:
        raise ValueError("the template is not a classic little-endian TIFF")
    (start,) = struct.unpack_from("<I", tiff, 4)
    (length,) = struct.unpack_from("<H", tiff, start)
    tags = {}
    for at in range(start + 2, start + 2 + 12 * length, 12):
        code, kind, count, pointer = struct.unpack_from("<HHII", tiff, at)
        size = count * _BYTES[kind]
        value_at = pointer if size > 4 else at + 8
        tags[code] = _Tag(code, kind, count, tiff[value_at : value_at + size])
    return tags


def _directories(tags: Mapping[int, _Tag], levels: Sequence[Level], flavour: _Flavour, *, first_tile: int) -> bytes:
    """Return magic, ghost area and one directory a level; tiles stand from byte ``first_tile``."""
    ghost = _GHOST.format(interleave="INTERLEAVE=BAND\n" if len(levels[0].sizes) > 1 else "").encode()
    ghost = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(ghost) + ghost
    start = len(flavour.magic) + flavour.width + len(ghost)
    start += -start % 8
    out = bytearray((flavour.magic + struct.pack(flavour.number, start) + ghost).ljust(start, b"\0"))
    kept = {code: tag for code, tag in tags.items() if code in _OF_OVERVIEWS}
    for index, (level, offsets) in enumerate(zip(levels, _offsets(levels, first_tile), strict=True)):
        own = _own_tags(level, offsets, flavour, reduced=index > 0)
        merged = {**(kept if index else tags), **{tag.code: tag for tag in own}}
        out += _directory(sorted(merged.values()), flavour, at=len(out), last=index + 1 == len(levels))
    return bytes(out)


def _offsets(levels: Sequence[Level], first_tile: int) -> list[NDArray[np.int64]]:
    """Return where the tiles of each level stand, 0 for empty ones, when the smallest level comes first."""
    offsets = []
    for level in reversed(levels):
        stored = level.stored.ravel()
        at = first_tile + np.cumsum(stored) - stored
        offsets.append(np.where(stored > 0, at + 4, 0))  # past the size that stands before each tile
        first_tile += int(stored.sum())
    return offsets[::-1]


def _own_tags(level: Level, offsets: NDArray[np.int64], flavour: _Flavour, *, reduced: bool) -> Iterator[_Tag]:
    """Yield the tags that differ between the levels of a file."""
    height, width = level.shape
    yield _Tag(_REDUCED, _LONG, 1, struct.pack("<I", reduced))
    yield _Tag(_WIDTH, _LONG, 1, struct.pack("<I", width))
    yield _Tag(_HEIGHT, _LONG, 1, struct.pack("<I", height))
    yield _Tag(_OFFSETS, flavour.offset_type, offsets.size, offsets.astype(flavour.number).tobytes())
    yield _Tag(_SIZES, _LONG, offsets.size, level.sizes.astype("<u4").tobytes())


def _directory(tags: Sequence[_Tag], flavour: _Flavour, *, at: int, last: bool) -> bytes:
    """Return the directory that stands at byte ``at``, with the values that are too long for it behind it."""
    width = flavour.width
    head = struct.calcsize(flavour.length) + len(tags) * (4 + 2 * width) + width
    entries, values = bytearray(struct.pack(flavour.length, len(tags))), bytearray()
    for tag in tags:
        value = tag.value
        if len(value) > width:
            value = struct.pack(flavour.number, at + head + len(values))
            values += tag.value + bytes(-len(tag.value) % 8)
        entries += struct.pack("<HH" + flavour.number[1:], tag.code, tag.type, tag.count) + value.ljust(width, b"\0")
    length = head + len(values)
    padding = -(at + length) % 8
    entries += struct.pack(flavour.number, 0 if last else at + length + padding)
    return bytes(entries + values + bytes(padding))
