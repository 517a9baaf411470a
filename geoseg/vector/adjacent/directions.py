"""Directions: the buildings of a block are turned to the few directions that most of their walls have.

A wall of a few metres says its direction within some degrees only; that of its block is surer. Buildings turn as a
whole, so right angles stay, and only where their contours allow it.
"""

from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.adjacent.edges import Edges, edges_in
from geoseg.vector.adjacent.loops import Loops, centroid, taken
from geoseg.vector.adjacent.tolerance import loop_ious
from geoseg.vector.fit.walls import turn
from geoseg.vector.pixels.cuts import NO_CUTS, on_cut

TURN = 0.2  # radians by which a building may turn
LOSS = 0.02  # IoU with its contour that this may cost
SQUARE = 0.03  # radians from a building's direction within which a wall is along or square to it
ALONG = 0.5  # units of a cut within which a wall lies along it
BINS = 180  # of directions, half a degree wide


def align(polygons: Loops, contours: Loops, cuts: NDArray[np.object_] = NO_CUTS) -> Loops:
    """Return the polygons, M, turned to common directions where they fit their contours as well so.

    cuts: lines of no direction, see ``cut_lines``.
    """
    out, apart = polygons._replace(xy=polygons.xy.copy()), np.ones(len(polygons.first) - 1, np.bool_)
    walls = seen_walls(edges_in(polygons), cuts)
    direction, weight = directions_of(walls.ends, walls.building, len(apart))
    fits = loop_ious(polygons, contours)
    while True:
        mode, near, by = _common(direction, weight, apart)
        if len(near) == 0:
            return out
        turned = _rotated(out, near, by)
        good = loop_ious(turned, taken(contours, near)) >= fits[near] - LOSS
        good |= near == mode
        _put(out, turned, near, good)
        apart[near[good]] = False


@njit(cache=True, nogil=True)
def _common(
    direction: NDArray[np.float64], weight: NDArray[np.float64], apart: NDArray[np.bool_]
) -> tuple[int, NDArray[np.int64], NDArray[np.float64]]:
    """Return the building with the direction of most walls of those ``apart``, which turn to it, and by how much.

    Buildings alone in their direction turn by nothing, and are not ``apart`` then.
    """
    at = np.minimum((direction / (pi / 2) % 1 * BINS).astype(np.int64), BINS - 1)
    while apart.any():
        of_bin = np.zeros(BINS)
        for i in range(len(apart)):
            of_bin[at[i]] += weight[i] if apart[i] else 0.0
        mode, most = -1, 0.0
        for i in range(len(apart)):
            if not apart[i]:
                continue
            votes = 0.0  # the nearer a building's direction the more
            for other in np.flatnonzero(of_bin):
                votes += of_bin[other] * _KERNEL[(other - at[i]) % BINS]
            if mode < 0 or votes > most:
                mode, most = i, votes
        by = (direction[mode] - direction + pi / 4) % (pi / 2) - pi / 4
        near = np.flatnonzero(apart & (np.abs(by) < TURN))
        if len(near) > 1:
            return mode, near, by[near]
        apart[mode] = False
    return -1, np.empty(0, np.int64), np.empty(0)


def seen_walls(edges: Edges, cuts: NDArray[np.object_]) -> Edges:
    """Return the walls that do not lie along a cut; their rings are not told."""
    if len(cuts) == 0:
        return edges
    seen = ~(on_cut(edges.ends[:, :2], cuts, ALONG) & on_cut(edges.ends[:, 2:], cuts, ALONG))
    return edges._replace(ends=edges.ends[seen], building=edges.building[seen])


@njit(cache=True, nogil=True)
def _rotated(polygons: Loops, chosen: NDArray[np.int64], by: NDArray[np.float64]) -> Loops:
    """Return the chosen polygons, turned about their centroids by angles in radians, (K,) each."""
    out = taken(polygons, chosen)
    for i in range(len(by)):
        c, s = cos(by[i]), sin(by[i])
        x0, y0 = centroid(out, i)
        right, up = x0 - x0 * c + y0 * s, y0 - x0 * s - y0 * c
        for v in range(out.start[out.first[i]], out.start[out.first[i + 1]]):
            x, y = out.xy[v]
            out.xy[v, 0], out.xy[v, 1] = c * x - s * y + right, s * x + c * y + up
    return out


@njit(cache=True, nogil=True)
def _put(polygons: Loops, turned: Loops, chosen: NDArray[np.int64], good: NDArray[np.bool_]) -> None:
    """Put those turned of the chosen polygons that are ``good``, (K,), in the place of what they were."""
    for k in np.flatnonzero(good):
        low, begin = polygons.start[polygons.first[chosen[k]]], turned.start[turned.first[k]]
        for v in range(turned.start[turned.first[k + 1]] - begin):
            polygons.xy[low + v] = turned.xy[begin + v]


_OFF = (np.arange(BINS) * (pi / 2 / BINS) + pi / 4) % (pi / 2) - pi / 4
_KERNEL = np.maximum(1 - np.abs(_OFF) / TURN, 0)  # what a direction so many bins away counts


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
