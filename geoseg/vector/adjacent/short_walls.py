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

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.adjacent.limits import Limits, Seen, allowed
from geoseg.vector.adjacent.loops import Loops
from geoseg.vector.adjacent.plan import Plan, apart, beside, loops_of, redrawn, rings_at, walls_of, without
from geoseg.vector.adjacent.sound import surely_sound
from geoseg.vector.adjacent.ways import SHORT, next_ways
from geoseg.vector.pixels.cuts import NO_CUTS, on_cut

STRAIGHT = 0.02  # sine of the turn at a corner below which it is none
ROUNDS = 3  # attempts at each short wall, again only where something beside it has changed


class Bounds(NamedTuple):
    """What the buildings of a plan have to be near to."""

    seen: Seen
    """Their contours, M."""
    scale: NDArray[np.float64]
    """Factors of x and y that make pixels the plan's units, (2,)."""
    bound: NDArray[np.bool_]
    """Which of them have to be near, (M,)."""


class Walk(NamedTuple):
    """How far the rounds over the short walls of a plan have come."""

    plan: Plan
    """The plan so far."""
    walls: NDArray[np.int64]
    """The walls of this round, (W, 2)."""
    changed: NDArray[np.bool_]
    """Which rings have changed in this round, (R,)."""
    turn: int
    """How many rounds there were before."""
    wall: int
    """The wall that is next."""
    way: int
    """The way to be rid of it that is next, of those that ``next_ways`` finds."""
    asked: Plan
    """What the plan would be once a way is taken that may make it no coverage, or go beyond the bounds."""
    rings: NDArray[np.bool_]
    """Which rings differ in it, (R,)."""
    done: bool
    """Whether no wall is left, and nothing is asked."""


def without_short_walls(
    polygons: NDArray[np.object_],
    limits: Limits,
    scale: NDArray[np.float64],
    bound: NDArray[np.bool_],
    cuts: NDArray[np.object_] = NO_CUTS,
) -> NDArray[np.object_]:
    """Return a coverage, (M,), in units of detail, with fewer short walls.

    limits: what the buildings have to be near to; scale: (2,) factors that make its pixels units; bound: (M,) which of
    them have to. cuts: lines on which corners stay, see ``cut_lines``.
    """
    plan, bounds = Plan.of(polygons), Bounds(limits.seen, scale, bound)
    stays = on_cut(plan.places, cuts)
    walk = _walked_on(_begun(plan), stays, bounds)
    while not walk.done:
        if _is_sound(walk) and _is_allowed(walk, limits, bounds):
            walk = walk._replace(plan=walk.asked, changed=walk.changed | walk.rings, wall=walk.wall + 1, way=0)
        else:
            walk = walk._replace(way=walk.way + 1)
        walk = _walked_on(walk, stays, bounds)
    return loops_of(walk.plan, np.ones(len(polygons), np.bool_)).polygons


def _is_sound(walk: Walk) -> bool:
    """Whether what is asked is a coverage."""
    own, around = _touched(walk.plan, walk.rings)
    polygons = loops_of(walk.asked, own | around).polygons
    return bool(shapely.is_valid(polygons[own[own | around]]).all() and shapely.coverage_is_valid(polygons))


def _is_allowed(walk: Walk, limits: Limits, bounds: Bounds) -> bool:
    """Whether what is asked is near enough to the contours."""
    own, _ = _touched(walk.plan, walk.rings)
    made, members = loops_of(walk.asked, own), np.flatnonzero(own)
    near = limits.allow(made._replace(xy=made.xy / bounds.scale), members)
    return bool((near | ~bounds.bound[members]).all())


@njit(cache=True, nogil=True)
def _begun(plan: Plan) -> Walk:
    """Return a walk before its first step."""
    none, every = np.zeros(len(plan.owner), np.bool_), np.ones(len(plan.owner), np.bool_)
    return Walk(plan, walls_of(plan, every, SHORT), none, 0, 0, 0, plan, none, False)


@njit(cache=True, nogil=True)
def _walked_on(walk: Walk, stays: NDArray[np.bool_], bounds: Bounds) -> Walk:
    """Take one way after the other that is allowed and surely sound, up to one that has to be asked for."""
    plan, walls, changed, way = walk.plan, walk.walls, walk.changed.copy(), walk.way
    turn, at = walk.turn, walk.wall
    while turn < ROUNDS:
        at, ways = next_ways(plan, walls, at, stays)
        while way < len(ways):
            one = ways[way]
            made, rings = redrawn(plan, one.moved, one.to, one.gone, one.kept), rings_at(plan, one.moved)
            own, around = _touched(plan, rings)
            drawn, members = loops_of(made, own), np.flatnonzero(own)
            pixels = Loops(drawn.xy / bounds.scale, drawn.start, drawn.first, drawn.shell)
            near, unsure = allowed(bounds.seen, pixels, members)
            if (near | ~bounds.bound[members]).all():
                moved = np.zeros(len(plan.places), np.bool_)
                moved[one.moved] = moved[one.kept] = True
                if (unsure & bounds.bound[members]).any() or not surely_sound(plan, made, moved, own, around):
                    return Walk(plan, walls, changed, turn, at, way, made, rings, False)
                plan, changed = made, changed | rings
                break
            way += 1
        way, at = 0, at + 1
        if at < len(walls):
            continue
        if not changed.any():
            break
        plan, at, turn = _straightened(plan, stays), 0, turn + 1
        walls, changed = walls_of(plan, changed, SHORT), np.zeros_like(changed)
    return Walk(plan, walls, changed, turn, at, 0, plan, changed, True)


@njit(cache=True, nogil=True)
def _touched(plan: Plan, rings: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which buildings have some rings, (R,), and which others meet these, (M,) each."""
    own, around = np.zeros(plan.owner[-1] + 1, np.bool_), np.zeros(plan.owner[-1] + 1, np.bool_)
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
