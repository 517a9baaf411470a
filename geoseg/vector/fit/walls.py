"""Walls: stretches of a contour that one straight line explains, found together as the cheapest description of it.

The cost of a polygon is that of its misfit to the contour plus that of its corners and of its irregular directions
(minimum description length, Rissanen 1978). It adds up over walls, so dynamic programming over the candidate breaks
finds the optimum (Perez and Vidal 1994), where snapping the edges of a simplified polygon one by one does not.
"""

from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.fit.costs import Axes, Costs, Walls
from geoseg.vector.fit.ring import Ring, best_angle, least_scatter, sample_at, scatter

MAX_SYSTEMS = 3  # pairs of right-angled directions in a building
EXPLAINED_PX = 1.2  # a wall whose ends move less than this when turned needs no direction of its own
SAME_DIRECTION = 0.12  # radians within which walls vote for a common direction
TRUSTED_PX = 4.0  # shorter walls have no say in directions


@njit(cache=True, nogil=True)
def turn(angle: float, period: float) -> float:
    """Wrap an angle to [-period/2, period/2)."""
    return angle - period * np.floor(angle / period + 0.5)


@njit(cache=True, nogil=True)
def free_axes() -> Axes:
    """No axes: every wall has its own direction, at no cost."""
    return Axes(np.empty(0), np.empty(0), np.empty(0, np.int64), 0.0)


@njit(cache=True, nogil=True)
def regular_axes(directions: NDArray[np.float64], penalty: float) -> Axes:
    """Two axes for each direction and the diagonals of the first; only walls along the first two cost nothing."""
    k = 2 * len(directions) + 2
    axes = Axes(np.empty(k), np.empty(k), np.empty(k, np.int64), penalty)
    for i in range(k):
        direction = 0 if i < 4 else i // 2 - 1
        axes.angle[i] = directions[direction] + (i % 2) * pi / 2 + (pi / 4 if 2 <= i < 4 else 0.0)
        axes.cost[i] = 0.0 if i < 2 else penalty
        axes.system[i] = direction
    return axes


@njit(cache=True, nogil=True)
def _arrivals(cost: NDArray[np.float64], corner: float, best: NDArray[np.float64], come: NDArray[np.int8]) -> None:
    """Cheapest cost so far with a wall of each axis to follow, and the axis it comes from.

    Two corners where a wall goes on along the same axis, sidestepped; one otherwise.
    """
    first, second = -1, -1
    for k in range(len(cost)):
        if first < 0 or cost[k] < cost[first]:
            first, second = k, first
        elif second < 0 or cost[k] < cost[second]:
            second = k
    free = len(cost) - 2
    for k in range(len(cost)):
        best[k], come[k] = cost[first] + corner, first
        if k == first and k < free:
            best[k] += corner
            if second >= 0 and cost[second] + corner < best[k]:
                best[k], come[k] = cost[second] + corner, second


@njit(cache=True, nogil=True, error_model="numpy")
def best_walls(ring: Ring, breaks: NDArray[np.int64], axes: Axes, costs: Costs) -> Walls:
    """Return the cheapest walls that begin and end at breaks; the ring's start is one of them.

    A cut has walls of its own, which have any direction and cost their corners and misfit alone.
    """
    n, m, free = len(ring.xy), len(breaks), len(axes.angle)
    cut = free + 1
    cosines, sines = np.cos(axes.angle), np.sin(axes.angle)
    across_x, across_xy, across_y = sines * sines, 2 * sines * cosines, cosines * cosines
    cost = np.full((m + 1, cut + 1), np.inf)
    origin = np.zeros((m + 1, cut + 1), np.int32)
    came = np.zeros((m + 1, cut + 1), np.int8)
    best, come = np.zeros((m + 1, cut + 1)), np.zeros((m + 1, cut + 1), np.int8)
    least_next = np.full(m + 1, np.inf)  # cost at each break with a corner there: nothing dearer is gone on from
    least_next[0] = 0.0
    per_square = costs.misfit * ring.step
    for j in range(1, m + 1):
        end = breaks[j] if j < m else n
        to_x, to_y = sample_at(ring, end)
        for i in range(j - 1, -1, -1):
            begin = breaks[i]
            on_cut = ring.cuts[end] - ring.cuts[begin]
            if 0 < on_cut < end - begin:
                break
            s = scatter(ring, begin, end)
            least = least_scatter(s)
            if least_next[i] + per_square * least >= least_next[j] + 2 * costs.corner + axes.free:
                break  # a longer wall misfits by at least as much as this one and what is before it
            weight = per_square * (end - begin) / s.n
            if least_next[i] + weight * least >= least_next[j]:
                continue
            own, price = (cut, 0.0) if on_cut > 0 else (free, axes.free)
            total = best[i, own] + weight * least + price
            if total < cost[j, own]:
                cost[j, own], origin[j, own], came[j, own] = total, i, come[i, own]
                least_next[j] = min(least_next[j], total + costs.corner)
            if on_cut > 0:
                continue
            dx, dy = to_x - ring.xy[begin, 0], to_y - ring.xy[begin, 1]
            for k in range(free):
                along = dx * cosines[k] + dy * sines[k]
                if 2 * along * along < dx * dx + dy * dy:
                    continue  # more across than along
                across = across_x[k] * s.xx - across_xy[k] * s.xy + across_y[k] * s.yy
                total = best[i, k] + weight * across + axes.cost[k]
                if total < cost[j, k]:
                    cost[j, k], origin[j, k], came[j, k] = total, i, come[i, k]
                    least_next[j] = min(least_next[j], total + costs.corner)
        _arrivals(cost[j], costs.corner, best[j], come[j])
    return _walk_back(breaks, n, cost, origin, came)


