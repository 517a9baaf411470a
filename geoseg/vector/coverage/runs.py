"""Class rasters as runs of equal pixels: what coverages are made from, read strip by strip in any height."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geoseg.vector.pixels.components import join

NODATA = np.int32(-(2**31))  # value of the runs that belong to no class
RUN_BYTES = 16  # of a run and the patch it belongs to, while runs are joined to one array
OUTSIDE = -1  # patch number of nodata, and of all that lies off the raster


@dataclass(frozen=True, slots=True, eq=False)
class ClassRuns:
    """Rows of a class raster as runs of equal pixels, from left to right, without gaps.

    Row r has the runs start[r] to start[r + 1]; start: (H + 1,). first: (K,) column where a run begins; value: (K,) its
    class, or NODATA. Neighbours in a row differ in value. Memory grows with the borders, not with the pixels.
    """

    width: int
    start: NDArray[np.int64]
    first: NDArray[np.int32]
    value: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def height(self) -> int:
        """Rows."""
        return len(self.start) - 1


class RunCollector:
    """Collects a raster's runs from strips of whole rows, top to bottom.

    >>> rows = RunCollector(3)
    >>> rows.add(np.array([[7, 7, 2]], np.uint8), np.array([[True, True, False]]))
    >>> runs = rows.finish()
    >>> runs.first.tolist(), (runs.value == NODATA).tolist()
    ([0, 2], [False, True])
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self._width = width
        self._strips: list[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]] = []

    def add(self, values: NDArray[np.integer], valid: NDArray[np.bool_] | None = None) -> None:
        """Take the next rows: C-contiguous (h, W) integers that fit 32 bits; valid: None where all of them count."""
        start, first, value = _find(values, np.ones((1, 1), np.bool_) if valid is None else valid, valid is not None)
        self._strips.append((start[1:] + self.count, first, value))
        self.count += len(first)

    def finish(self) -> ClassRuns:
        """Return all runs; the collector is empty afterwards."""
        starts, firsts, values = ([strip[i] for strip in self._strips] for i in range(3))
        self._strips.clear()
        start = np.concatenate([np.zeros(1, np.int64), *starts])
        first = np.concatenate(firsts).astype(np.int32, copy=False)
        firsts.clear()
        return ClassRuns(self._width, start, first, np.concatenate(values).astype(np.int32, copy=False))


@njit(cache=True, nogil=True)
def _find(
    values: NDArray[np.integer], valid: NDArray[np.bool_], masked: bool
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    height, width = values.shape
    start = np.zeros(height + 1, np.int64)
    for row in range(height):
        count = 1
        if masked:
            for col in range(1, width):
                here, before = valid[row, col], valid[row, col - 1]
                count += (here != before) | (here & (values[row, col] != values[row, col - 1]))
        else:
            for col in range(1, width):
                count += values[row, col] != values[row, col - 1]
        start[row + 1] = start[row] + count
    first = np.empty(start[height], np.int32)
    value = np.empty(start[height], np.int32)
    for row in range(height):
        k, end = start[row], start[row + 1]
        first[k] = 0
        value[k] = values[row, 0] if not masked or valid[row, 0] else NODATA
        col = 1
        while k + 1 < end:  # the rest of the row is one run
            last = value[k]
            here = values[row, col] if not masked or valid[row, col] else NODATA
            if here != last:
                k += 1
                first[k], value[k] = col, here
            col += 1
    return start, first, value


@njit(cache=True, nogil=True)
def run_end(start: NDArray[np.int64], first: NDArray[np.int32], width: int, row: int, k: int) -> int:
    """Column behind run k of ``row``."""
    return first[k + 1] if k + 1 < start[row + 1] else width


@njit(cache=True, nogil=True)
def patch_at(
    start: NDArray[np.int64], first: NDArray[np.int32], patch: NDArray[np.int32], width: int, row: int, col: int
) -> int:
    """Patch of a pixel, OUTSIDE off the raster."""
    if row < 0 or row >= len(start) - 1 or col < 0 or col >= width:
        return OUTSIDE
    a, b = start[row], start[row + 1]
    while b - a > 1:
        middle = (a + b) // 2
        if first[middle] <= col:
            a = middle
        else:
            b = middle
    return patch[a]


def find_patches(runs: ClassRuns) -> NDArray[np.int32]:
    """Return the patch of each run, shape (K,): 4-connected pixels of one class, numbered by their first pixels.

    Numbers follow raster order, from 0; nodata is OUTSIDE. Union-find over the rows (Rosenfeld and Pfaltz 1966).
    """
    return _patches(runs.start, runs.first, runs.value, runs.width)


@njit(cache=True, nogil=True)
def _patches(
    start: NDArray[np.int64], first: NDArray[np.int32], value: NDArray[np.int32], width: int
) -> NDArray[np.int32]:
    parent = np.arange(len(first)).astype(np.int32)
    for row in range(1, len(start) - 1):
        above = start[row - 1]
        for k in range(start[row], start[row + 1]):
            end = run_end(start, first, width, row, k)
            while run_end(start, first, width, row - 1, above) <= first[k]:
                above += 1
            other = above
            while other < start[row] and first[other] < end:
                if value[other] == value[k]:
                    join(parent, other, k)  # a root is the first run of its patch
                other += 1
    count = 0
    for k in range(len(parent)):  # in place: a parent comes before its children
        if value[k] == NODATA:
            parent[k] = OUTSIDE
        elif parent[k] == k:
            parent[k] = count
            count += 1
        else:
            parent[k] = parent[parent[k]]
    return parent


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """What is known of each patch: its class, its pixels, and its true ground area in m²; all of shape (N,)."""

    value: NDArray[np.int32]
    area_px: NDArray[np.int64]
    area_m2: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.value)


def measure_patches(runs: ClassRuns, patch: NDArray[np.int32], row_areas_m2: NDArray[np.float64]) -> Patches:
    """Measure the patches of ``find_patches``; row_areas_m2: true area of a pixel of each row, (H,)."""
    count = int(patch.max(initial=OUTSIDE)) + 1
    return Patches(*_measure(runs.start, runs.first, runs.value, runs.width, patch, row_areas_m2, count))


@njit(cache=True, nogil=True)
def _measure(
    start: NDArray[np.int64],
    first: NDArray[np.int32],
    value: NDArray[np.int32],
    width: int,
    patch: NDArray[np.int32],
    row_areas_m2: NDArray[np.float64],
    count: int,
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]:
    class_of = np.empty(count, np.int32)
    area_px = np.zeros(count, np.int64)
    area_m2 = np.zeros(count, np.float64)
    for row in range(len(start) - 1):
        for k in range(start[row], start[row + 1]):
            p = patch[k]
            if p >= 0:
                length = run_end(start, first, width, row, k) - first[k]
                class_of[p] = value[k]
                area_px[p] += length
                area_m2[p] += length * row_areas_m2[row]
    return class_of, area_px, area_m2


def merge_runs(runs: ClassRuns, value: NDArray[np.int32]) -> ClassRuns:
    """Return the runs with new values, shape (K,), neighbours in a row joined where they are alike now."""
    begins = np.ones(len(runs), bool)
    begins[1:] = value[1:] != value[:-1]
    begins[runs.start[:-1]] = True
    number = np.concatenate([np.zeros(1, np.int64), np.cumsum(begins)])
    return ClassRuns(runs.width, number[runs.start], runs.first[begins], value[begins])
