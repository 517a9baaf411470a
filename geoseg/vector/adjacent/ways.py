"""Ways: how a plan can be rid of a short wall, and by how much each of them makes it plainer."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.adjacent.plan import Plan, apart, beside, merged, rings_at

SHORT = 5.0  # units: walls that may go, and how far they may take a corner
TINY = 1.11  # units: half a metre at the usual detail
NEAR = np.sin(np.radians(5))  # how far from straight, or from right, a corner may be and count as that
TIP = np.cos(np.radians(140))  # of the turn beyond which a corner is a tip
CROSSING = 0.3  # sine of the angle between walls below which they do not meet
TRIES = 4  # ways that are checked against the contours

A_CORNER, NOT_RIGHT, IN_A_WALL, A_TINY_WALL, A_TIP = 1.0, 2.5, 0.35, 3.0, 10.0  # what a plan costs
GROUND = 0.2  # of a square unit that changes hands


class Way(NamedTuple):
    """A way to be rid of a short wall."""

    moved: NDArray[np.int64]
    """Corners that go elsewhere, (K,)."""
    to: NDArray[np.float64]
    """Where they go, (K, 2)."""
    gone: int
    """The corner that is gone then."""
    kept: int
    """The one that it becomes."""


@njit(cache=True, nogil=True)
def next_ways(plan: Plan, walls: NDArray[np.int64], at: int, stays: NDArray[np.bool_]) -> tuple[int, list[Way]]:
    """Return the first wall from ``at`` on with ways that make the plan plainer, and the best of them, best first.

    walls: the two corners of each, (W, 2). stays: which corners do not move, (V,). Where no wall is left that is W, and
    there are no ways.
    """
    for i in range(at, len(walls)):
        a, b = walls[i]
        if (beside(plan, a) == b).any():  # not gone with another one
            ways = [way for way in _ways(plan, a, b) if not stays[way.moved].any()]
            cost = np.array([_cost(plan, way) for way in ways])
            best = [ways[k] for k in np.argsort(cost, kind="mergesort")[:TRIES] if cost[k] < 0]
            if len(best) > 0:
                return i, best
    return len(walls), _ways(plan, 0, 0)[:0]


@njit(cache=True, nogil=True)
def _ways(plan: Plan, a: int, b: int) -> list[Way]:
    """Return all ways to be rid of the wall between two corners."""
    at, ends = plan.places, (beside(plan, a), beside(plan, b))
    ends = ends[0][ends[0] != b], ends[1][ends[1] != a]
    ways = []
    for gone, kept, others in ((a, b, ends[0]), (b, a, ends[1])):
        ways.append(Way(np.array([gone]), at[kept : kept + 1].copy(), gone, kept))
        for v in others:  # the wall to it moves as a whole, and its other end along the wall that it ends on
            for w in beside(plan, v):
                met = _crossing(at[kept], at[gone], at[v], at[v], at[v], at[w])
                if w != gone and apart(met, at[v]) < SHORT:
                    ways.append(Way(np.array([gone, v]), np.stack((at[kept], met)), gone, kept))
    for v in ends[0]:
        for w in ends[1]:
            met = _crossing(at[a], at[v], at[a], at[b], at[w], at[b])
            if max(apart(met, at[a]), apart(met, at[b])) < SHORT:
                ways.append(Way(np.array([a, b]), np.stack((met, met)), a, b))
    return ways


@njit(cache=True, nogil=True)
def _crossing(
    p: NDArray[np.float64],
    p0: NDArray[np.float64],
    p1: NDArray[np.float64],
    q: NDArray[np.float64],
    q0: NDArray[np.float64],
    q1: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return where lines through p along p0-p1 and through q along q0-q1 meet; infinitely far if they hardly turn."""
    dx, dy, ex, ey = p1[0] - p0[0], p1[1] - p0[1], q1[0] - q0[0], q1[1] - q0[1]
    cross = dx * ey - dy * ex
    if abs(cross) < CROSSING * apart(p0, p1) * apart(q0, q1) or cross == 0:
        return np.full(2, np.inf)
    t = ((q[0] - p[0]) * ey - (q[1] - p[1]) * ex) / cross
    return np.array([p[0] + t * dx, p[1] + t * dy])


@njit(cache=True, nogil=True)
def _cost(plan: Plan, way: Way) -> float:
    """Return by how much a way changes what the plan costs; infinite where a ring is left with less than a triangle."""
    cost = 0.0
    for k in np.flatnonzero(rings_at(plan, way.moved)):
        ring = plan.corner[plan.start[k] : plan.start[k + 1]]
        new = merged(ring, way.gone, way.kept)
        if len(new) < 3:
            return np.inf
        was, becomes = plan.places[ring], _moved(plan, way, ring)
        cost += GROUND * _swept(was, becomes) + _shape_cost(_moved(plan, way, new)) - _shape_cost(was)
    return cost


@njit(cache=True, nogil=True)
def _moved(plan: Plan, way: Way, ring: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return where the corners of a ring are, (K, 2), once some have moved."""
    out = plan.places[ring]
    for i in range(len(ring)):
        for k in range(len(way.moved)):
            if way.moved[k] == ring[i]:
                out[i] = way.to[k]
    return out


@njit(cache=True, nogil=True)
def _swept(was: NDArray[np.float64], becomes: NDArray[np.float64]) -> float:
    """Return the ground that the walls of a ring sweep, whose corners, (K, 2), move."""
    swept = 0.0
    for i in range(len(was)):
        j = (i + 1) % len(was)
        ax, ay = becomes[j, 0] - was[i, 0], becomes[j, 1] - was[i, 1]
        bx, by = becomes[i, 0] - was[j, 0], becomes[i, 1] - was[j, 1]
        swept += 0.5 * abs(ax * by - ay * bx)
    return swept


@njit(cache=True, nogil=True)
def _shape_cost(ring: NDArray[np.float64]) -> float:
    """Return what the shape of a ring costs, (K, 2)."""
    cost, n = 0.0, len(ring)
    for i in range(n):
        dx, dy = ring[i, 0] - ring[i - 1, 0], ring[i, 1] - ring[i - 1, 1]
        ex, ey = ring[(i + 1) % n, 0] - ring[i, 0], ring[(i + 1) % n, 1] - ring[i, 1]
        before, length = np.sqrt(dx * dx + dy * dy), np.sqrt(ex * ex + ey * ey)
        if before == 0 or length == 0:
            return np.inf
        cosine, sine = (dx * ex + dy * ey) / (before * length), (dx * ey - dy * ex) / (before * length)
        if abs(sine) < NEAR and cosine > 0:
            cost += IN_A_WALL
        else:
            cost += A_CORNER
            if abs(cosine) > NEAR:
                cost += NOT_RIGHT
            if cosine < TIP:
                cost += A_TIP
        if length < TINY:
            cost += A_TINY_WALL
    return cost
