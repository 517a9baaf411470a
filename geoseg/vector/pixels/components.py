"""Connected components of the inside pixels, as exact integer sums."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geoseg.vector.pixels.runs import Runs


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """4-connected components in raster order of their first pixel.

    first_pixel: (N, 2) int64 row, col. box: (N, 4) int64 row0, col0, row1, col1, half-open. area_px: (N,) int64.
    of_run: (K,) int64 the component of each run.
    """

    first_pixel: NDArray[np.int64]
    box: NDArray[np.int64]
    area_px: NDArray[np.int64]
    of_run: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.area_px)


def find_components(runs: Runs) -> Components:
    """Join runs to 4-connected components (Rosenfeld and Pfaltz 1966)."""
    return Components(*_components(runs.start, runs.first, runs.end))


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
def _components(
    start: NDArray[np.int64], first: NDArray[np.int32], end: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    parent = np.arange(len(first))
    for row in range(1, len(start) - 1):
        above = start[row - 1]
        for k in range(start[row], start[row + 1]):
            while above < start[row] and end[above] <= first[k]:
                above += 1
            other = above
            while other < start[row] and first[other] < end[k]:
                join(parent, other, k)
                other += 1
    of_run = np.empty(len(first), np.int64)
    n = 0
    for k in range(len(first)):
        root = find_root(parent, k)
        of_run[k] = n if root == k else of_run[root]  # a root is the first run of its component
        n += root == k
    first_pixel, box, area = np.empty((n, 2), np.int64), np.empty((n, 4), np.int64), np.zeros(n, np.int64)
    for row in range(len(start) - 1):
        for k in range(start[row], start[row + 1]):
            i = of_run[k]
            if area[i] == 0:
                first_pixel[i, 0], first_pixel[i, 1] = row, first[k]
                box[i, 0], box[i, 1], box[i, 3] = row, first[k], end[k]
            area[i] += end[k] - first[k]
            box[i, 1], box[i, 3] = min(box[i, 1], first[k]), max(box[i, 3], end[k])
            box[i, 2] = row + 1
    return first_pixel, box, area, of_run


@njit(cache=True, nogil=True)
def _sum_bytes(
    probability: NDArray[np.uint8],
    start: NDArray[np.int64],
    first: NDArray[np.int32],
    end: NDArray[np.int32],
    of_run: NDArray[np.int64],
    count: int,
) -> NDArray[np.int64]:
    total = np.zeros(count, np.int64)
    for row in range(len(start) - 1):
        for k in range(start[row], start[row + 1]):
            for col in range(first[k], end[k]):
                total[of_run[k]] += probability[row, col]
    return total
