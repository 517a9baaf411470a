"""Plainer arcs within a tolerance, so that neighbours keep sharing them and none comes to cross another."""

from dataclasses import replace
from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.pixels.arcs import NODE, Arcs, Corners

LEAST_CLOSED = 4  # corners of a closed arc: a lone pixel stays a square


def simplify(corners: Corners, arcs: Arcs, *, tolerance_m: float, pixel_size_m: tuple[float, float]) -> Arcs:
    """Return ``arcs`` with fewer corners: nodes stay, and what goes lies within ``tolerance_m`` of what stays.

    Corners go in the order of the triangles they make with their neighbours (Visvalingam and Whyatt 1993), each only
    where all corners dropped between its neighbours lie within the tolerance of the new edge, and where its triangle
    holds no other corner: no arc ever sweeps over another, so that a valid coverage stays valid.
    """
    inner = np.diff(arcs.start) - 2
    ends = np.sort(np.column_stack([arcs.corner[arcs.start[:-1]], arcs.corner[arcs.start[1:] - 1]]), axis=1)
    order = np.lexsort((inner, ends[:, 1], ends[:, 0]))  # stable: of equals the first arc
    repeated = np.zeros(len(arcs), bool)
    repeated[order[1:]] = (ends[order[1:]] == ends[order[:-1]]).all(1)
    # One of the arcs between two nodes may become a straight line, the others keep a corner to stay apart from it.
    least_inner = np.where(ends[:, 0] == ends[:, 1], LEAST_CLOSED - 1, repeated)
    scale = np.array([pixel_size_m[1], pixel_size_m[0]])
    corner = arcs.corner.copy()
    kept = _simplify(
        corners.x, corners.y, corners.row_start, corners.edges, corner, arcs.start, least_inner, scale, tolerance_m
    )
    number = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
    return replace(arcs, corner=corner[kept], start=number[arcs.start])


@njit(cache=True, nogil=True)
def _twice_area(x: NDArray[np.int32], y: NDArray[np.int32], a: int, b: int, c: int) -> int:
    """Twice the signed area of a triangle of corners."""
    return (np.int64(x[b]) - x[a]) * (np.int64(y[c]) - y[a]) - (np.int64(x[c]) - x[a]) * (np.int64(y[b]) - y[a])


@njit(cache=True, nogil=True)
def _first_at(x: NDArray[np.int32], low: int, high: int, col: float) -> int:
    """First corner of x[low:high], which ascends, at ``col`` or behind it."""
    while low < high:
        middle = (low + high) // 2
        if x[middle] < col:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _is_empty(
    x: NDArray[np.int32],
    y: NDArray[np.int32],
    row_start: NDArray[np.int64],
    alive: NDArray[np.bool_],
    a: int,
    b: int,
    c: int,
) -> bool:
    """Whether the closed triangle of three corners holds no other corner that is alive."""
    area = _twice_area(x, y, a, b, c)
    sign = 1 if area > 0 else -1
    low_x, high_x = min(x[a], x[b], x[c]), max(x[a], x[b], x[c])
    for row in range(min(y[a], y[b], y[c]), max(y[a], y[b], y[c]) + 1):
        left, right = np.float64(high_x), np.float64(low_x)
        for p, q in ((a, b), (b, c), (c, a)):  # the triangle's columns in this row
            if min(y[p], y[q]) <= row <= max(y[p], y[q]):
                if y[p] == y[q]:
                    left, right = min(left, x[p], x[q]), max(right, x[p], x[q])
                else:
                    at = x[p] + (x[q] - x[p]) * ((row - y[p]) / (y[q] - y[p]))
                    left, right = min(left, at), max(right, at)
        v = _first_at(x, row_start[row], row_start[row + 1], left - 1)
        while v < row_start[row + 1] and x[v] <= right + 1:
            if alive[v] and v not in (a, b, c):
                inside = (
                    sign * _twice_area(x, y, a, b, v) >= 0
                    and sign * _twice_area(x, y, b, c, v) >= 0
                    and sign * _twice_area(x, y, c, a, v) >= 0
                )
                if inside:
                    return False
            v += 1
    return True


