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

from collections.abc import Callable

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.adjacent.loops import Loops
from geoseg.vector.adjacent.plan import Plan, apart, beside, loops_of, redrawn, rings_at, without
from geoseg.vector.adjacent.ways import SHORT, Way, next_ways
from geoseg.vector.pixels.cuts import NO_CUTS, on_cut

STRAIGHT = 0.02  # sine of the turn at a corner below which it is none
ROUNDS = 3  # attempts at each short wall, again only where something beside it has changed

Allowed = Callable[[Loops, NDArray[np.intp]], bool]


def without_short_walls(
    polygons: NDArray[np.object_], allowed: Allowed, cuts: NDArray[np.object_] = NO_CUTS
) -> NDArray[np.object_]:
    """Return a coverage, (M,), in units of detail, with fewer short walls.

    allowed: whether buildings, (K,), may be drawn as the loops given, of K in units. cuts: lines on which corners
    stay, see ``cut_lines``.
    """
    plan = Plan.of(polygons)
    stays, stale = on_cut(plan.places, cuts), np.ones(len(plan.owner), np.bool_)
    for _ in range(ROUNDS):
        changed = np.zeros_like(stale)
        walls = plan.walls(stale, SHORT)
        at, ways = next_ways(plan, walls, 0, stays)
        while ways:
            for way in ways:
                made = _taken(plan, way, allowed)
                if made is not None:
                    changed |= rings_at(plan, way.moved)
                    plan = made
                    break
            at, ways = next_ways(plan, walls, at + 1, stays)
        if not changed.any():
            break
        plan, stale = _straightened(plan, stays), changed
    return loops_of(plan, np.ones(len(polygons), np.bool_)).polygons


def _taken(plan: Plan, way: Way, allowed: Allowed) -> Plan | None:
    """Return the plan once a way is taken; None where that is no coverage, or not allowed."""
    made, own, around = redrawn(plan, *way), *_touched(plan, way.moved)
    if not allowed(loops_of(made, own), np.flatnonzero(own)):
        return None
    polygons = loops_of(made, own | around).polygons
    sound = shapely.is_valid(polygons[own[own | around]]).all() and shapely.coverage_is_valid(polygons)
    return made if sound else None


@njit(cache=True, nogil=True)
def _touched(plan: Plan, corners: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which buildings have one of some corners, and which others meet the rings that hold them, (M,) each."""
    own, around = np.zeros(plan.owner[-1] + 1, np.bool_), np.zeros(plan.owner[-1] + 1, np.bool_)
    rings = rings_at(plan, corners)
    own[plan.owner[rings]] = True
    around[plan.owner[rings_at(plan, plan.corner[rings[plan.ring]])]] = True
    return own, around & ~own


@njit(cache=True, nogil=True)
def _straightened(plan: Plan, stays: NDArray[np.bool_]) -> Plan:
    """Return the plan without corners in straight walls at which no other wall ends."""
    for v in range(len(plan.places)):
        ends, own = beside(plan, v), rings_at(plan, np.array([v]))
        if len(ends) != 2 or stays[v] or (np.diff(plan.start)[own] < 4).any():
            continue
        if _straight(plan.places[ends[0]], plan.places[v], plan.places[ends[1]]):
            plan = without(plan, v)
    return plan


@njit(cache=True, nogil=True)
def _straight(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]) -> bool:
    """Return whether two walls, from a to b and on to c, go on as one."""
    dx, dy, ex, ey = b[0] - a[0], b[1] - a[1], c[0] - b[0], c[1] - b[1]
    return abs(dx * ey - dy * ex) < STRAIGHT * apart(a, b) * apart(b, c) and dx * ex + dy * ey > 0
