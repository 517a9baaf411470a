"""Plan: the walls of touching buildings as one graph, whose corners several buildings have in common."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.adjacent.edges import edges_of
from geoseg.vector.adjacent.loops import Loops


class Plan(NamedTuple):
    """A coverage by its corners; what shares a wall shares both its ends."""

    places: NDArray[np.float64]
    """Corners, each once, (V, 2)."""
    corner: NDArray[np.int64]
    """Corners of all rings in their order, the first of each not repeated, (C,)."""
    start: NDArray[np.int64]
    """Ring k has the corners start[k] to start[k + 1], (R + 1,)."""
    owner: NDArray[np.int64]
    """The building that each ring belongs to, ascending, its shell first, (R,)."""
    ring: NDArray[np.int64]
    """The ring of each of ``corner``, (C,)."""
    slot: NDArray[np.int64]
    """Where in ``corner`` each corner stands, one corner after the other, (C,)."""
    first: NDArray[np.int64]
    """Corner v stands at slot[first[v]] to slot[first[v + 1]], (V + 1,); nowhere where it is gone."""

    @classmethod
    def of(cls, polygons: NDArray[np.object_]) -> "Plan":
        """Return the plan of a coverage, (M,)."""
        ends, _, start, owner = edges_of(polygons)
        xy = ends[:, 2:]
        order = np.lexsort((xy[:, 1], xy[:, 0]))
        new = np.append(True, (xy[order[1:]] != xy[order[:-1]]).any(axis=1))
        corner = np.empty(len(xy), np.int64)
        corner[order] = np.cumsum(new) - 1
        return linked(xy[order[new]], corner, start, owner)


@njit(cache=True, nogil=True)
def walls_of(plan: Plan, rings: NDArray[np.bool_], shorter: float) -> NDArray[np.int64]:
    """Return the corners of the walls of some rings, (R,), shorter than so much, the shortest first, (W, 2)."""
    pairs, n, count = np.empty(len(plan.corner), np.int64), 0, len(plan.places)
    for ring in np.flatnonzero(rings):
        for at in range(plan.start[ring], plan.start[ring + 1]):
            a, b = plan.corner[at], plan.corner[at + 1 if at + 1 < plan.start[ring + 1] else plan.start[ring]]
            if apart(plan.places[a], plan.places[b]) < shorter:
                pairs[n] = min(a, b) * count + max(a, b)
                n += 1
    ends = np.unique(pairs[:n])
    walls, length = np.empty((len(ends), 2), np.int64), np.empty(len(ends))
    for i in range(len(ends)):
        walls[i, 0], walls[i, 1] = ends[i] // count, ends[i] % count
        length[i] = apart(plan.places[walls[i, 0]], plan.places[walls[i, 1]])
    return walls[np.argsort(length, kind="mergesort")]


@njit(cache=True, nogil=True)
def linked(
    places: NDArray[np.float64], corner: NDArray[np.int64], start: NDArray[np.int64], owner: NDArray[np.int64]
) -> Plan:
    """Return the plan of some rings."""
    ring, slot, first = np.empty_like(corner), np.empty_like(corner), np.zeros(len(places) + 1, np.int64)
    for k in range(len(owner)):
        for i in range(start[k], start[k + 1]):
            ring[i] = k
            first[corner[i] + 1] += 1
    for v in range(len(places)):
        first[v + 1] += first[v]
    filled = first.copy()
    for i in range(len(corner)):
        slot[filled[corner[i]]] = i
        filled[corner[i]] += 1
    return Plan(places, corner, start, owner, ring, slot, first)


@njit(cache=True, nogil=True)
def loops_of(plan: Plan, chosen: NDArray[np.bool_]) -> Loops:
    """Return the rings of the chosen buildings, all of M, as those of K."""
    rings = np.flatnonzero(chosen[plan.owner])
    xy, start, first = np.empty((len(plan.corner) + len(rings), 2)), np.zeros(len(rings) + 1, np.int64), [0]
    shell, n = np.ones(len(rings), np.bool_), 0
    for i in range(len(rings)):
        low, high = plan.start[rings[i]], plan.start[rings[i] + 1]
        for k in range(low, high + 1):
            xy[n] = plan.places[plan.corner[k if k < high else low]]
            n += 1
        start[i + 1] = n
        shell[i] = i == 0 or plan.owner[rings[i]] != plan.owner[rings[i - 1]]
        if i + 1 == len(rings) or plan.owner[rings[i]] != plan.owner[rings[i + 1]]:
            first.append(i + 1)
    return Loops(xy[:n].copy(), start, np.array(first), shell)


@njit(cache=True, nogil=True)
def beside(plan: Plan, v: int) -> NDArray[np.int64]:
    """Return the corners that walls link to one, ascending."""
    ends, n = np.empty(2 * (plan.first[v + 1] - plan.first[v]), np.int64), 0
    for k in range(plan.first[v], plan.first[v + 1]):
        at = plan.slot[k]
        low, high = plan.start[plan.ring[at]], plan.start[plan.ring[at] + 1]
        ends[n] = plan.corner[at - 1 if at > low else high - 1]
        ends[n + 1] = plan.corner[at + 1 if at + 1 < high else low]
        n += 2
    return np.unique(ends)


@njit(cache=True, nogil=True)
def apart(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the distance of two places."""
    dx, dy = a[0] - b[0], a[1] - b[1]
    return np.sqrt(dx * dx + dy * dy)


@njit(cache=True, nogil=True)
def rings_at(plan: Plan, corners: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rings hold one of some corners, (R,)."""
    out = np.zeros(len(plan.owner), np.bool_)
    for v in corners:
        for k in range(plan.first[v], plan.first[v + 1]):
            out[plan.ring[plan.slot[k]]] = True
    return out


@njit(cache=True, nogil=True)
def merged(ring: NDArray[np.int64], gone: int, kept: int) -> NDArray[np.int64]:
    """Return a ring with one corner in the place of another, without walls of no length and walls there and back."""
    named, out, n = np.where(ring == gone, kept, ring), np.empty_like(ring), 0
    for i in range(len(named)):
        if named[i] != named[i - 1]:
            out[n] = named[i]
            n += 1
    at = 0
    while n > 2 and at < n:
        after = at + 1 if at + 1 < n else 0
        if out[at - 1 if at > 0 else n - 1] == out[after]:
            left, n = n, 0
            for i in range(left):
                if i not in (at, after):
                    out[n] = out[i]
                    n += 1
            at = 0
        else:
            at += 1
    return out[:n].copy()


@njit(cache=True, nogil=True)
def redrawn(plan: Plan, moved: NDArray[np.int64], to: NDArray[np.float64], gone: int, kept: int) -> Plan:
    """Return the plan with some corners elsewhere, (K,) and (K, 2), and one of them in the place of another."""
    places, changed = plan.places.copy(), rings_at(plan, moved)
    for i in range(len(moved)):
        places[moved[i]] = to[i]
    corner, start, n = np.empty_like(plan.corner), np.zeros_like(plan.start), 0
    for k in range(len(plan.owner)):
        ring = plan.corner[plan.start[k] : plan.start[k + 1]]
        if changed[k]:
            ring = merged(ring, gone, kept)
        for v in ring:
            corner[n] = v
            n += 1
        start[k + 1] = n
    return linked(places, corner[:n].copy(), start, plan.owner)


@njit(cache=True, nogil=True)
def without(plan: Plan, v: int) -> Plan:
    """Return the plan without a corner."""
    left = plan.corner != v
    before = np.append(0, np.cumsum(left))
    return linked(plan.places, plan.corner[left], before[plan.start], plan.owner)
