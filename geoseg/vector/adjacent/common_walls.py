"""Common walls: walls of buildings fitted one by one come to lie on the same lines where they lie side by side.

::

    +------+                 +------+
    |      |+------+         |      +------+       the walls between the two come to be on one line, and corners that
    |      ||      |   ->    |      |      |       are near each other in one point
    +------+|      |         +------+------+
            +------+

Nothing here sees pixels, and what comes out may still overlap: ``split.py`` makes it a coverage.
"""

from math import cos, hypot, pi, sin

import numpy as np
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.adjacent.borders import Borders, border_length
from geoseg.vector.adjacent.directions import SQUARE, directions_of
from geoseg.vector.adjacent.edges import edges_in
from geoseg.vector.adjacent.loops import Loops, mixed, taken
from geoseg.vector.adjacent.sound import are_valid, cross
from geoseg.vector.adjacent.tolerance import corners_within, distance
from geoseg.vector.fit.walls import turn
from geoseg.vector.pixels.cuts import NO_CUTS, on_cut

REACH = 1.0  # units within which both ends of a wall must be of a line to lie on it
FACING = 2.0  # the same where the line is that of a wall between two buildings that touch along it
TOUCHING = 0.5  # share of the stretch along which two walls face each other that must be a border of their contours
SAME_CORNER = 0.8  # units within which corners are one
PARALLEL = 0.05  # radians by which a wall may turn to lie on another's line
SLANTED = 0.2  # the same for a wall off the building's directions, which has no right angles to lose
MEETING = 5.0  # units from the end of a wall within which it and the next one meet in a corner, else in a step of two
SLIGHT = 0.05  # sine of the angle between lines below which they do not meet
FARTHEST = 2.5  # units by which a polygon may change; what would change more stays as it was


def join_walls(polygons: Loops, borders: Borders) -> Loops:
    """Return the polygons, M in units of detail, with walls side by side on one line.

    The longest wall of a line gives its direction, all of them its place, by their lengths.
    """
    out, _ = _redrawn(polygons, *_joined(polygons, borders))
    return out


def gather_corners(
    polygons: Loops, fixed: NDArray[np.bool_], cuts: NDArray[np.object_] = NO_CUTS
) -> tuple[Loops, NDArray[np.bool_]]:
    """Return the polygons, M in units, with near corners where that of the longest walls is, and which cannot be so.

    fixed: (M,) polygons that keep their corners. cuts: lines on which corners stay, see ``cut_lines``.
    """
    walls, building, first, _ = edges_in(polygons)
    corners = walls[:, :2]
    stays = on_cut(corners, cuts)
    if fixed.any():
        _, place = np.unique(corners, axis=0, return_inverse=True)
        stays |= np.isin(place, place[fixed[building]])
    same = _gathered(walls, first, stays)
    out, drawn = _redrawn(polygons, corners[same], first)
    moved = np.bincount(building, weights=(corners != corners[same]).any(axis=1), minlength=len(fixed)) > 0
    return out, moved & ~drawn


def _redrawn(
    polygons: Loops, corners: NDArray[np.float64], start: NDArray[np.int64]
) -> tuple[Loops, NDArray[np.bool_]]:
    """Return the polygons with other rings, or as they were where that is nothing like it, and which are drawn anew.

    Ring k has the corners start[k] to start[k + 1].
    """
    made, whole = _ringed(polygons, corners, start)
    drawn = _alike(made, polygons, whole)
    drawn[drawn] = are_valid(taken(made, np.flatnonzero(drawn)))
    return mixed(polygons, made, np.arange(len(drawn)), drawn), drawn


@njit(cache=True, nogil=True)
def _ringed(polygons: Loops, corners: NDArray[np.float64], start: NDArray[np.int64]) -> tuple[Loops, NDArray[np.bool_]]:
    """Return the polygons with other rings, without walls of no length, and which have three walls in each ring."""
    rings, whole = len(start) - 1, np.ones(len(polygons.first) - 1, np.bool_)
    xy, ends, n = np.empty((len(corners) + rings, 2)), np.zeros(rings + 1, np.int64), 0
    for i in range(len(whole)):
        for ring in range(polygons.first[i], polygons.first[i + 1]):
            low, high = start[ring], start[ring + 1]
            for k in range(low, high):
                before = k - 1 if k > low else high - 1
                if corners[k, 0] != corners[before, 0] or corners[k, 1] != corners[before, 1]:
                    xy[n] = corners[k]
                    n += 1
            whole[i] &= n - ends[ring] >= 3
            if n > ends[ring]:
                xy[n] = xy[ends[ring]]
                n += 1
            ends[ring + 1] = n
    return Loops(xy[:n].copy(), ends, polygons.first, polygons.shell), whole


