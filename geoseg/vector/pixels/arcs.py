"""Arcs: the borders between patches, from node to node, each kept once for both of its sides."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.pixels.components import OUTSIDE, component_at
from geoseg.vector.pixels.runs import Runs

# Directions along pixel edges, clockwise, so that +1 is a right turn: right, down, left, up as (col, row).
STEP = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
RIGHT, DOWN, LEFT, UP = range(4)
NODE = 16  # bit of ``Corners.edges``; bit d is the edge in direction d


@dataclass(frozen=True, slots=True, eq=False)
class Corners:
    """Pixel corners where a border turns, branches or ends, in raster order; arrays of shape (V,) but for row_start.

    x, y: col and row of the corner. edges: bits of the directions in which a border leaves it, and NODE where more than
    two do, and at the raster's own corners. above, below: the corner at the other end of its vertical edges. Row y of
    corners is row_start[y] to row_start[y + 1]; the other end of a horizontal edge is the next corner of the row.
    """

    x: NDArray[np.int32]
    y: NDArray[np.int32]
    edges: NDArray[np.uint8]
    above: NDArray[np.int32]
    below: NDArray[np.int32]
    row_start: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Arcs:
    """Borders from node to node, or closed.

    Arc a runs along the corners at corner[start[a]:start[a + 1]], ends included; a closed one ends where it begins.
    Half-arc 2 a is arc a forwards, 2 a + 1 backwards. left: (2 A,) the patch on its left, OUTSIDE for none. following:
    (2 A,) the half-arc on which the ring of that patch goes on, counter-clockwise around it.
    """

    corner: NDArray[np.int32]
    start: NDArray[np.int64]
    left: NDArray[np.int32]
    following: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.start) - 1


def count_corners(runs: Runs, patch: NDArray[np.int32]) -> int:
    """Return how many corners ``find_corners`` will find."""
    return _count(runs, patch, _no_corners(runs, 0))


def find_corners(runs: Runs, patch: NDArray[np.int32]) -> Corners:
    """Return the corners of the borders between patches; patch: (K,) as by ``label_runs``."""
    found = _no_corners(runs, count_corners(runs, patch))
    _count(runs, patch, found)
    return found


def _no_corners(runs: Runs, count: int) -> Corners:
    x, y, above, below = (np.empty(count, np.int32) for _ in range(4))
    return Corners(x, y, np.empty(count, np.uint8), above, below, np.zeros(runs.height + 2, np.int64))


def _count(runs: Runs, patch: NDArray[np.int32], to: Corners) -> int:
    """Write the corners to ``to``, or only count them where that has no room."""
    held = to.x, to.y, to.edges, to.above, to.below, to.row_start
    return _corners(runs.start, runs.first, runs.end, patch, runs.width, *held)


@njit(cache=True, nogil=True)
def _edges(up_left: int, up_right: int, down_left: int, down_right: int) -> int:
    """Bits of the borders that meet between four pixels, by their patches."""
    return (
        ((up_right != down_right) << RIGHT)
        | ((down_left != down_right) << DOWN)
        | ((up_left != down_left) << LEFT)
        | ((up_left != up_right) << UP)
    )


@njit(cache=True, nogil=True)
def _degree(edges: int) -> int:
    return (edges & 1) + (edges >> 1 & 1) + (edges >> 2 & 1) + (edges >> 3 & 1)


@njit(cache=True, nogil=True)
def _change(first: NDArray[np.int32], end: NDArray[np.int32], k: int, stop: int, col: int, width: int) -> int:
    """Where, behind ``col``, the next run of a row begins or ends; k: the first of its runs that ends there."""
    if k == stop:
        return width
    return end[k] if first[k] <= col else first[k]


@njit(cache=True, nogil=True)
def _corners(
    start: NDArray[np.int64],
    first: NDArray[np.int32],
    end: NDArray[np.int32],
    patch: NDArray[np.int32],
    width: int,
    x: NDArray[np.int32],
    y: NDArray[np.int32],
    edges: NDArray[np.uint8],
    above: NDArray[np.int32],
    below: NDArray[np.int32],
    row_start: NDArray[np.int64],
) -> int:
    """Write the corners, or only count them where ``x`` is empty; return how many."""
    height = len(start) - 1
    open_corner = np.full(width + 1, -1, np.int32)  # of each column: where its vertical edge began
    n = 0
    for row in range(height + 1):
        i, j = start[max(row - 1, 0)], start[row]  # runs above and below this row of corners
        i_stop, j_stop = start[row], start[min(row + 1, height)]
        col, up_left, down_left = 0, OUTSIDE, OUTSIDE
        while True:
            up_right = patch[i] if i < i_stop and first[i] <= col else OUTSIDE
            down_right = patch[j] if j < j_stop and first[j] <= col else OUTSIDE
            found = _edges(up_left, up_right, down_left, down_right)
            if found not in (0, 1 << DOWN | 1 << UP):
                if len(x):
                    of_raster = (row in (0, height)) and (col in (0, width))
                    x[n], y[n] = col, row
                    edges[n] = found | (NODE if of_raster or _degree(found) > 2 else 0)
                    above[n] = below[n] = -1
                    if found >> UP & 1:
                        above[n] = open_corner[col]
                        below[open_corner[col]] = n
                    if found >> DOWN & 1:
                        open_corner[col] = n
                n += 1
            if col == width:
                break
            after = min(_change(first, end, i, i_stop, col, width), _change(first, end, j, j_stop, col, width))
            col, up_left, down_left = after, up_right, down_right
            i += i < i_stop and end[i] == col
            j += j < j_stop and end[j] == col
        row_start[row + 1] = n
    return n


def find_arcs(corners: Corners, runs: Runs, patch: NDArray[np.int32]) -> Arcs:
    """Follow the borders between corners, and link them to rings around each patch."""
    nodes = np.flatnonzero(corners.edges & NODE).astype(np.int32)
    inner = len(corners.x) - len(nodes)
    ends = int(np.bitwise_count(corners.edges[nodes] & (NODE - 1)).sum())
    corner = np.empty(inner + ends + inner // 4, np.int32)  # a closed arc has four corners or more, and one twice
    start = np.zeros(ends // 2 + inner // 4 + 1, np.int64)
    leaving = np.full((len(nodes), 4), -1, np.int32)
    arriving = np.empty((len(start) - 1) * 2, np.int32)  # of each half-arc: 4 x its last node + direction, -1 if closed
    found = _follow(corners.edges, corners.above, corners.below, nodes, corner, start, leaving, arriving)
    corner, start = corner[: start[found]].copy(), start[: found + 1].copy()
    left = _sides(corners.x, corners.y, corner, start, runs.start, runs.first, runs.end, patch)
    return Arcs(corner, start, left, _link(leaving, arriving, left))


@njit(cache=True, nogil=True)
def _next_corner(v: int, direction: int, above: NDArray[np.int32], below: NDArray[np.int32]) -> int:
    if direction == RIGHT:
        return v + 1
    if direction == DOWN:
        return below[v]
    return v - 1 if direction == LEFT else above[v]


@njit(cache=True, nogil=True)
def _trace(
    v: int,
    direction: int,
    edges: NDArray[np.uint8],
    above: NDArray[np.int32],
    below: NDArray[np.int32],
    seen: NDArray[np.bool_],
    corner: NDArray[np.int32],
    n: int,
) -> tuple[int, int]:
    """Write the arc that leaves corner v to corner[n:], ends included; return its end there, and the last direction."""
    begin = v
    corner[n] = v
    n += 1
    while True:
        v = _next_corner(v, direction, above, below)
        corner[n] = v
        n += 1
        if edges[v] & NODE or v == begin:
            return n, direction
        seen[v] = True
        turn = (direction + 1) % 4
        direction = turn if edges[v] >> turn & 1 else (direction + 3) % 4


@njit(cache=True, nogil=True)
def _follow(
    edges: NDArray[np.uint8],
    above: NDArray[np.int32],
    below: NDArray[np.int32],
    nodes: NDArray[np.int32],
    corner: NDArray[np.int32],
    start: NDArray[np.int64],
    leaving: NDArray[np.int32],
    arriving: NDArray[np.int32],
) -> int:
    """Write all arcs, those between nodes first; return how many."""
    seen = np.zeros(len(edges), np.bool_)
    arcs = 0
    for k in range(len(nodes)):
        for direction in range(4):
            if not edges[nodes[k]] >> direction & 1 or leaving[k, direction] >= 0:
                continue
            end, last = _trace(nodes[k], direction, edges, above, below, seen, corner, start[arcs])
            other = np.searchsorted(nodes, corner[end - 1])
            leaving[k, direction] = 2 * arcs
            leaving[other, (last + 2) % 4] = 2 * arcs + 1
            arriving[2 * arcs] = 4 * other + last
            arriving[2 * arcs + 1] = 4 * k + (direction + 2) % 4
            arcs += 1
            start[arcs] = end
    for v in range(len(edges)):
        if seen[v] or edges[v] & NODE:
            continue
        seen[v] = True
        end, _ = _trace(v, RIGHT, edges, above, below, seen, corner, start[arcs])
        arriving[2 * arcs] = arriving[2 * arcs + 1] = -1
        arcs += 1
        start[arcs] = end
    return arcs


@njit(cache=True, nogil=True)
def _sides(
    x: NDArray[np.int32],
    y: NDArray[np.int32],
    corner: NDArray[np.int32],
    start: NDArray[np.int64],
    run_start: NDArray[np.int64],
    first: NDArray[np.int32],
    end: NDArray[np.int32],
    patch: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Return the patch to the left of each half-arc, looked up beside the first edge."""
    left = np.empty(2 * (len(start) - 1), np.int32)
    for arc in range(len(start) - 1):
        a, b = corner[start[arc]], corner[start[arc] + 1]
        col, row = min(x[a], x[b]), min(y[a], y[b])
        after = component_at(run_start, first, end, patch, row, col)  # the pixel below, or to the right of, the edge
        if y[a] == y[b]:
            before, leftwards = component_at(run_start, first, end, patch, row - 1, col), x[b] < x[a]
        else:
            before, leftwards = component_at(run_start, first, end, patch, row, col - 1), y[b] > y[a]
        left[2 * arc] = after if leftwards else before
        left[2 * arc + 1] = before if leftwards else after
    return left


@njit(cache=True, nogil=True)
def _link(leaving: NDArray[np.int32], arriving: NDArray[np.int32], left: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the half-arc after each, around the patch on its left.

    Where a patch has both pixels of a diagonal, its ring turns right, from one of them to the other: the two pixels
    between are apart, and so a shell never touches itself; it may touch a hole, in single points.
    """
    following = np.arange(len(left)).astype(np.int32)  # a closed arc follows itself
    for half in range(len(left)):
        if arriving[half] < 0:
            continue
        node, direction = arriving[half] // 4, arriving[half] % 4
        for turn in (1, 0, 3):
            out = leaving[node, (direction + turn) % 4]
            if out >= 0 and left[out] == left[half]:
                following[half] = out
                break
    return following
