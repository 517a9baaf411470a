"""Traced borders: the lines between buildings of a label image, from node to node along pixel edges."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.vector.pixels.arcs import find_arcs, find_corners
from geoseg.vector.pixels.components import OUTSIDE, label_runs
from geoseg.vector.pixels.runs import find_runs

CORNERS = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])  # the pixels around one, (col, row) where labels are padded by one


@dataclass(frozen=True, slots=True, eq=False)
class TracedBorders:
    """Lines along which two buildings touch, in raster order of their first point.

    Lattice points are the corners of pixels, (0, 0) the outer corner of the first one::

        0   1   2   3
      0 +---+---+---+        labels A A B      line 0: (2, 0) -> (2, 1) -> (1, 1) -> (1, 2)
        | A | A | B |               A B B
      1 +---+---+---+
        | A | B | B |
      2 +---+---+---+
    """

    xy: NDArray[np.int32]
    """Lattice points (col, row) of all lines, (P, 2), one pixel apart."""
    start: NDArray[np.int64]
    """Line k has the points start[k] to start[k + 1], (A + 1,); one around a building ends where it began."""
    inner: NDArray[np.bool_]
    """Whether the first and the last point are nodes between buildings alone, (A, 2); others lie on the outline."""
    beyond: NDArray[np.float64]
    """Centre of an outside pixel at each end that lies on the outline, (A, 2, 2)."""

    def __len__(self) -> int:
        return len(self.inner)

    def points(self, k: int) -> NDArray[np.int32]:
        """Return the points of line k, (P, 2)."""
        return self.xy[self.start[k] : self.start[k + 1]]

    def reaching_out(self) -> list[NDArray[np.float64]]:
        """Return the points of every line, (K, 2); an end on the outline continues to the centre beyond it."""
        lines = []
        for k in range(len(self)):
            xy = self.points(k)
            first, last = (~self.inner[k] & (xy[0] != xy[-1]).any()).tolist()
            lines.append(np.array([*self.beyond[k, :1][:first], *xy, *self.beyond[k, 1:][:last]], np.float64))
        return lines


def trace_borders(labels: NDArray[np.int32]) -> TracedBorders:
    """Trace the edges between pixels of two labels, both above 0, in an (H, W) label image.

    They end at nodes: where three or more labels or the background meet, or where two labels meet crosswise.
    """
    labels = np.ascontiguousarray(labels)
    runs = find_runs(labels, labels > 0)
    patch = label_runs(runs)
    corners = find_corners(runs, patch)
    arcs = find_arcs(corners, runs, patch)
    between = (arcs.left.reshape(-1, 2) != OUTSIDE).all(axis=1)
    length = np.diff(arcs.start)
    corner = arcs.corner[np.repeat(between, length)]
    start = np.concatenate([np.zeros(1, np.int64), np.cumsum(length[between])])
    xy, start = _lattice_points(np.column_stack([corners.x[corner], corners.y[corner]]), start)
    ends = xy[np.stack([start[:-1], start[1:] - 1], axis=1)]
    around = ends[..., None, :] + CORNERS
    outside = np.pad(labels, 1)[around[..., 1], around[..., 0]] == 0
    beyond = ends + CORNERS[outside.argmax(axis=-1)] - 0.5
    return TracedBorders(xy, start, ~outside.any(axis=-1), beyond)


def _lattice_points(xy: NDArray[np.int32], start: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return lines, laid out as in ``TracedBorders``, with all lattice points between their corners."""
    step = np.diff(xy, axis=0, append=xy[-1:])
    step[start[1:] - 1] = 0  # from line to line
    count = np.maximum(np.abs(step).sum(axis=1), 1)  # the end of a line stands for itself
    at = np.concatenate([np.zeros(1, np.int64), np.cumsum(count)])
    along = np.arange(at[-1]) - np.repeat(at[:-1], count)
    points = np.repeat(xy, count, axis=0) + along[:, None] * np.repeat(np.sign(step), count, axis=0)
    return points.astype(np.int32), at[start]
