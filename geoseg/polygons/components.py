"""Connected components of the inside pixels, as exact integer sums."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geoseg.polygons.runs import PROBABILITY_STEPS, Runs


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """4-connected components in raster order of their first pixel; all arrays have shape (N,), int64.

    byte_sum / area_px is the mean byte, exact because both are integers.
    """

    first_row: NDArray[np.int64]
    first_col: NDArray[np.int64]
    area_px: NDArray[np.int64]
    byte_sum: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.area_px)

    @property
    def mean_probability(self) -> NDArray[np.float64]:
        """Mean p over each component's pixels, shape (N,)."""
        return (self.byte_sum / self.area_px - 1) / PROBABILITY_STEPS


def find_components(probability: NDArray[np.uint8], runs: Runs) -> Components:
    """Join the runs of a C-contiguous (H, W) raster to 4-connected components (Rosenfeld and Pfaltz 1966)."""
    found = _components(probability, runs.start, runs.first, runs.end)
    return Components(first_row=found[0], first_col=found[1], area_px=found[2], byte_sum=found[3])


@njit(cache=True, nogil=True)
def _root(parent: NDArray[np.int64], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def _components(
    probability: NDArray[np.uint8], start: NDArray[np.int64], first: NDArray[np.int32], end: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Return (4, N): first row, first col, area, byte sum of each component."""
    parent = np.arange(len(first))
    for row in range(1, len(start) - 1):
        above = start[row - 1]
        for k in range(start[row], start[row + 1]):
            while above < start[row] and end[above] <= first[k]:
                above += 1
            other = above
            while other < start[row] and first[other] < end[k]:
                a, b = _root(parent, other), _root(parent, k)
                parent[max(a, b)] = min(a, b)  # so that a root is the first run of its component
                other += 1
    index = np.empty(len(first), np.int64)
    n = 0
    for k in range(len(first)):
        if parent[k] == k:
            index[k] = n
            n += 1
    out = np.zeros((4, n), np.int64)
    for row in range(len(start) - 1):
        for k in range(start[row], start[row + 1]):
            root = _root(parent, k)
            i = index[root]
            if root == k:
                out[0, i], out[1, i] = row, first[k]
            out[2, i] += end[k] - first[k]
            for col in range(first[k], end[k]):
                out[3, i] += probability[row, col]
    return out
