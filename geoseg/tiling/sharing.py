"""Sharing: for which chunks a window counts, and where; at the borders of chunks it counts for several."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Self

import numpy as np

from geoseg.tiling.axis import Axis
from geoseg.tiling.resample import Resampling
from geoseg.tiling.strips import Span
from geoseg.tiling.windows import WindowGrid, cuts
from geoseg.values.box import Box

Place = tuple[int, int]  # (row, column) of a chunk among all


@dataclass(frozen=True, slots=True)
class AxisSharing:
    """Along an axis.

    blended: of each row or column of chunks the working pixels that its own are made from; touching: the windows that
    count there; users: of each window the rows or columns of chunks for which it counts.
    """

    blended: tuple[Span, ...]
    touching: tuple[range, ...]
    users: tuple[range, ...]

    @classmethod
    def of(cls, axis: Axis, blended: Iterable[Span]) -> Self:
        """Return who shares the windows of an axis."""
        spans = tuple(blended)
        touching = tuple(axis.touching(*span) for span in spans)
        windows = np.arange(axis.count)  # spans follow each other, and so do windows
        first = np.searchsorted([on.stop for on in touching], windows, side="right").tolist()
        end = np.searchsorted([on.start for on in touching], windows, side="right").tolist()
        return cls(spans, touching, tuple(map(range, first, end)))

    @property
    def most_at_a_border(self) -> int:
        """How many windows count on both sides of a border between chunks, where they are most."""
        return max((len(range(b.start, a.stop)) for a, b in pairwise(self.touching)), default=0)


@dataclass(frozen=True, slots=True)
class Sharing:
    """For which chunks the windows of a grid count.

    >>> grid = WindowGrid.fit((100, 200), window=64, margin=8, ramp=16, multiple=32)
    >>> found = Sharing.of(grid, Resampling((100, 200), (100, 200)), 100)
    >>> corner = Box(0, 64, 64, 128)
    >>> found.users(corner), found.part(corner, [(0, 1)])
    ([(0, 0), (0, 1)], Box(row0=0, col0=100, row1=56, col1=120))
    """

    grid: WindowGrid
    rows: AxisSharing
    cols: AxisSharing

    @classmethod
    def of(cls, grid: WindowGrid, resampling: Resampling, chunk_px: int) -> Self:
        """Return who shares the windows of a scene in chunks of ``chunk_px`` pixels of it."""
        height, width = resampling.scene_shape
        down = (resampling.to_scene(Box(lo, 0, hi, 1))[0].source for lo, hi in cuts(height, chunk_px))
        across = (resampling.to_scene(Box(0, lo, 1, hi))[1].source for lo, hi in cuts(width, chunk_px))
        return cls(grid, AxisSharing.of(grid.rows, down), AxisSharing.of(grid.cols, across))

    def users(self, window: Box) -> list[Place]:
        """Return the chunks for which a window counts."""
        row, col = self._number(window)
        return list(product(self.rows.users[row], self.cols.users[col]))

    def part(self, window: Box, users: Iterable[Place]) -> Box:
        """Return the working pixels of a window that count for some of its ``users``."""
        (row0, row1), (col0, col1) = (
            axis.counting(i) for axis, i in zip((self.grid.rows, self.grid.cols), self._number(window), strict=True)
        )
        parts = []
        for row, col in users:
            (top, bottom), (left, right) = self.rows.blended[row], self.cols.blended[col]
            parts.append(Box(max(row0, top), max(col0, left), min(row1, bottom), min(col1, right)))
        return parts[0].union(*parts[1:])

    @property
    def most_waiting(self) -> int:
        """How many windows wait for other chunks at most, while chunks are run row by row.

        Those at the borders above and below a row of chunks, and those on both sides of the chunk that is run.
        """
        tallest = max(map(len, self.rows.touching))
        return 2 * (self.rows.most_at_a_border * self.grid.cols.count + self.cols.most_at_a_border * tallest)

    def _number(self, window: Box) -> Place:
        return window.row0 // self.grid.rows.stride, window.col0 // self.grid.cols.stride
