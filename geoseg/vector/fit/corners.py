"""Corners: walls become lines, lines meet in corners, walls that vanish on the way are dropped."""

from math import cos, hypot, pi, sin

import numpy as np
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.fit.costs import Axes, Walls
from geoseg.vector.fit.ring import Ring, best_angle, scatter

SHORTEST_WALL_PX = 1.5
REACH_PX = 5.0  # how far the end of a wall may move when the samples fit its neighbour better
SHARP, SLIGHT = (
    0.3,
    0.05,
)  # sine of the angle between lines: above the first they meet well, below the second not at all
NEAR_PX = 8.0  # lines between the two must meet this close to the end of the wall


@njit(cache=True, nogil=True)
def find_corners(ring: Ring, walls: Walls, axes: Axes, jog_px: float) -> tuple[NDArray[np.float64], int]:
    """Return the corners (k, 2) in the order of the contour and the number of walls; none where no polygon is left.

    jog_px: a smaller sidestep along one direction is noise. ``walls`` is used up: the first are those that remain.
    """
    count = len(walls.axis)
    angle, offset = np.empty(count), np.empty(count)
    corners, wall_of = np.empty((2 * count, 2)), np.empty(2 * count, np.int64)
    while count >= 3:
        _fit_lines(ring, walls, axes, count, angle, offset)
        _shift_ends(ring, walls, len(axes.angle), count, angle, offset)
        _fit_lines(ring, walls, axes, count, angle, offset)
        same = _sidestep_of_noise(walls, len(axes.angle), count, angle, offset, jog_px)
        if same >= 0:
            after = (same + 1) % count
            walls.end[same] += walls.end[after] - walls.begin[after]
            count = _remove(walls, count, after)
            continue
        k = _meet(ring, walls, len(axes.angle), count, angle, offset, jog_px, corners, wall_of)
        vanished = _shortest(corners, wall_of, k, walls, len(axes.angle), count, angle)
        if vanished < 0:
            return corners[:k].copy(), count
        before, after = (vanished - 1) % count, (vanished + 1) % count
        whole = walls.end[vanished] - walls.begin[vanished]
        half = whole // 2
        if walls.axis[before] > len(axes.angle) or walls.axis[after] > len(axes.angle):  # a cut remains what it is
            half = 0 if walls.axis[before] > len(axes.angle) else whole
        walls.end[before] += half
        walls.begin[after] -= whole - half
        count = _remove(walls, count, vanished)
    return corners[:0].copy(), 0


@njit(cache=True, nogil=True)
def _remove(walls: Walls, count: int, i: int) -> int:
    for k in range(i, count - 1):
        walls.axis[k], walls.begin[k], walls.end[k] = walls.axis[k + 1], walls.begin[k + 1], walls.end[k + 1]
    return count - 1


@njit(cache=True, nogil=True)
def _fit_lines(
    ring: Ring, walls: Walls, axes: Axes, count: int, angle: NDArray[np.float64], offset: NDArray[np.float64]
) -> None:
    """Least-squares line of each wall: its direction in the order of the contour, and its distance from the origin."""
    n = len(ring.xy)
    for i in range(count):
        s = scatter(ring, walls.begin[i], walls.end[i])
        a = axes.angle[walls.axis[i]] if walls.axis[i] < len(axes.angle) else best_angle(s)
        first, last = walls.begin[i] % n, walls.end[i] % n
        if (ring.xy[last, 0] - ring.xy[first, 0]) * cos(a) + (ring.xy[last, 1] - ring.xy[first, 1]) * sin(a) < 0:
            a += pi
        angle[i], offset[i] = a, cos(a) * s.y - sin(a) * s.x


