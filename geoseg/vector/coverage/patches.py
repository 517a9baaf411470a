"""Patches of a class raster: what is known of each, and runs whose classes have changed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.pixels.components import OUTSIDE
from geoseg.vector.pixels.runs import Runs

RUN_BYTES = 20  # of a run and the patch it belongs to, while runs are joined to one array


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """N components of one class each, in raster order of their first pixels."""

    value: NDArray[np.int32]
    """The class, (N,)."""
    area_px: NDArray[np.int64]
    """Number of pixels, (N,)."""
    area_m2: NDArray[np.float64]
    """True ground area, (N,)."""

    def __len__(self) -> int:
        return len(self.value)


def measure_patches(runs: Runs, patch: NDArray[np.int32], row_areas_m2: NDArray[np.float64]) -> Patches:
    """Measure the components of ``label_runs``; row_areas_m2: true area of a pixel of each row, (H,)."""
    count = int(patch.max(initial=OUTSIDE)) + 1
    return Patches(*_measure(runs.start, runs.first, runs.end, runs.value, patch, row_areas_m2, count))


@njit(cache=True, nogil=True)
def _measure(
    start: NDArray[np.int64],
    first: NDArray[np.int32],
    end: NDArray[np.int32],
    value: NDArray[np.int32],
    patch: NDArray[np.int32],
    row_areas_m2: NDArray[np.float64],
    count: int,
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]:
    class_of = np.empty(count, np.int32)
    area_px = np.zeros(count, np.int64)
    area_m2 = np.zeros(count, np.float64)
    for row in range(len(start) - 1):
        for k in range(start[row], start[row + 1]):
            p, length = patch[k], end[k] - first[k]
            class_of[p] = value[k]
            area_px[p] += length
            area_m2[p] += length * row_areas_m2[row]
    return class_of, area_px, area_m2


def merge_runs(runs: Runs, value: NDArray[np.int32]) -> Runs:
    """Return the runs with new values, shape (K,), those joined that meet in a row and are alike now."""
    begins = np.ones(len(runs) + 1, bool)
    begins[1:-1] = (value[1:] != value[:-1]) | (runs.first[1:] != runs.end[:-1])
    begins[runs.start] = True
    number = np.concatenate([np.zeros(1, np.int64), np.cumsum(begins[:-1])])
    first, last = begins[:-1], begins[1:]
    return Runs(runs.width, number[runs.start], runs.first[first], runs.end[last], value[first])
