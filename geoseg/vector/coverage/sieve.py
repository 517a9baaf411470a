"""Minimum mapping unit: patches that are too small go to the neighbour they share most border with."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.coverage.patches import measure_patches, merge_runs
from geoseg.vector.pixels.components import find_root, label_runs
from geoseg.vector.pixels.runs import Runs

LENGTH_STEPS = 256  # of a pixel's shorter side: border lengths are integers, so that ties are ties
PATCH_BYTES, BORDER_BYTES, RUN_BYTES = 72, 12, 56


def sieve(
    runs: Runs,
    min_area_m2: float,
    *,
    row_areas_m2: NDArray[np.float64],
    pixel_size_m: tuple[float, float],
    allow: Callable[[int], None] = lambda _: None,
) -> Runs:
    """Return ``runs`` without patches below ``min_area_m2`` true square metres.

    The smallest goes first, to the neighbour with the longest shared border (then the larger one, then the first in
    raster order), and joins all neighbours of that class; what is still too small goes on. Nodata neither takes nor
    gives, so that a small patch in the midst of it stays. row_areas_m2: true area of a pixel of each row, (H,).
    pixel_size_m: ground (height, width) of a pixel. allow: called with the bytes that this holds at most, once known.
    """
    patch = label_runs(runs)
    patches = measure_patches(runs, patch, row_areas_m2)
    small = patches.area_m2 < min_area_m2
    if not small.any():
        return runs
    steps = np.rint(LENGTH_STEPS * np.asarray(pixel_size_m) / min(pixel_size_m)).astype(np.int64)
    ends = np.full((len(patches), 2), -1, np.int32)
    borders = np.empty((0, 3), np.int32)
    for _ in range(2):  # counted, then kept
        n = _borders(runs.start, runs.first, runs.end, patch, steps, small, ends, borders)
        if not len(borders):
            allow(RUN_BYTES * len(runs) + PATCH_BYTES * len(patches) + BORDER_BYTES * n)
            borders = np.empty((n, 3), np.int32)
    root = _merge(patches.value, patches.area_m2, min_area_m2, ends, borders)
    return merge_runs(runs, patches.value[root[patch]])


@njit(cache=True, nogil=True)
def _share(
    small: NDArray[np.bool_], ends: NDArray[np.int32], borders: NDArray[np.int32], n: int, a: int, b: int, length: int
) -> int:
    """Add a border to the lists of those of its two patches that are small; return how many there are now."""
    if a == b:
        return n
    for owner, other in ((a, b), (b, a)):
        if not small[owner]:
            continue
        if n < len(borders):
            borders[n, 0], borders[n, 1], borders[n, 2] = other, length, ends[owner, 0]
            ends[owner, 0] = n
            if ends[owner, 1] < 0:
                ends[owner, 1] = n
        n += 1
    return n


@njit(cache=True, nogil=True)
def _borders(
    start: NDArray[np.int64],
    first: NDArray[np.int32],
    end: NDArray[np.int32],
    patch: NDArray[np.int32],
    steps: NDArray[np.int64],
    small: NDArray[np.bool_],
    ends: NDArray[np.int32],
    borders: NDArray[np.int32],
) -> int:
    """Link the borders (neighbour, length, next) of each small patch from ends[patch] = first, last; return how many.

    Only counts them while ``borders`` is empty.
    """
    n = 0
    for row in range(len(start) - 1):
        above = start[max(row - 1, 0)]
        for k in range(start[row], start[row + 1]):
            if k > start[row] and end[k - 1] == first[k]:
                n = _share(small, ends, borders, n, patch[k - 1], patch[k], steps[0])
            while above < start[row] and end[above] <= first[k]:
                above += 1
            other = above
            while other < start[row] and first[other] < end[k]:
                overlap = min(end[k], end[other]) - max(first[k], first[other])
                n = _share(small, ends, borders, n, patch[other], patch[k], steps[1] * overlap)
                other += 1
    return n


@njit(cache=True, nogil=True)
def _longest(
    p: int,
    parent: NDArray[np.int32],
    area: NDArray[np.float64],
    total: NDArray[np.int64],
    ends: NDArray[np.int32],
    borders: NDArray[np.int32],
) -> int:
    """Sum the borders of patch p into ``total`` and return the neighbour that has most of them, -1 without one."""
    best, i = -1, ends[p, 0]
    while i >= 0:
        q = find_root(parent, borders[i, 0])
        if q != p:
            total[q] += borders[i, 1]
        i = borders[i, 2]
    i = ends[p, 0]
    while i >= 0:
        q = find_root(parent, borders[i, 0])
        if q != p and (
            best < 0
            or total[q] > total[best]
            or (total[q] == total[best] and (area[q] > area[best] or (area[q] == area[best] and q < best)))
        ):
            best = q
        i = borders[i, 2]
    return best


@njit(cache=True, nogil=True)
def _unite(
    a: int, b: int, parent: NDArray[np.int32], area: NDArray[np.float64], ends: NDArray[np.int32],
    borders: NDArray[np.int32],
) -> int:  # fmt: skip
    """Make two patches one with the number of the first in raster order, and return that."""
    root, other = min(a, b), max(a, b)
    parent[other] = root
    area[root] += area[other]
    if ends[root, 0] < 0:
        ends[root] = ends[other]
    elif ends[other, 0] >= 0:
        borders[ends[root, 1], 2] = ends[other, 0]
        ends[root, 1] = ends[other, 1]
    return root


@njit(cache=True, nogil=True)
def _merge(
    value: NDArray[np.int32],
    area: NDArray[np.float64],
    min_area: float,
    ends: NDArray[np.int32],
    borders: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Merge small patches, changing value and area of those that stay; return the one that each patch belongs to."""
    count = len(value)
    parent = np.arange(count).astype(np.int32)
    total = np.zeros(count, np.int64)
    queue = [(area[p], p) for p in range(count) if area[p] < min_area]
    heapify(queue)
    while len(queue) > 0:
        size, p = heappop(queue)
        if parent[p] != p or area[p] != size:  # merged, or grown, since it was queued
            continue
        best = _longest(p, parent, area, total, ends, borders)
        if best < 0:  # nothing but nodata around it
            continue
        joined, root, i, last = value[best], p, ends[p, 0], ends[p, 1]
        while i >= 0:
            after = borders[i, 2] if i != last else -1
            q = find_root(parent, borders[i, 0])
            total[q] = 0
            if q != root and value[q] == joined:
                root = _unite(root, q, parent, area, ends, borders)
            i = after
        value[root] = joined
        if area[root] < min_area:
            heappush(queue, (area[root], root))
    for p in range(count):
        parent[p] = find_root(parent, p)
    return parent