@njit(cache=True, nogil=True)
def _shift_ends(
    ring: Ring, walls: Walls, free: int, count: int, angle: NDArray[np.float64], offset: NDArray[np.float64]
) -> None:
    """Move each end between two walls to where the samples change over from one line to the other; none of a cut."""
    n, reach = len(ring.xy), int(REACH_PX / ring.step)
    for i in range(count):
        j = (i + 1) % count
        if (walls.axis[i] > free) != (walls.axis[j] > free):
            continue
        end, length = walls.end[i], walls.end[j] - walls.begin[j]
        low = max(end - reach, (walls.begin[i] + end + 1) // 2)
        high = min(end + reach, end + length // 2)
        best, total, shifted = 0.0, 0.0, low
        for k in range(low, high):
            x, y = ring.xy[k % n, 0], ring.xy[k % n, 1]
            before = cos(angle[i]) * y - sin(angle[i]) * x - offset[i]
            after = cos(angle[j]) * y - sin(angle[j]) * x - offset[j]
            total += before * before - after * after
            if total < best:
                best, shifted = total, k + 1
        walls.end[i] = shifted
        walls.begin[j] += shifted - end


@njit(cache=True, nogil=True)
def _sidestep_of_noise(
    walls: Walls, free: int, count: int, angle: NDArray[np.float64], offset: NDArray[np.float64], jog_px: float
) -> int:
    """First wall that the next one continues along the same axis with a sidestep below ``jog_px``, or -1."""
    for i in range(count):
        j = (i + 1) % count
        along = walls.axis[i] == walls.axis[j] and walls.axis[i] < free and cos(angle[i] - angle[j]) > 0
        if along and abs(offset[i] - offset[j]) < jog_px:
            return i
    return -1


@njit(cache=True, nogil=True)
def _meet(
    ring: Ring,
    walls: Walls,
    free: int,
    count: int,
    angle: NDArray[np.float64],
    offset: NDArray[np.float64],
    jog_px: float,
    corners: NDArray[np.float64],
    wall_of: NDArray[np.int64],
) -> int:
    """Write the corner, or the two of a sidestep, after each wall; return their number."""
    n, k = len(ring.xy), 0
    for i in range(count):
        j = (i + 1) % count
        a, b = angle[i], angle[j]
        x, y = ring.xy[walls.end[i] % n, 0], ring.xy[walls.end[i] % n, 1]
        sine = sin(b - a)
        if abs(sine) > SLIGHT:
            cx = (offset[i] * cos(b) - offset[j] * cos(a)) / sine
            cy = (offset[i] * sin(b) - offset[j] * sin(a)) / sine
            if abs(sine) > SHARP or hypot(cx - x, cy - y) < NEAR_PX:
                corners[k, 0], corners[k, 1], wall_of[k] = cx, cy, i
                k += 1
                continue
        to_a = offset[i] - (cos(a) * y - sin(a) * x)
        to_b = offset[j] - (cos(b) * y - sin(b) * x)
        ax, ay, bx, by = x - sin(a) * to_a, y + cos(a) * to_a, x - sin(b) * to_b, y + cos(b) * to_b
        sidestep = (walls.axis[i] == walls.axis[j] and walls.axis[i] < free) or hypot(bx - ax, by - ay) >= jog_px
        if sidestep:
            corners[k, 0], corners[k, 1], wall_of[k] = ax, ay, i
            corners[k + 1, 0], corners[k + 1, 1], wall_of[k + 1] = bx, by, i
            k += 2
        else:
            corners[k, 0], corners[k, 1], wall_of[k] = 0.5 * (ax + bx), 0.5 * (ay + by), i
            k += 1
    return k


@njit(cache=True, nogil=True)
def _shortest(
    corners: NDArray[np.float64],
    wall_of: NDArray[np.int64],
    k: int,
    walls: Walls,
    free: int,
    count: int,
    angle: NDArray[np.float64],
) -> int:
    """Shortest wall below SHORTEST_WALL_PX, measured along its line (an inverted one is negative), or -1.

    A cut is as short as it is.
    """
    shortest, at, first = SHORTEST_WALL_PX, -1, 0
    for i in range(count):
        last = first - 1 if first > 0 else k - 1  # from the last corner of the wall before to its own first one
        dx, dy = corners[first, 0] - corners[last, 0], corners[first, 1] - corners[last, 1]
        length = dx * cos(angle[i]) + dy * sin(angle[i])
        if length < (shortest if walls.axis[i] <= free else min(shortest, 0.0)):
            shortest, at = length, i
        while first < k and wall_of[first] == i:
            first += 1
    return at
