"""Directions: the buildings of a block are turned to the few directions that most of their walls have.

A wall of a few metres says its direction within some degrees only; that of its block is surer. Buildings turn as a
whole, so right angles stay, and only where their contours allow it.
"""

from math import cos, pi, sin

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.adjacent.edges import Edges, edges_of
from geoseg.vector.adjacent.tolerance import ious
from geoseg.vector.fit.walls import turn
from geoseg.vector.pixels.cuts import NO_CUTS, on_cut

TURN = 0.2  # radians by which a building may turn
LOSS = 0.02  # IoU with its contour that this may cost
SQUARE = 0.03  # radians from a building's direction within which a wall is along or square to it
ALONG = 0.5  # units of a cut within which a wall lies along it
BINS = 180  # of directions, half a degree wide


def align(
    polygons: NDArray[np.object_], contours: NDArray[np.object_], cuts: NDArray[np.object_] = NO_CUTS
) -> NDArray[np.object_]:
    """Return the polygons, (M,), turned to common directions where they fit their contours as well so.

    cuts: lines of no direction, see ``cut_lines``.
    """
    out, apart = polygons.copy(), np.ones(len(polygons), np.bool_)
    walls = seen_walls(edges_of(polygons), cuts)
    direction, weight = directions_of(walls.ends, walls.building, len(polygons))
    fits = ious(polygons, contours)
    while apart.any():
        left = np.flatnonzero(apart)
        mode = left[np.argmax(_votes(direction[left], weight[left]))]
        by = _turned(direction[mode] - direction[left])
        close = np.abs(by) < TURN
        near = left[close]
        if len(near) == 1:  # it turns by nothing
            apart[mode] = False
            continue
        turned = _rotated(out[near], by[close])
        good = ious(turned, contours[near]) >= fits[near] - LOSS
        good |= near == mode
        out[near[good]] = turned[good]
        apart[near[good]] = False
    return out


def seen_walls(edges: Edges, cuts: NDArray[np.object_]) -> Edges:
    """Return the walls that do not lie along a cut; their rings are not told."""
    if len(cuts) == 0:
        return edges
    seen = ~(on_cut(edges.ends[:, :2], cuts, ALONG) & on_cut(edges.ends[:, 2:], cuts, ALONG))
    return edges._replace(ends=edges.ends[seen], building=edges.building[seen])


def _votes(direction: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of the buildings with about the direction of each, (M,), the nearer the more."""
    at = np.minimum(((direction / (pi / 2)) % 1 * BINS).astype(np.int64), BINS - 1)
    of_bin = np.bincount(at, weights=weight, minlength=BINS)
    return np.asarray((of_bin * _KERNELS[at]).sum(axis=1))


def _rotated(polygons: NDArray[np.object_], by: NDArray[np.float64]) -> NDArray[np.object_]:
    """Turn polygons, (M,), about their centroids by angles in radians, (M,)."""
    of = np.repeat(np.arange(len(by)), shapely.get_num_coordinates(polygons))
    c, s = (np.array([function(angle) for angle in by.tolist()]) for function in (cos, sin))
    x0, y0 = shapely.get_coordinates(shapely.centroid(polygons)).T
    right, up = x0 - x0 * c + y0 * s, y0 - x0 * s - y0 * c

    def turned(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = xy.T
        return np.column_stack([c[of] * x - s[of] * y + right[of], s[of] * x + c[of] * y + up[of]])

    return shapely.transform(polygons, turned)


def _turned(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wrap angles to [-pi/4, pi/4)."""
    return np.asarray((angle + pi / 4) % (pi / 2) - pi / 4)


_KERNEL = np.maximum(1 - np.abs(_turned(np.arange(BINS, dtype=np.float64) * (pi / 2 / BINS))) / TURN, 0)
_KERNELS = np.array([np.roll(_KERNEL, i) for i in range(BINS)])  # what a direction in each bin counts for one in bin i


@njit(cache=True, nogil=True)
def directions_of(
    walls: NDArray[np.float64], owner: NDArray[np.int64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the direction of each building modulo 90 degrees, radians, and the squares of its walls along it."""
    dx, dy = walls[:, 2] - walls[:, 0], walls[:, 3] - walls[:, 1]
    angle, square = np.arctan2(dy, dx), dx * dx + dy * dy
    longest, direction = np.zeros(count), np.zeros(count)
    for i in range(len(walls)):
        if square[i] > longest[owner[i]]:
            longest[owner[i]], direction[owner[i]] = square[i], angle[i]
    weight, off = np.zeros(count), np.zeros(count)
    for i in range(len(walls)):
        aside = turn(angle[i] - direction[owner[i]], pi / 2)
        if abs(aside) < 2 * SQUARE:
            weight[owner[i]] += square[i]
            off[owner[i]] += square[i] * aside
    return direction + off / np.maximum(weight, 1e-12), weight
