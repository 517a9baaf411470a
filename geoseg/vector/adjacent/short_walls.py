"""Short walls: where touching buildings meet, they give way to corners where that makes the plan plainer.

::

    |      |              |      |
    |    +-+-----         |      +-----     two corners become one, and a wall moves with its corner, or the walls
    +----+ |       ->     +------+          beside a chamfer meet
    |      |              |      |

The shortest wall goes first. Of all ways to be rid of it the cheapest counts: corners cost, those that are not right
more, tiny walls and tips more still, and so does the ground that changes hands. What each costs, and what it costs
otherwise: benchmarks/results/polygons_tried.md.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray

from geoseg.vector.adjacent.plan import Place, Plan, Ring, apart
from geoseg.vector.pixels.cuts import NO_CUTS, on_cut

SHORT = 5.0  # units: walls that may go, and how far they may take a corner
TINY = 1.11  # units: half a metre at the usual detail
NEAR = np.sin(np.radians(5))  # how far from straight, or from right, a corner may be and count as that
TIP = np.cos(np.radians(140))  # of the turn beyond which a corner is a tip
CROSSING = 0.3  # sine of the angle between walls below which they do not meet
STRAIGHT = 0.02  # sine of the turn at a corner below which it is none
ROUNDS = 3  # attempts at each short wall, again only where something beside it has changed
TRIES = 4  # ways that are checked against the contours

A_CORNER, NOT_RIGHT, IN_A_WALL, A_TINY_WALL, A_TIP = 1.0, 2.5, 0.35, 3.0, 10.0  # what a plan costs
GROUND = 0.2  # of a square unit that changes hands

Allowed = Callable[[NDArray[np.object_], NDArray[np.intp]], bool]


class Way(NamedTuple):
    """A way to be rid of a short wall."""

    cost: float
    """By how much it changes what the plan costs; the cheapest comes first."""
    number: int
    """Its place among the ways: of equals the first one counts."""
    moved: dict[int, Place]
    """Where corners go."""
    rings: dict[int, Ring]
    """The rings that change."""


def without_short_walls(
    polygons: NDArray[np.object_], allowed: Allowed, cuts: NDArray[np.object_] = NO_CUTS
) -> NDArray[np.object_]:
    """Return a coverage, (M,), in units of detail, with fewer short walls.

    allowed: whether buildings, (K,), may be drawn as the polygons given, (K,) in units. cuts: lines on which corners
    stay, see ``cut_lines``.
    """
    plan = Plan.of(polygons)
    stays = on_cut(plan.places, cuts)
    stale = set(range(len(plan.rings)))
    for _ in range(ROUNDS):
        changed: set[int] = set()
        for _, a, b in plan.walls(stale, SHORT):
            if b in plan.beside(a):
                changed |= _rid(plan, a, b, stays, allowed)
        if not changed:
            break
        _straighten(plan, stays)
        stale = changed
    return plan.polygons()


def _rid(plan: Plan, a: int, b: int, stays: NDArray[np.bool_], allowed: Allowed) -> set[int]:
    """Take the wall between two corners away where a way is worth it; return the rings that changed."""
    ways = (
        _weighed(plan, number, moved, gone, kept)
        for number, (moved, gone, kept) in enumerate(_ways(plan, a, b))
        if not any(stays[v] for v in moved)
    )
    for way in sorted(way for way in ways if way is not None and way.cost < 0)[:TRIES]:
        before = plan.places[list(way.moved)]
        plan.places[list(way.moved)] = list(way.moved.values())
        own = {plan.owner[k] for k in way.rings}
        made = np.array([plan.polygon(i, way.rings) for i in sorted(own)])
        around = [plan.polygon(i, {}) for i in sorted(plan.neighbours(own, set(way.rings)))]
        if (
            shapely.is_valid(made).all()
            and shapely.coverage_is_valid(np.array([*made, *around]))
            and allowed(made, np.array(sorted(own)))
        ):
            plan.redraw(way.rings)
            return set(way.rings)
        plan.places[list(way.moved)] = before
    return set()


def _ways(plan: Plan, a: int, b: int) -> Iterator[tuple[dict[int, Place], int, int]]:
    """Yield where corners go, the corner that is gone then, and the one that it becomes."""
    at = plan.place(a), plan.place(b)
    beside = [[v for v in plan.beside(one) if v != other] for one, other in ((a, b), (b, a))]
    for gone, kept, target, others in ((a, b, at[1], beside[0]), (b, a, at[0], beside[1])):
        yield {gone: target}, gone, kept
        start = plan.place(gone)
        for v in others:  # the wall to it moves as a whole, and its other end along the wall that it ends on
            end = plan.place(v)
            for w in plan.beside(v):
                met = None if w == gone else _crossing(target, start, end, end, end, plan.place(w))
                if met is not None and apart(met, end) < SHORT:
                    yield {gone: target, v: met}, gone, kept
    for v in beside[0]:
        for w in beside[1]:
            met = _crossing(at[0], plan.place(v), at[0], at[1], plan.place(w), at[1])
            if met is not None and max(apart(met, at[0]), apart(met, at[1])) < SHORT:
                yield {a: met, b: met}, a, b


def _weighed(plan: Plan, number: int, moved: dict[int, Place], gone: int, kept: int) -> Way | None:
    """Return a way with its cost; None where a ring is left with less than a triangle."""
    rings = sorted({k for v in moved for k in plan.rings_at[v]})
    changed = {k: _merged(plan.rings[k], gone, kept) for k in rings}
    if any(len(ring) < 3 for ring in changed.values()):
        return None
    corners, places = np.array(list(moved)), np.array(list(moved.values()))
    cost = 0.0
    for k in rings:
        cost += _weigh(plan.places, corners, places, np.array(plan.rings[k]), np.array(changed[k]))
    return Way(cost, number, moved, changed)


def _merged(ring: Ring, gone: int, kept: int) -> Ring:
    """Return a ring with one corner in the place of another, without walls of no length and walls there and back."""
    named = [kept if v == gone else v for v in ring]
    out = [v for i, v in enumerate(named) if v != named[i - 1]]
    at = 0
    while len(out) > 2 and at < len(out):
        if out[at - 1] == out[(at + 1) % len(out)]:
            out = [v for i, v in enumerate(out) if i not in (at, (at + 1) % len(out))]
            at = 0
        else:
            at += 1
    return tuple(out)


def _straighten(plan: Plan, stays: NDArray[np.bool_]) -> None:
    """Leave out corners in straight walls at which no other wall ends."""
    for v in range(len(plan.places)):
        if stays[v] or not plan.rings_at[v] or any(len(plan.rings[k]) < 4 for k in plan.rings_at[v]):
            continue
        ends = plan.beside(v)
        if len(ends) == 2 and _straight(plan.place(ends[0]), plan.place(v), plan.place(ends[1])):
            plan.redraw({k: tuple(w for w in plan.rings[k] if w != v) for k in list(plan.rings_at[v])})


def _straight(a: Place, b: Place, c: Place) -> bool:
    """Return whether two walls, from a to b and on to c, go on as one."""
    dx, dy, ex, ey = b[0] - a[0], b[1] - a[1], c[0] - b[0], c[1] - b[1]
    return abs(dx * ey - dy * ex) < STRAIGHT * apart(a, b) * apart(b, c) and dx * ex + dy * ey > 0


def _crossing(p: Place, p0: Place, p1: Place, q: Place, q0: Place, q1: Place) -> Place | None:
    """Return where the line through p along p0-p1 meets that through q along q0-q1; None where they hardly turn."""
    dx, dy, ex, ey = p1[0] - p0[0], p1[1] - p0[1], q1[0] - q0[0], q1[1] - q0[1]
    cross = dx * ey - dy * ex
    if abs(cross) < CROSSING * apart(p0, p1) * apart(q0, q1) or cross == 0:
        return None
    t = ((q[0] - p[0]) * ey - (q[1] - p[1]) * ex) / cross
    return p[0] + t * dx, p[1] + t * dy


@njit(cache=True, nogil=True)
def _weigh(
    places: NDArray[np.float64],
    corners: NDArray[np.int64],
    targets: NDArray[np.float64],
    old: NDArray[np.int64],
    new: NDArray[np.int64],
) -> float:
    """Return by how much a ring's cost changes where some corners move: its shape's, and the ground that it sweeps.

    places: of all corners, (V, 2), before. corners, targets: which ones move, (C,), and where to, (C, 2). old, new: the
    ring's corners before and after, (K,) and (L,).
    """
    was, becomes = places[old], _moved(places, corners, targets, old)
    swept = 0.0
    for i in range(len(old)):
        j = (i + 1) % len(old)
        ax, ay = becomes[j, 0] - was[i, 0], becomes[j, 1] - was[i, 1]
        bx, by = becomes[i, 0] - was[j, 0], becomes[i, 1] - was[j, 1]
        swept += 0.5 * abs(ax * by - ay * bx)
    return GROUND * swept + _cost(_moved(places, corners, targets, new)) - _cost(was)


@njit(cache=True, nogil=True)
def _moved(
    places: NDArray[np.float64], corners: NDArray[np.int64], targets: NDArray[np.float64], ring: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the corners of a ring, (K, 2), where some have moved."""
    out = places[ring]
    for i in range(len(ring)):
        for k in range(len(corners)):
            if corners[k] == ring[i]:
                out[i] = targets[k]
    return out


@njit(cache=True, nogil=True)
def _cost(ring: NDArray[np.float64]) -> float:
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
