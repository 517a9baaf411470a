"""Runs of equal pixels, row by row: from them components and contours are found in memory that grows with the runs.

A class raster has a run for each stretch of one class, a probability raster for each stretch of inside pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ConfigError
from geoseg.numba_cache import njit

BAND = 64  # rows that are searched at once
PROBABILITY_STEPS = 254  # byte b means p = (b - 1) / 254; 0 is nodata


def threshold_byte(threshold: float) -> int:
    """Return the smallest byte whose probability is at least ``threshold``; raises ConfigError outside (0, 1].

    >>> threshold_byte(0.5), threshold_byte(1.0)
    (128, 255)
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold {threshold} is not a probability in (0, 1]")
    return ceil(threshold * PROBABILITY_STEPS - 1e-9) + 1  # 1e-9: 0.3 x 254 is a whole number only on paper


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Stretches of equal pixels in the rows of a raster, in raster order; what is in no run is outside or nodata."""

    width: int
    """Columns of the raster."""
    start: NDArray[np.int64]
    """Row r has the runs start[r] to start[r + 1], (H + 1,)."""
    first: NDArray[np.int32]
    """First column of each run, (K,)."""
    end: NDArray[np.int32]
    """The column after its last one, (K,)."""
    value: NDArray[np.int32]
    """Its class, (K,); 1 where all that counts is inside. Runs that meet in a row differ in it."""

    def __len__(self) -> int:
        return len(self.first)

    @property
    def height(self) -> int:
        """Rows."""
        return len(self.start) - 1


def find_runs(values: NDArray[np.integer], valid: NDArray[np.bool_] | None = None) -> Runs:
    """Return the runs of equal values among the ``valid`` pixels (None: all), (H, W), both C-contiguous.

    >>> runs = find_runs(np.array([[7, 7, 2], [2, 7, 7]], np.uint8))
    >>> runs.first.tolist(), runs.end.tolist(), runs.value.tolist()
    ([0, 2, 0, 1], [2, 3, 1, 3], [7, 2, 2, 7])
    """
    every = np.ones((1, 1), np.bool_)
    return Runs(values.shape[1], *_find(values, every if valid is None else valid, valid is not None))


def inside_runs(probability: NDArray[np.uint8], low: int) -> Runs:
    """Return the runs of pixels with a byte of at least ``low`` in a C-contiguous (H, W) raster."""
    height, width = probability.shape
    start, none = np.zeros(height + 1, np.int64), np.empty(0, np.int32)
    first, end = [none], [none]
    for row, edges in _row_edges(probability, low):
        at, rows = np.flatnonzero(edges), len(edges)
        until = np.searchsorted(at[::2], np.arange(1, rows + 1) * (width + 1))
        start[row + 1 : row + rows + 1] = start[row] + until
        first.append((at[::2] % (width + 1)).astype(np.int32))
        end.append((at[1::2] % (width + 1)).astype(np.int32))
    return Runs(width, start, np.concatenate(first), np.concatenate(end), np.ones(start[-1], np.int32))


def _row_edges(probability: NDArray[np.uint8], low: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield bands of rows: the first one's index, and where a run begins or ends, (h, W + 1)."""
    for row in range(0, len(probability), BAND):
        inside = probability[row : row + BAND] >= low
        edges = np.zeros((len(inside), inside.shape[1] + 1), np.bool_)
        edges[:, :-1] = inside
        edges[:, 1:] ^= inside
        yield row, edges


def joined_strips(strips: list[Runs]) -> Runs:
    """Return the runs of one raster that came in strips of whole rows, one or more; ``strips`` is empty afterwards."""
    before = np.cumsum([0, *map(len, strips)])
    starts = [strip.start[1:] + count for strip, count in zip(strips, before[:-1], strict=True)]
    columns = {name: [getattr(strip, name) for strip in strips] for name in ("first", "end", "value")}
    width = strips[0].width
    strips.clear()
    joined = {name: np.concatenate(columns.pop(name)) for name in tuple(columns)}  # none is held twice for long
    return Runs(width, np.concatenate([np.zeros(1, np.int64), *starts]), **joined)


@njit(cache=True, nogil=True)
def run_at(start: NDArray[np.int64], first: NDArray[np.int32], row: int, col: int) -> int:
    """Index of the first run of ``row`` that begins at ``col`` or after."""
    a, b = start[row], start[row + 1]
    while a < b:
        middle = (a + b) // 2
        if first[middle] < col:
            a = middle + 1
        else:
            b = middle
    return a


@njit(cache=True, nogil=True)
def _find(
    values: NDArray[np.integer], valid: NDArray[np.bool_], masked: bool
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    height, width = values.shape
    start = np.zeros(height + 1, np.int64)
    for row in range(height):
        count, before = 0, False
        for col in range(width):
            here = not masked or valid[row, col]
            count += here & ((not before) | (values[row, col] != values[row, col - 1]))
            before = here
        start[row + 1] = start[row] + count
    runs = start[height]
    first, end, value = np.empty(runs, np.int32), np.empty(runs, np.int32), np.empty(runs, np.int32)
    for row in range(height):
        k, before = start[row] - 1, False
        for col in range(width):
            here = not masked or valid[row, col]
            if before and not (here and values[row, col] == value[k]):
                end[k] = col
                before = False
            if here and not before:
                k += 1
                first[k], value[k] = col, values[row, col]
            before = here
        if before:
            end[k] = width
    return start, first, end, value
