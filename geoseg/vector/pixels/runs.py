"""Runs of inside pixels, row by row: from them components and contours are found in memory that grows with the runs."""

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
class Runs:
    """Stretches of inside pixels: run k covers columns first[k] <= col < end[k]; row r has start[r] to start[r + 1].

    start: (H + 1,) int64. first, end: (K,) int32, in raster order.
    """

    start: NDArray[np.int64]
    first: NDArray[np.int32]
    end: NDArray[np.int32]


def find_runs(probability: NDArray[np.uint8], low: int) -> Runs:
    """Return the runs of pixels with a byte of at least ``low`` in a C-contiguous (H, W) raster."""
    return Runs(*_find_runs(probability, low))


@njit(cache=True, nogil=True)
def _find_runs(
    probability: NDArray[np.uint8], low: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    height, width = probability.shape
    start = np.zeros(height + 1, np.int64)
    for row in range(height):
        count, before = 0, False
        for col in range(width):
            inside = probability[row, col] >= low
            count += inside & (not before)
            before = inside
        start[row + 1] = start[row] + count
    first = np.empty(start[height], np.int32)
    end = np.empty(start[height], np.int32)
    k = 0
    for row in range(height):
        if start[row] == start[row + 1]:
            continue
        before = False
        for col in range(width):
            inside = probability[row, col] >= low
            if inside and not before:
                first[k] = col
            elif before and not inside:
                end[k] = col
                k += 1
            before = inside
        if before:
            end[k] = width
            k += 1
    return start, first, end
