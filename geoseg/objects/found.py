"""Found: what windows detect, in a table and packed masks, as a part of a job keeps it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geoseg.values.box import Box

COLUMNS = 14
BOX, CELL = slice(0, 4), slice(4, 8)
CLASS, SCORE, CLEAR, FIRST_ROW, FIRST_COL, AREA = range(8, 14)
SCORES = 65535  # the highest score
NO_EDGE = 2**15  # clearance of a window that holds the whole scene


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One object as a network sees it in a window."""

    box: Box
    """What ``mask`` covers, in pixels of the window."""
    mask: NDArray[np.bool_]
    """Its pixels, (h, w)."""
    class_id: int
    """Of its class."""
    score: int
    """0..SCORES."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """N detections in pixels of the scene; those that their window may have cut hold what lies in its cell."""

    table: NDArray[np.int64]
    """Box, cell of the window, class id, score, clearance, first pixel in raster order, and area; (N, COLUMNS)."""
    masks: tuple[NDArray[np.uint8], ...]
    """Their pixels in raster order of their boxes, packed."""
    full: int = 0
    """How many windows gave as many detections as the network can."""

    def mask(self, i: int) -> NDArray[np.bool_]:
        """Return the pixels (h, w) of a detection over its box."""
        r0, c0, r1, c1 = self.table[i, BOX]
        flat = np.unpackbits(self.masks[i], count=(r1 - r0) * (c1 - c0))
        return flat.view(np.bool_).reshape(r1 - r0, c1 - c0)

    def take(self, chosen: NDArray[np.integer]) -> Self:
        """Return those of the given numbers, in their order."""
        return type(self)(self.table[chosen], tuple(self.masks[i] for i in chosen))

    @classmethod
    def joined(cls, several: Sequence["Found"]) -> Self:
        """Put several together, in their order."""
        tables = [np.empty((0, COLUMNS), np.int64), *(f.table for f in several)]
        return cls(np.concatenate(tables), tuple(m for f in several for m in f.masks), sum(f.full for f in several))

    def to_bytes(self) -> bytes:
        """Return all of it for a file, read back by ``from_bytes``."""
        head = np.array([len(self.table), self.full], "<i8")
        return b"".join([head.tobytes(), self.table.astype("<i8").tobytes(), *(m.tobytes() for m in self.masks)])

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """Return what ``to_bytes`` has written."""
        count, full = np.frombuffer(stored, "<i8", 2).tolist()
        table = np.frombuffer(stored, "<i8", count * COLUMNS, 16).reshape(count, COLUMNS)
        bits = np.frombuffer(stored, np.uint8, offset=16 + 8 * table.size)
        size = -(-(table[:, 2] - table[:, 0]) * (table[:, 3] - table[:, 1]) // 8)
        return cls(table, tuple(np.split(bits, np.cumsum(size)[:-1])) if count else (), full)


def recorded(said: Sequence[Detection], window: Box, cell: Box, scene: Box, edge_px: int) -> Found:
    """Return what a window detects: nothing beyond the scene, of what comes near its edges only what is in ``cell``.

    edge_px: a whole detection stays so far from the window's edges, those at the scene's own edges left out.
    """
    rows, masks = [], []
    for one in said:
        own = _tight(one.box.shifted(window.row0, window.col0), one.mask, scene)
        if own is not None and (clear := _clearance(own[0], window, scene)) < edge_px:
            own = _tight(*own, cell)
        if own is not None:
            box, mask = own
            first = int(mask[0].argmax())
            place = (box.row0, box.col0, box.row1, box.col1, cell.row0, cell.col0, cell.row1, cell.col1)
            rows.append((*place, one.class_id, one.score, clear, box.row0, box.col0 + first, int(mask.sum())))
            masks.append(np.packbits(mask))
    return Found(np.array(rows, np.int64).reshape(-1, COLUMNS), tuple(masks))


def _tight(box: Box, mask: NDArray[np.bool_], within: Box) -> tuple[Box, NDArray[np.bool_]] | None:
    """Return the smallest box in ``within`` that holds all of the mask there, and the mask over it."""
    common = box.clip(within)
    if common is None:
        return None
    mask = mask[common.within(box)]
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    r0, r1, c0, c1 = int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1
    return Box(r0, c0, r1, c1).shifted(common.row0, common.col0), mask[r0:r1, c0:c1]


def _clearance(box: Box, window: Box, scene: Box) -> int:
    """Return how far ``box`` stays from the edges of ``window`` that are not the scene's."""
    gaps = (
        (box.row0 - window.row0, window.row0 > scene.row0),
        (box.col0 - window.col0, window.col0 > scene.col0),
        (window.row1 - box.row1, window.row1 < scene.row1),
        (window.col1 - box.col1, window.col1 < scene.col1),
    )
    return max(min((gap for gap, inner in gaps if inner), default=NO_EDGE), 0)
