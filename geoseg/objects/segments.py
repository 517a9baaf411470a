"""Segments: what is known of objects, as integer sums that add up over tiles, and the numbers that they get."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.objects.grouping import NOBODY, GroupingRules, grouped
from geoseg.values.box import Box

_KEY, _CENTRE, _CONFIDENCE, _LOW, _HIGH, _PIXELS = 0, 1, 2, slice(3, 5), slice(5, 7), slice(7, None)
_FAR = 2**62


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """N objects, or the parts of them that lie in a tile, in raster order of their centres."""

    table: NDArray[np.int64]
    """Key, value of the centre, sum of confidence bytes, box, and pixels of each of T things; (N, 7 + T)."""

    def __len__(self) -> int:
        return len(self.table)

    @property
    def key(self) -> NDArray[np.int64]:
        """The pixel of the centre as row << 32 | col, (N,)."""
        return self.table[:, _KEY]

    @property
    def centre(self) -> NDArray[np.int64]:
        """Row and column of the centre, (N, 2)."""
        return np.stack([self.key >> 32, self.key & (2**32 - 1)], 1)

    @property
    def box(self) -> NDArray[np.int64]:
        """row0, col0, row1, col1 of all pixels, (N, 4)."""
        return self.table[:, 3:7]

    @property
    def pixels(self) -> NDArray[np.int64]:
        """How many pixels there are, (N,)."""
        return self.table[:, _PIXELS].sum(1)

    @property
    def thing(self) -> NDArray[np.intp]:
        """Which of the things most pixels are of, (N,); ties go to the first."""
        return self.table[:, _PIXELS].argmax(1)

    @property
    def score(self) -> NDArray[np.float64]:
        """Value of the centre times mean confidence of the pixels, both 0..1, (N,)."""
        sure = (self.table[:, _CONFIDENCE] / self.pixels - 1) / 254
        return (self.table[:, _CENTRE] - 1) / 65534 * sure

    def take(self, chosen: NDArray[np.bool_ | np.intp]) -> Self:
        """Return the chosen ones, (N,), or those of the given numbers in their order."""
        return type(self)(self.table[chosen])

    @classmethod
    def joined(cls, several: Sequence["Segments"]) -> Self:
        """Add what one or more tiles hold."""
        every = np.concatenate([s.table for s in several])
        key, at = np.unique(every[:, _KEY], return_inverse=True)
        table = np.zeros((len(key), every.shape[1]), np.int64)
        table[:, _KEY], table[:, _LOW] = key, _FAR
        np.maximum.at(table[:, _CENTRE], at, every[:, _CENTRE])
        np.minimum.at(table[:, _LOW], at, every[:, _LOW])
        np.maximum.at(table[:, _HIGH], at, every[:, _HIGH])
        for column in (_CONFIDENCE, _PIXELS):
            np.add.at(table[:, column], at, every[:, column])
        return cls(table)

    @staticmethod
    def row_bytes(things: int) -> int:
        """Return what an object takes in the table."""
        return 8 * (7 + things)

    def to_bytes(self) -> bytes:
        """Return the table for a file, read back by ``from_bytes``."""
        return self.table.astype("<i8").tobytes()

    @classmethod
    def from_bytes(cls, stored: bytes, things: int) -> Self:
        """Return the segments that ``to_bytes`` has written."""
        return cls(np.frombuffer(stored, "<i8").astype(np.int64).reshape(-1, 7 + things))


class TileLayers(NamedTuple):
    """What a tile is grouped by, over its halo: (h, w) each, 0 where nothing is known."""

    classes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    centre: NDArray[np.uint16]
    offset_row: NDArray[np.uint16]
    offset_col: NDArray[np.uint16]


def group_tile(layers: TileLayers, tile: Box, around: Box, rules: GroupingRules) -> tuple[NDArray[np.uint32], Segments]:
    """Return the segment of each pixel of ``tile`` (h, w), numbered from 1 in the tile, 0 for none; and the segments.

    layers: over ``around``, the tile with ``rules.halo_px`` more pixels on all sides, less what lies beyond the scene.
    """
    inner = tile.within(around)
    thing = np.zeros(layers.classes.shape, np.bool_)
    thing[inner] = np.isin(layers.classes[inner], rules.things)
    offset = np.stack([layers.offset_row, layers.offset_col])
    number, centres = grouped(thing, layers.centre, offset, rules)
    rows, cols = np.nonzero(number[inner] != NOBODY)
    used, at = np.unique(number[inner][rows, cols], return_inverse=True)
    local = np.zeros(tile.shape, np.uint32)
    local[rows, cols] = at + 1
    centre = centres[used]
    key = (centre[:, 0] + around.row0) << 32 | (centre[:, 1] + around.col0)
    classes, confidence = layers.classes[inner], layers.confidence[inner]
    return local, measured(
        local, tile, classes, confidence, things=rules.things, key=key, centre=layers.centre[*centre.T]
    )


def measured(
    local: NDArray[np.uint32],
    box: Box,
    classes: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
    *,
    things: tuple[int, ...],
    key: NDArray[np.int64],
    centre: NDArray[np.uint16],
) -> Segments:
    """Return what is known of segments that are numbered from 1 in ``local`` (h, w) over ``box``; key, centre: (N,)."""
    rows, cols = np.nonzero(local)
    at, place = local[rows, cols] - 1, np.stack([rows + box.row0, cols + box.col0], 1)
    table = np.zeros((len(key), 7 + len(things)), np.int64)
    table[:, _KEY], table[:, _CENTRE], table[:, _LOW] = key, centre, _FAR
    np.add.at(table[:, _CONFIDENCE], at, confidence[rows, cols])
    np.minimum.at(table[:, _LOW], at, place)
    np.maximum.at(table[:, _HIGH], at, place + 1)
    position = np.zeros(256, np.intp)
    position[list(things)] = np.arange(len(things))
    np.add.at(table, (at, 7 + position[classes[rows, cols]]), 1)
    return Segments(table)


def panoptic_ids(
    classes: NDArray[np.uint8], objects: NDArray[np.uint32], things: tuple[int, ...]
) -> NDArray[np.uint32]:
    """Return the panoptic raster (h, w): the id of an object, else the class of stuff, else 0.

    objects: ids (h, w), 0 where pixels of things are of none.

    >>> panoptic_ids(np.uint8([[1, 2, 2]]), np.uint32([[0, 300, 0]]), (2,)).tolist()
    [[1, 300, 0]]
    """
    return np.where(np.isin(classes, things), objects, classes).astype(np.uint32)