@njit(cache=True, nogil=True)
def _alike(made: Loops, polygons: Loops, whole: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of the polygons that are ``whole``, (M,), have no corner FARTHEST from the other's walls."""
    out = np.zeros(len(whole), np.bool_)
    for i in range(len(whole)):
        if whole[i] and corners_within(made, i, polygons, i, FARTHEST):
            out[i] = corners_within(polygons, i, made, i, FARTHEST)
    return out


@njit(cache=True, nogil=True)
def _joined(polygons: Loops, borders: Borders) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the corners of all rings, (C, 2), once walls side by side lie on one line, and where each ring begins."""
    walls, building, start, _ = edges_in(polygons)
    near, begin = _near(walls, FACING)
    count = len(polygons.first) - 1
    line, angle, offset = _lines(walls, building, near, begin, count, borders.pair, borders.length)
    return _corners(walls, start, line, angle, offset)


@njit(cache=True, nogil=True)
def _near(walls: NDArray[np.float64], far: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the walls within ``far`` of each one, ascending, and where those of each begin.

    walls: from x, y to x, y, (W, 4); corners are walls of no length.
    """
    n = len(walls)
    left, right = np.minimum(walls[:, 0], walls[:, 2]), np.maximum(walls[:, 0], walls[:, 2])
    low, high = np.minimum(walls[:, 1], walls[:, 3]), np.maximum(walls[:, 1], walls[:, 3])
    order, pairs, count = np.argsort(left, kind="mergesort"), np.empty((4 * n, 2), np.int64), 0
    start = np.zeros(n + 1, np.int64)
    for k in range(n):
        i = order[k]
        for m in range(k, n):
            j = order[m]
            if left[j] > right[i] + far:
                break
            if low[j] > high[i] + far or high[j] < low[i] - far or _apart(walls[i], walls[j]) > far:
                continue
            if count == len(pairs):
                pairs = np.concatenate((pairs, np.empty_like(pairs)))
            pairs[count, 0], pairs[count, 1] = i, j
            count += 1
            start[i + 1] += 1
            start[j + 1] += i != j
    for i in range(n):
        start[i + 1] += start[i]
    near, filled = np.empty(start[n], np.int64), start[:-1].copy()
    for k in range(count):
        i, j = pairs[k]
        near[filled[i]] = j
        filled[i] += 1
        if i != j:
            near[filled[j]] = i
            filled[j] += 1
    for i in range(n):
        near[start[i] : start[i + 1]] = np.sort(near[start[i] : start[i + 1]])
    return near, start


@njit(cache=True, nogil=True)
def _apart(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the distance of two walls."""
    if cross(a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]):
        return 0.0
    to_b = min(distance(a[0], a[1], b[0], b[1], b[2], b[3]), distance(a[2], a[3], b[0], b[1], b[2], b[3]))
    return min(to_b, distance(b[0], b[1], a[0], a[1], a[2], a[3]), distance(b[2], b[3], a[0], a[1], a[2], a[3]))


@njit(cache=True, nogil=True)
def _lines(
    walls: NDArray[np.float64],
    owner: NDArray[np.int64],
    near: NDArray[np.int64],
    start: NDArray[np.int64],
    count: int,
    pair: NDArray[np.int64],
    border: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return for each wall the longest wall of its line, and for those angle and offset of the line, (W,) each."""
    n = len(walls)
    dx, dy = walls[:, 2] - walls[:, 0], walls[:, 3] - walls[:, 1]
    length = np.hypot(dx, dy)
    angle = np.arctan2(dy, dx)
    direction, _ = directions_of(walls, owner, count)
    offset, line = np.empty(n), np.full(n, -1)
    for i in np.argsort(-length, kind="mergesort"):
        beside = near[start[i] : start[i + 1]]
        beside = beside[line[beside] >= 0]
        offset[i] = _offset(walls[i], angle[i])
        slanted = abs(turn(angle[i] - direction[owner[i]], pi / 2)) > SQUARE
        best, at = 1.0, i
        for j in beside:
            longest = line[j]
            facing = owner[i] != owner[j] and cos(angle[i] - angle[longest]) < 0
            if abs(turn(angle[i] - angle[longest], pi)) > (SLANTED if slanted or facing else PARALLEL):
                continue
            touching = facing and border_length(owner[i], owner[j], count, pair, border) > TOUCHING * _overlap(
                walls[i], walls[j], angle[longest]
            )
            far = _far(walls[i], angle[longest], offset[longest]) / (FACING if touching else REACH)
            if far < best and not _back_to_back(i, longest, owner, beside, line, angle):
                best, at = far, longest
        line[i] = at
    place, weight = np.zeros(n), np.zeros(n)
    for i in range(n):
        place[line[i]] += length[i] * _offset(walls[i], angle[line[i]])
        weight[line[i]] += length[i]
    return line, angle, place / np.maximum(weight, 1e-12)


@njit(cache=True, nogil=True)
def _overlap(a: NDArray[np.float64], b: NDArray[np.float64], angle: float) -> float:
    """Length of the stretch of a line of a direction that two walls both lie beside."""
    c, s = cos(angle), sin(angle)
    a0, a1 = c * a[0] + s * a[1], c * a[2] + s * a[3]
    b0, b1 = c * b[0] + s * b[1], c * b[2] + s * b[3]
    return min(max(a0, a1), max(b0, b1)) - max(min(a0, a1), min(b0, b1))


@njit(cache=True, nogil=True)
def _offset(wall: NDArray[np.float64], angle: float) -> float:
    """Distance from the origin of a line of a direction through the middle of a wall."""
    return 0.5 * (cos(angle) * (wall[1] + wall[3]) - sin(angle) * (wall[0] + wall[2]))


@njit(cache=True, nogil=True)
def _far(wall: NDArray[np.float64], angle: float, offset: float) -> float:
    """Distance of the farther end of a wall from a line."""
    c, s = cos(angle), sin(angle)
    return max(abs(c * wall[1] - s * wall[0] - offset), abs(c * wall[3] - s * wall[2] - offset))


@njit(cache=True, nogil=True)
def _back_to_back(
    i: int,
    longest: int,
    owner: NDArray[np.int64],
    near: NDArray[np.int64],
    line: NDArray[np.int64],
    angle: NDArray[np.float64],
) -> bool:
    """Whether a near wall of the same building lies on the line already and runs the other way."""
    found = False
    for j in near:
        found |= line[j] == longest and owner[j] == owner[i] and cos(angle[j] - angle[i]) < 0
    return found


@njit(cache=True, nogil=True)
def _corners(
    walls: NDArray[np.float64],
    start: NDArray[np.int64],
    line: NDArray[np.int64],
    angle: NDArray[np.float64],
    offset: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the corners of all rings, (C, 2), and where each ring begins."""
    corners = np.empty((2 * len(walls), 2))
    ends, k = np.zeros(len(start), np.int64), 0
    for ring in range(len(start) - 1):
        first, count = start[ring], start[ring + 1] - start[ring]
        for at in range(count):
            i, j = first + at, first + (at + 1) % count
            a, b = line[i], line[j]
            if a == b:
                continue
            x, y = walls[i, 2], walls[i, 3]
            sine = sin(angle[b] - angle[a])
            if abs(sine) > SLIGHT:
                cx = (offset[a] * cos(angle[b]) - offset[b] * cos(angle[a])) / sine
                cy = (offset[a] * sin(angle[b]) - offset[b] * sin(angle[a])) / sine
                if hypot(cx - x, cy - y) < MEETING:
                    corners[k, 0], corners[k, 1] = cx, cy
                    k += 1
                    continue
            for of in (a, b):
                off = offset[of] - (cos(angle[of]) * y - sin(angle[of]) * x)
                corners[k, 0], corners[k, 1] = x - sin(angle[of]) * off, y + cos(angle[of]) * off
                k += 1
        ends[ring + 1] = k
    return corners[:k].copy(), ends


@njit(cache=True, nogil=True)
def _gathered(walls: NDArray[np.float64], first: NDArray[np.int64], stays: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each corner, where a wall begins, the one it becomes; ring k has the walls from first[k] on."""
    length = np.empty(len(walls))
    for ring in range(len(first) - 1):
        before = last = first[ring + 1] - 1
        for k in range(first[ring], last + 1):
            after = np.hypot(walls[k, 2] - walls[k, 0], walls[k, 3] - walls[k, 1])
            came = np.hypot(walls[before, 2] - walls[before, 0], walls[before, 3] - walls[before, 1])
            length[k], before = min(came, after), k
    points = np.empty_like(walls)
    points[:, :2] = points[:, 2:] = walls[:, :2]
    near, start = _near(points, SAME_CORNER)
    return _same_corner(length, stays, near, start)


@njit(cache=True, nogil=True)
def _same_corner(
    length: NDArray[np.float64], stays: NDArray[np.bool_], near: NDArray[np.int64], start: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return for each corner the one it becomes: of those that are near each other that of the longest walls."""
    out = np.where(stays, np.arange(len(length)), -1)
    for i in np.argsort(-length, kind="mergesort"):
        if out[i] < 0 or stays[i]:
            out[i] = i
            for k in range(start[i], start[i + 1]):
                if out[near[k]] < 0:
                    out[near[k]] = i
    return out
