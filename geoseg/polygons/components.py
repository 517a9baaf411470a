"""Connected components of the pixels at or above a threshold, as exact integer sums in one pass over the raster."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geoseg.errors import ConfigError

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


def find_components(probability: NDArray[np.uint8], *, threshold: float) -> Components:
    """Return the 4-connected components of the pixels with p >= ``threshold``.

    probability: (H, W) bytes, 0 = nodata. Runs of pixels are joined by union-find (Rosenfeld and Pfaltz 1966), so that
    memory grows with the number of runs, not of pixels.
    """
    found = _scan(np.ascontiguousarray(probability), threshold_byte(threshold))
    return Components(first_row=found[0], first_col=found[1], area_px=found[2], byte_sum=found[3])


@njit(cache=True)
def _grown(a: NDArray[np.int64]) -> NDArray[np.int64]:
    out = np.zeros((2 * a.shape[0], a.shape[1]), np.int64)
    out[: a.shape[0]] = a
    return out


@njit(cache=True)
def _root(parent: NDArray[np.int64], i: int) -> int:
    while parent[i, 0] != i:
        parent[i, 0] = parent[parent[i, 0], 0]
        i = parent[i, 0]
    return i


@njit(cache=True)
def _scan(probability: NDArray[np.uint8], low: int) -> NDArray[np.int64]:
    """Return (4, N): first row, first col, area, byte sum of each component."""
    height, width = probability.shape
    runs = np.empty((1024, 5), np.int64)  # row, first col, end col, pixels, byte sum; later: totals of its component
    parent = np.empty((1024, 1), np.int64)
    count = 0
    above, above_end = 0, 0  # the runs of the row before
    for row in range(height):
        start = count
        col = 0
        while col < width:
            if probability[row, col] < low:
                col += 1
                continue
            first, total = col, 0
            while col < width and probability[row, col] >= low:
                total += probability[row, col]
                col += 1
            if count == len(runs):
                runs, parent = _grown(runs), _grown(parent)
            runs[count, 0], runs[count, 1], runs[count, 2] = row, first, col
            runs[count, 3], runs[count, 4] = col - first, total
            parent[count, 0] = count
            while above < above_end and runs[above, 2] <= first:
                above += 1
            other = above
            while other < above_end and runs[other, 1] < col:
                a, b = _root(parent, other), _root(parent, count)
                parent[max(a, b), 0] = min(a, b)
                other += 1
            count += 1
        above, above_end = start, count
    return _totals(runs[:count], parent)


@njit(cache=True)
def _totals(runs: NDArray[np.int64], parent: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum the runs of each component; the root is its first run, so that the order is that of the raster."""
    index = np.empty(len(runs), np.int64)
    n = 0
    for i in range(len(runs)):
        if parent[i, 0] == i:
            index[i] = n
            n += 1
    out = np.zeros((4, n), np.int64)
    for i in range(len(runs)):
        root = _root(parent, i)
        k = index[root]
        if root == i:
            out[0, k], out[1, k] = runs[i, 0], runs[i, 1]
        out[2, k] += runs[i, 3]
        out[3, k] += runs[i, 4]
    return out