@njit(cache=True, nogil=True)
def _walk_back(
    breaks: NDArray[np.int64], n: int, cost: NDArray[np.float64], origin: NDArray[np.int32], came: NDArray[np.int8]
) -> Walls:
    m = len(breaks)
    walls = Walls(np.empty(m, np.int64), np.empty(m, np.int64), np.empty(m, np.int64))
    k, j, axis = m, m, np.argmin(cost[m])
    while j > 0:
        k -= 1
        i = origin[j, axis]
        walls.axis[k], walls.begin[k], walls.end[k] = axis, breaks[i], breaks[j] if j < m else n
        j, axis = i, came[j, axis]
    return Walls(walls.axis[k:].copy(), walls.begin[k:].copy(), walls.end[k:].copy())


@njit(cache=True, nogil=True)
def find_directions(ring: Ring, walls: Walls, hint: float) -> NDArray[np.float64]:
    """Return up to MAX_SYSTEMS directions modulo 90°, the strongest first, from the walls' own angles.

    The mode of the walls not yet explained, weighted by squared length, refined by the mean weighted by cubed length
    (the inverse variance of a wall's angle). Cuts have no say. hint: a first direction to prefer where it is near (its
    shell's, for a hole), or NaN.
    """
    count = len(walls.axis)
    angle, length = np.empty(count), np.empty(count)
    for i in range(count):
        angle[i] = best_angle(scatter(ring, walls.begin[i], walls.end[i]))
        length[i] = (walls.end[i] - walls.begin[i]) * ring.step
    explained = ring.cuts[walls.end] > ring.cuts[walls.begin]
    found = np.empty(MAX_SYSTEMS)
    for system in range(MAX_SYSTEMS):
        direction = _mode(angle, length, explained)
        if np.isnan(direction):
            return found[:system].copy()
        if system == 0 and abs(turn(hint - direction, pi / 2)) < 0.18:
            direction = hint
        for _ in range(2):
            direction += _mean_turn(direction, angle, length, explained)
        found[system] = direction
        for i in range(count):
            off = abs(turn(angle[i] - direction, pi / 2))
            explained[i] |= off < 0.03 or 0.5 * length[i] * sin(off) <= EXPLAINED_PX
    return found


@njit(cache=True, nogil=True)
def _mode(angle: NDArray[np.float64], length: NDArray[np.float64], explained: NDArray[np.bool_]) -> float:
    best, mode = 0.0, np.nan
    for i in range(len(angle)):
        if explained[i] or length[i] < TRUSTED_PX:
            continue
        votes = 0.0
        for j in range(len(angle)):
            if not explained[j]:
                off = abs(turn(angle[j] - angle[i], pi / 2))
                votes += length[j] ** 2 * max(1 - off / SAME_DIRECTION, 0.0)
        if votes > best:
            best, mode = votes, angle[i]
    return mode


@njit(cache=True, nogil=True)
def _mean_turn(
    direction: float, angle: NDArray[np.float64], length: NDArray[np.float64], explained: NDArray[np.bool_]
) -> float:
    weight, total = 0.0, 0.0
    for i in range(len(angle)):
        off = turn(angle[i] - direction, pi / 2)
        if not explained[i] and abs(off) < SAME_DIRECTION:
            weight += length[i] ** 3
            total += length[i] ** 3 * off
    return total / weight if weight > 0 else 0.0


@njit(cache=True, nogil=True)
def turn_axes(ring: Ring, walls: Walls, axes: Axes) -> None:
    """Turn each system of axes, in place, to where its walls fit best: one regression over all of them.

    A wall weighs by the square of its length, not the cube: the errors of its samples go together, so that more of them
    do not make its angle surer.
    """
    free = len(axes.angle)
    for system in range(axes.system[free - 1] + 1):
        along_across, along_along = 0.0, 0.0
        for i in range(len(walls.axis)):
            k = walls.axis[i]
            if k >= free or axes.system[k] != system or (walls.end[i] - walls.begin[i]) * ring.step < TRUSTED_PX:
                continue
            s = scatter(ring, walls.begin[i], walls.end[i])
            c, d = cos(axes.angle[k]), sin(axes.angle[k])
            along_across += (c * d * (s.yy - s.xx) + (c * c - d * d) * s.xy) / s.n
            along_along += (c * c * s.xx + 2 * c * d * s.xy + d * d * s.yy) / s.n
        if along_along > 0 and abs(along_across / along_along) < SAME_DIRECTION:
            for k in range(free):
                if axes.system[k] == system:
                    axes.angle[k] += along_across / along_along
