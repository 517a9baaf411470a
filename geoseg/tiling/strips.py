"""Strips: a chunk is walked one row of windows at a time, so that memory does not grow with its height.

After each strip the rows that no later window touches are complete and leave; the sums of the others stay.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.tiling.axis import Axis
from geoseg.tiling.resample import Resampling
from geoseg.tiling.taps import Taps, source_box
from geoseg.tiling.windows import WindowGrid
from geoseg.values.box import Box

Span = tuple[int, int]  # [lo, hi) along an axis


@dataclass(frozen=True, slots=True)
class Strip:
    """One row of windows of a chunk.

    windows: what is run; reaches: for each the scene pixels of the chunk that it counts for; seen: the working pixels
    they see; sums: the working pixels whose sums are held meanwhile; rows: the scene rows that are complete afterwards,
    none where both ends are equal; pixels: the scene pixels to read.
    """

    windows: tuple[Box, ...]
    reaches: tuple[Box, ...]
    seen: Box
    sums: Box
    rows: Span
    pixels: Box

    @property
    def decided(self) -> Box:
        """The scene pixels to read and those its windows count for: upsampled ones hang over what the windows see."""
        return self.pixels.union(*self.reaches)


def strips(grid: WindowGrid, resampling: Resampling, chunk: Box) -> tuple[Strip, ...]:
    """Return the strips of ``chunk`` (scene pixels) from top to bottom; their rows tile it.

    >>> grid = WindowGrid.fit((150, 40), window=64, margin=8, ramp=16, multiple=32)
    >>> same = Resampling((150, 40), (150, 40))
    >>> [(len(s.windows), (s.sums.row0, s.sums.row1), s.rows) for s in strips(grid, same, Box(0, 0, 100, 40))]
    [(1, (0, 64), (0, 40)), (1, (40, 96), (40, 72)), (1, (72, 100), (72, 100))]
    """
    row_taps, col_taps = resampling.to_scene(chunk)
    blended = source_box((row_taps, col_taps))
    row_first, row_last = _extent(row_taps)
    col_first, col_last = _extent(col_taps)
    columns = grid.cols.touching(blended.col0, blended.col1)
    col_reaches = [_dependent(col_first, col_last, grid.cols.counting(j), chunk.col0) for j in columns]
    seen_cols = grid.cols.seen_span(columns)
    held, done, out = blended.row0, chunk.row0, []
    rows = grid.rows.touching(blended.row0, blended.row1)
    for i in rows:
        complete = blended.row1 if i == rows[-1] else grid.rows.counting(i + 1)[0]
        until = chunk.row0 + int(np.searchsorted(row_last, complete, side="left"))
        seen = _box(grid.rows.seen_span(range(i, i + 1)), seen_cols)
        reach = _dependent(row_first, row_last, grid.rows.counting(i), chunk.row0)
        out.append(
            Strip(
                windows=tuple(_box(_window(grid.rows, i), _window(grid.cols, j)) for j in columns),
                reaches=tuple(_box(reach, cols) for cols in col_reaches),
                seen=seen,
                sums=_box((held, min(blended.row1, _window(grid.rows, i)[1])), (blended.col0, blended.col1)),
                rows=(done, until),
                pixels=_to_read(resampling, seen, chunk, (done, until)),
            )
        )
        done = until
        if until < chunk.row1:
            held = min(complete, int(row_first[until - chunk.row0]))
    return tuple(out)


def _extent(taps: Taps) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and the last source pixel of each target pixel; both never decrease."""
    used = np.where(taps.weight > 0, taps.index, -1).max(1)
    first = np.where(taps.weight > 0, taps.index, np.iinfo(np.int32).max).min(1)
    return first.astype(np.int64) + taps.source[0], used.astype(np.int64) + taps.source[0]


def _dependent(first: NDArray[np.int64], last: NDArray[np.int64], counting: Span, offset: int) -> Span:
    """Return the target pixels, from ``offset`` on, that are made from any of the source pixels ``counting``."""
    lo, hi = counting
    return offset + int(np.searchsorted(last, lo)), offset + int(np.searchsorted(first, hi))


def _window(axis: Axis, i: int) -> Span:
    return axis.start(i), axis.start(i) + axis.window


def _box(rows: Span, cols: Span) -> Box:
    return Box(rows[0], cols[0], rows[1], cols[1])


def _to_read(resampling: Resampling, seen: Box, chunk: Box, rows: Span) -> Box:
    """Return the scene pixels that the windows' pixels are made from, and those of the rows that leave."""
    source = source_box(resampling.to_working(seen))
    if rows[0] == rows[1]:
        return source
    return _box(
        (min(source.row0, rows[0]), max(source.row1, rows[1])),
        (min(source.col0, chunk.col0), max(source.col1, chunk.col1)),
    )
