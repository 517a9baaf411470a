"""Arcs: the lines between buildings of a label image, from node to node along pixel edges."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Sides of a lattice point in turning order: right, down, left, up, as (col, row).
STEP = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
CORNERS = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])  # the pixels around one, (col, row) where labels are padded by one


@dataclass(frozen=True, slots=True, eq=False)
class Arcs:
    """Lines along which two buildings touch, in raster order of their first point.

    Lattice points are the corners of pixels, (0, 0) the outer corner of the first one::

        0   1   2   3
      0 +---+---+---+        labels A A B      arc 0: (2, 0) -> (2, 1) -> (1, 1) -> (1, 2)
        | A | A | B |               A B B
      1 +---+---+---+
        | A | B | B |
      2 +---+---+---+
    """

    xy: NDArray[np.int32] | NDArray[np.float64]
    """Points (col, row) of all arcs, (P, 2): lattice points one pixel apart; at most a pixel apart elsewhere."""
    start: NDArray[np.int64]
    """Arc k has the points start[k] to start[k + 1], (A + 1,); an arc around a building ends where it began."""
    sides: NDArray[np.int32]
    """The two labels, the smaller first, (A, 2)."""
    inner: NDArray[np.bool_]
    """Whether the first and the last point are nodes between buildings alone, (A, 2); others lie on the outline."""
    beyond: NDArray[np.float64]
    """Centre of an outside pixel at each end that lies on the outline, (A, 2, 2)."""

    def __len__(self) -> int:
        return len(self.sides)

    def points(self, k: int) -> NDArray[np.int32] | NDArray[np.float64]:
        """Return the points of arc k, (P, 2)."""
        return self.xy[self.start[k] : self.start[k + 1]]


def trace_arcs(labels: NDArray[np.int32]) -> Arcs:
    """Trace the edges between pixels of two labels, both above 0, in an (H, W) label image.

    Arcs end at nodes: where three or more labels or the background meet, or where two labels meet crosswise.
    """
    padded = np.pad(labels, 1)
    xy, start, sides = _trace_arcs(padded)
    ends = xy[np.stack([start[:-1], start[1:] - 1], axis=1)]
    around = ends[..., None, :] + CORNERS
    outside = padded[around[..., 1], around[..., 0]] == 0
    beyond = ends + CORNERS[outside.argmax(axis=-1)] - 0.5
    return Arcs(xy, start, sides, ~outside.any(axis=-1), beyond)


@njit(cache=True, nogil=True)
def _sides(labels: NDArray[np.int32], row: int, col: int, step: int) -> tuple[int, int]:
    """Return the labels on both sides of an edge that leaves a lattice point, the smaller first.

    labels: padded by one pixel.
    """
    if step == 0:
        a, b = labels[row, col + 1], labels[row + 1, col + 1]
    elif step == 1:
        a, b = labels[row + 1, col], labels[row + 1, col + 1]
    elif step == 2:
        a, b = labels[row, col], labels[row + 1, col]
    else:
        a, b = labels[row, col], labels[row, col + 1]
    return min(a, b), max(a, b)


@njit(cache=True, nogil=True)
def _is_edge(labels: NDArray[np.int32], row: int, col: int, step: int) -> bool:
    a, b = _sides(labels, row, col, step)
    return a > 0 and a != b


@njit(cache=True, nogil=True)
def _is_node(labels: NDArray[np.int32], row: int, col: int) -> bool:
    """Whether arcs end at a lattice point."""
    count, first, second = 0, (0, 0), (0, 0)
    for step in range(4):
        if _is_edge(labels, row, col, step):
            first, second = second, _sides(labels, row, col, step)
            count += 1
    return count != 0 and not (count == 2 and first == second)


@njit(cache=True, nogil=True)
def _follow(
    labels: NDArray[np.int32], seen: NDArray[np.uint8], row: int, col: int, step: int, xy: NDArray[np.int32], n: int
) -> int:
    """Write the arc that leaves a lattice point to xy[n:], up to a node or its own start; return the end index."""
    row0, col0 = row, col
    xy[n, 0], xy[n, 1] = col, row
    n += 1
    while True:
        seen[row, col] |= 1 << step
        row, col = row + STEP[step, 1], col + STEP[step, 0]
        back = (step + 2) % 4
        seen[row, col] |= 1 << back
        xy[n, 0], xy[n, 1] = col, row
        n += 1
        if (row == row0 and col == col0) or _is_node(labels, row, col):
            return n
        for ahead in range(4):
            if ahead != back and _is_edge(labels, row, col, ahead):
                step = ahead
                break


@njit(cache=True, nogil=True)
def _count_edges(labels: NDArray[np.int32]) -> int:
    count = 0
    for row in range(labels.shape[0] - 1):
        for col in range(labels.shape[1] - 1):
            count += _is_edge(labels, row, col, 0)
            count += _is_edge(labels, row, col, 1)
    return count


@njit(cache=True, nogil=True)
def _trace_arcs(labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]:
    edges = _count_edges(labels)
    height, width = labels.shape[0] - 1, labels.shape[1] - 1
    seen = np.zeros((height, width), np.uint8) if edges else np.zeros((0, 0), np.uint8)
    xy = np.empty((2 * edges, 2), np.int32)
    ends, sides = np.zeros(edges + 1, np.int64), np.empty((edges, 2), np.int32)
    count = 0
    for nodes in (True, False):  # what is left after the arcs between nodes are closed loops
        for row in range(len(seen)):
            for col in range(width):
                if nodes and not _is_node(labels, row, col):
                    continue
                for step in range(4):
                    if seen[row, col] >> step & 1 or not _is_edge(labels, row, col, step):
                        continue
                    end = _follow(labels, seen, row, col, step, xy, ends[count])
                    sides[count, 0], sides[count, 1] = _sides(labels, row, col, step)
                    count += 1
                    ends[count] = end
    return xy[: ends[count]].copy(), ends[: count + 1].copy(), sides[:count].copy()