@njit(cache=True, nogil=True)
def _within(
    x: NDArray[np.int32],
    y: NDArray[np.int32],
    scale: NDArray[np.float64],
    tolerance: float,
    arc: NDArray[np.int32],
    i: int,
    k: int,
) -> bool:
    """Whether the arc's corners strictly between positions i and k, cyclic, lie within ``tolerance`` of that edge."""
    ax, ay = x[arc[i]] * scale[0], y[arc[i]] * scale[1]
    dx, dy = x[arc[k]] * scale[0] - ax, y[arc[k]] * scale[1] - ay
    squared = dx * dx + dy * dy
    j = (i + 1) % len(arc)
    while j != k:
        px, py = x[arc[j]] * scale[0] - ax, y[arc[j]] * scale[1] - ay
        along = min(1.0, max(0.0, (px * dx + py * dy) / squared)) if squared > 0 else 0.0
        if (px - along * dx) ** 2 + (py - along * dy) ** 2 > tolerance * tolerance:
            return False
        j = (j + 1) % len(arc)
    return True


@njit(cache=True, nogil=True)
def _simplify(
    x: NDArray[np.int32],
    y: NDArray[np.int32],
    row_start: NDArray[np.int64],
    edges: NDArray[np.uint8],
    corner: NDArray[np.int32],
    start: NDArray[np.int64],
    least_inner: NDArray[np.int64],
    scale: NDArray[np.float64],
    tolerance: float,
) -> NDArray[np.bool_]:
    """Return which entries of ``corner`` stay; closed arcs end where they begin then."""
    alive = np.ones(len(x), np.bool_)
    kept = np.ones(len(corner), np.bool_)
    for a in range(len(start) - 1):
        ring = not edges[corner[start[a]]] & NODE
        arc = corner[start[a] : start[a + 1] - ring]
        stays = kept[start[a] : start[a + 1] - ring]
        spare = len(arc) - LEAST_CLOSED if ring else len(arc) - 2 - least_inner[a]
        if spare > 0:
            _thin(x, y, row_start, scale, tolerance, arc, ring, spare, alive, stays)
        if ring:
            corner[start[a + 1] - 1] = arc[np.argmax(stays)]
    return kept


@njit(cache=True, nogil=True)
def _thin(
    x: NDArray[np.int32],
    y: NDArray[np.int32],
    row_start: NDArray[np.int64],
    scale: NDArray[np.float64],
    tolerance: float,
    arc: NDArray[np.int32],
    ring: bool,
    spare: int,
    alive: NDArray[np.bool_],
    stays: NDArray[np.bool_],
) -> None:
    """Drop up to ``spare`` corners of an arc, marking them in ``alive`` and ``stays``; a ring's ends may go as well."""
    n = len(arc)
    before = (np.arange(n) - 1) % n
    after = (np.arange(n) + 1) % n
    area = np.full(n, -1, np.int64)
    queue = [(np.int64(0), np.int64(0)) for _ in range(0)]
    for i in range(0 if ring else 1, n if ring else n - 1):
        area[i] = abs(_twice_area(x, y, arc[before[i]], arc[i], arc[after[i]]))
        queue.append((area[i], np.int64(i)))
    heapify(queue)
    while len(queue) > 0 and spare > 0:
        size, j = heappop(queue)
        if area[j] != size:  # gone, or with other neighbours since it was queued
            continue
        area[j] = -1
        i, k = before[j], after[j]
        if not _within(x, y, scale, tolerance, arc, i, k):
            continue
        if not _is_empty(x, y, row_start, alive, arc[i], arc[j], arc[k]):
            continue
        alive[arc[j]] = stays[j] = False
        after[i], before[k] = k, i
        spare -= 1
        for m in (i, k):
            if ring or 0 < m < n - 1:
                area[m] = abs(_twice_area(x, y, arc[before[m]], arc[m], arc[after[m]]))
                heappush(queue, (area[m], np.int64(m)))
