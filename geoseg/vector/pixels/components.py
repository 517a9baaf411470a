"""Connected components of equal pixels, found from their runs, as exact integer sums.

The union-find here is the only one. Not here: what makes small patches of a class map part of others, see sieve.py.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.pixels.runs import Runs, run_at

OUTSIDE = -1  # number of the component where there is none


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """N 4-connected components in raster order of their first pixel."""

    first_pixel: NDArray[np.int64]
    """Row and column, (N, 2)."""
    box: NDArray[np.int64]
    """Half-open bounding box row0, col0, row1, col1, (N, 4)."""
    area_px: NDArray[np.int64]
    """Number of pixels, (N,)."""
    of_run: NDArray[np.int32]
    """The component of each run, (K,)."""

    def __len__(self) -> int:
        return len(self.area_px)


def find_components(runs: Runs) -> Components:
    """Join runs to components and measure them."""
    of_run = label_runs(runs)
    return Components(
        *_measured(runs.start, runs.first, runs.end, of_run, int(of_run.max(initial=OUTSIDE)) + 1), of_run
    )


def label_runs(runs: Runs) -> NDArray[np.int32]:
    """Return the component of each run, (K,): 4-connected pixels of one value, numbered from 0 by first pixels.

    Union-find over the rows (Rosenfeld and Pfaltz 1966).
    """
    return _label_runs(runs.start, runs.first, runs.end, runs.value)


def sum_bytes(probability: NDArray[np.uint8], runs: Runs, components: Components) -> NDArray[np.int64]:
    """Return the sum of the bytes of each component's pixels, (N,); over ``area_px`` it is the mean byte, exactly."""
    return _sum_bytes(probability, runs.start, runs.first, runs.end, components.of_run, len(components))


@njit(cache=True, nogil=True)
def find_root(parent: NDArray[np.signedinteger], i: int) -> int:
    """Return the root of ``i``, shortening the way there."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def join(parent: NDArray[np.signedinteger], i: int, j: int) -> None:
    """Join two sets; the root of a set is its smallest number."""
    a, b = find_root(parent, i), find_root(parent, j)
    parent[max(a, b)] = min(a, b)


@njit(cache=True, nogil=True)
def join_pairs(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sets that ``pairs``, (P, 2), join ``count`` things to, numbered by first members, (count,)."""
    parent = np.arange(count)
    for k in range(len(pairs)):
        join(parent, pairs[k, 0], pairs[k, 1])
    out = np.empty(count, np.int64)
    n = 0
    for i in range(count):
        root = find_root(parent, i)
        out[i] = n if root == i else out[root]
        n += root == i
    return out


@njit(cache=True, nogil=True)
def _label_runs(
    start: NDArray[np.int64], first: NDArray[np.int32], end: NDArray[np.int32], value: NDArray[np.int32]
) -> NDArray[np.int32]:
    parent = np.arange(len(first)).astype(np.int32)
    for row in range(1, len(start) - 1):
        above = start[row - 1]
        for k in range(start[row], start[row + 1]):
            while above < start[row] and end[above] <= first[k]:
                above += 1
            other = above
            while other < start[row] and first[other] < end[k]:
                if value[other] == value[k]:
                    join(parent, other, k)  # a root is the first run of its component
                other += 1
    count = 0
    for k in range(len(parent)):  # in place: a parent comes before its children
        if parent[k] == k:
            parent[k] = count
            count += 1
        else:
            parent[k] = parent[parent[k]]
    return parent


@njit(cache=True, nogil=True)
def component_at(
    start: NDArray[np.int64],
    first: NDArray[np.int32],
    end: NDArray[np.int32],
    of_run: NDArray[np.int32],
    row: int,
    col: int,
) -> int:
    """Component of a pixel, OUTSIDE in no run and off the raster."""
    if row < 0 or row >= len(start) - 1:
        return OUTSIDE
    k = run_at(start, first, row, col + 1) - 1  # the last run that begins at or before col
    return of_run[k] if k >= start[row] and col < end[k] else OUTSIDE


@njit(cache=True, nogil=True)
def _measured(
    start: NDArray[np.int64], first: NDArray[np.int32], end: NDArray[np.int32], of_run: NDArray[np.int32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    first_pixel, box, area = np.empty((count, 2), np.int64), np.empty((count, 4), np.int64), np.zeros(count, np.int64)
    for row in range(len(start) - 1):
        for k in range(start[row], start[row + 1]):
            i = of_run[k]
            if area[i] == 0:
                first_pixel[i, 0], first_pixel[i, 1] = row, first[k]
                box[i, 0], box[i, 1], box[i, 3] = row, first[k], end[k]
            area[i] += end[k] - first[k]
            box[i, 1], box[i, 3] = min(box[i, 1], first[k]), max(box[i, 3], end[k])
            box[i, 2] = row + 1
    return first_pixel, box, area


@njit(cache=True, nogil=True)
def _sum_bytes(
    probability: NDArray[np.uint8],
    start: NDArray[np.int64],
    first: NDArray[np.int32],
    end: NDArray[np.int32],
    of_run: NDArray[np.int32],
    count: int,
) -> NDArray[np.int64]:
    total = np.zeros(count, np.int64)
    for row in range(len(start) - 1):
        for k in range(start[row], start[row + 1]):
            for col in range(first[k], end[k]):
                total[of_run[k]] += probability[row, col]
    return total
