"""What a GeoTIFF's own header says, without GDAL: 20 times quicker to read, for folders of thousands of tiles."""

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from affine import Affine

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
CODES = {3: "H", 4: "I", 11: "f", 12: "d", 13: "I", 16: "Q"}
WIDTH, HEIGHT, SUBFILE = 256, 257, 254
SCALE, TIEPOINT, TRANSFORMATION, GEOKEYS, GDAL_ITEMS = 33550, 33922, 34264, 34735, 42112
# What differs between tiles of one kind: sizes, where their blocks lie, when they were made, and their place.
OWN = {WIDTH, HEIGHT, 273, 278, 279, 306, 324, 325, SCALE, TIEPOINT, TRANSFORMATION, 347}
RASTER_TYPE, PIXEL_IS_POINT = 1025, 2
ITEM_OF_BAND = re.compile(rb'<Item name="(?!STATISTICS_)[^>]*sample=[^>]*>[^<]*</Item>')
MOST_LEVELS = 64


@dataclass(frozen=True, slots=True)
class Header:
    """A file's place, and all else that its header says: equal where only place and pixels differ."""

    transform: Affine
    shape: tuple[int, int]
    kind: tuple[object, ...]


def read_header(path: str | Path) -> Header | None:
    """Return what the header of a GeoTIFF says; None where GDAL has to be asked: other formats, places and tags."""
    try:
        with Path(path).open("rb") as file:
            return _header(file)
    except (OSError, ValueError, KeyError, IndexError, struct.error):
        return None


def _header(file: BinaryIO) -> Header | None:
    start = file.read(16)
    order = {b"II": "<", b"MM": ">"}[start[:2]]
    big = struct.unpack(order + "H", start[2:4])[0] == 43
    at = struct.unpack(order + ("Q" if big else "I"), start[8:16] if big else start[4:8])[0]
    tags, following = _directory(file, order, at, big=big)
    levels: list[object] = []
    while following and len(levels) < MOST_LEVELS:
        level, following = _directory(file, order, following, big=big)
        levels.append(level.get(SUBFILE))  # of masks, which are no overviews
    place = _transform(tags, order)
    if place is None:
        return None
    if GDAL_ITEMS in tags:
        tags[GDAL_ITEMS] = (2, 0, b"".join(ITEM_OF_BAND.findall(tags[GDAL_ITEMS][2])))
    kind = (order, *((key, value) for key, value in tags.items() if key not in OWN), *sorted(set(map(str, levels))))
    return Header(place, (int(_numbers(tags[HEIGHT], order)[0]), int(_numbers(tags[WIDTH], order)[0])), kind)


Tag = tuple[int, int, bytes]  # type, count, bytes


def _directory(file: BinaryIO, order: str, at: int, *, big: bool) -> tuple[dict[int, Tag], int]:
    """Return the tags of a directory, and where the next one lies, 0 for none."""
    count_code, entry, offset_code = ("Q", 20, "Q") if big else ("H", 12, "I")
    file.seek(at)
    (count,) = struct.unpack(order + count_code, file.read(struct.calcsize(count_code)))
    raw = file.read(count * entry + struct.calcsize(offset_code))
    tags: dict[int, Tag] = {}
    for i in range(count):
        one = raw[i * entry : (i + 1) * entry]
        tag, kind, number = struct.unpack(order + "HH" + offset_code, one[: 4 + struct.calcsize(offset_code)])
        size, value = SIZES[kind] * number, one[4 + struct.calcsize(offset_code) :]
        if tag in OWN and size > 1024:  # where blocks lie
            continue
        if size > len(value):
            file.seek(struct.unpack(order + offset_code, value)[0])
            value = file.read(size)
        tags[tag] = (kind, number, value[:size])
    return tags, struct.unpack(order + offset_code, raw[count * entry :])[0]


def _numbers(tag: Tag, order: str) -> tuple[float, ...]:
    kind, count, value = tag
    return struct.unpack(f"{order}{count}{CODES[kind]}", value)


def _transform(tags: dict[int, Tag], order: str) -> Affine | None:
    keys = _numbers(tags[GEOKEYS], order)
    if any(keys[i] == RASTER_TYPE and keys[i + 3] == PIXEL_IS_POINT for i in range(4, len(keys), 4)):
        return None
    if TRANSFORMATION in tags:
        m = _numbers(tags[TRANSFORMATION], order)
        return Affine(m[0], m[1], m[3], m[4], m[5], m[7])
    (width, height, _), tie = _numbers(tags[SCALE], order), _numbers(tags[TIEPOINT], order)
    if len(tie) != 6 or not (width > 0 and height > 0):
        return None
    return Affine(width, 0, tie[3] - tie[0] * width, 0, -height, tie[4] + tie[1] * height)
