"""Soundness: whether a plan of which a few corners have moved is surely a coverage still, without asking GEOS.

No wall of a moved corner may come near another one but where both end, and no wall may lie in a building that is not
bounded by it. What is nearly otherwise is left to GEOS, whose arithmetic is exact.
"""

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.adjacent.loops import Loops, taken
from geoseg.vector.adjacent.plan import Plan
from geoseg.vector.adjacent.tolerance import distance
from geoseg.vector.pixels.subpixel import signed_area

CLEAR = 1e-6  # units between walls, or sine of the angle between them, that no rounding makes nothing
MANY = 2000  # walls of a ring: GEOS, which has an index, is faster from there on


def are_valid(polygons: Loops) -> NDArray[np.bool_]:
    """Return which polygons are valid, (N,); GEOS is asked for those with holes and such as nearly cross themselves."""
    out = _surely_valid(polygons)
    if not out.all():
        out[~out] = shapely.is_valid(taken(polygons, np.flatnonzero(~out)).polygons)
    return out


@njit(cache=True, nogil=True)
def _surely_valid(polygons: Loops) -> NDArray[np.bool_]:
    """Return which polygons are one ring whose walls keep clear of each other but in its corners, (N,)."""
    out = np.zeros(len(polygons.first) - 1, np.bool_)
    for i in range(len(out)):
        low, high = polygons.start[polygons.first[i]], polygons.start[polygons.first[i + 1]] - 1
        out[i] = polygons.first[i + 1] - polygons.first[i] == 1 and 3 <= high - low < MANY
        for k in range(low, high if out[i] else low):
            out[i] &= _is_clear_ahead(polygons.xy, low, k, high)
    return out


@njit(cache=True, nogil=True)
def _is_clear_ahead(xy: NDArray[np.float64], low: int, k: int, high: int) -> bool:
    """Whether wall k of those low to high of a ring keeps clear of the later ones."""
    ax, ay, bx, by = xy[k, 0], xy[k, 1], xy[k + 1, 0], xy[k + 1, 1]
    left, right, low_y, high_y = min(ax, bx) - CLEAR, max(ax, bx) + CLEAR, min(ay, by) - CLEAR, max(ay, by) + CLEAR
    for at in range(k + 1, high):
        px, py, qx, qy = xy[at, 0], xy[at, 1], xy[at + 1, 0], xy[at + 1, 1]
        if max(px, qx) < left or min(px, qx) > right or max(py, qy) < low_y or min(py, qy) > high_y:
            continue
        if at == k + 1:
            if not _turns(bx, by, ax, ay, qx, qy):
                return False
        elif k == low and at == high - 1:
            if not _turns(ax, ay, bx, by, px, py):
                return False
        elif _cross(ax, ay, bx, by, px, py, qx, qy):
            return False
    return True


@njit(cache=True, nogil=True)
def surely_sound(
    plan: Plan, made: Plan, moved: NDArray[np.bool_], own: NDArray[np.bool_], around: NDArray[np.bool_]
) -> bool:
    """Whether what has become of a coverage is surely one; elsewhere it may be.

    moved: which corners stand elsewhere now, (V,). own: the buildings that have one, (M,). around: those beside.
    """
    near = own | around
    for ring in range(len(made.owner)):
        if own[made.owner[ring]] and not _is_as_before(plan, made, ring):
            return False
        if not near[made.owner[ring]]:
            continue
        low, high = made.start[ring], made.start[ring + 1]
        for at in range(low, high):
            v, w = made.corner[at], made.corner[at + 1 if at + 1 < high else low]
            changed = moved[v] or moved[w]
            for other in range(len(made.owner)):
                if not near[made.owner[other]]:
                    continue
                if changed and not _is_clear(made, v, w, other):
                    return False
                first = other == 0 or made.owner[other] != made.owner[other - 1]
                if first and (changed or own[made.owner[other]]) and _lies_in(made, v, w, other):
                    return False
    return True


@njit(cache=True, nogil=True)
def _is_as_before(plan: Plan, made: Plan, ring: int) -> bool:
    """Whether a ring has the sense it had, comes to no corner twice, and is all of its building."""
    low, high, owner = made.start[ring], made.start[ring + 1], made.owner
    if (ring > 0 and owner[ring - 1] == owner[ring]) or (ring + 1 < len(owner) and owner[ring + 1] == owner[ring]):
        return False
    for at in range(low, high):
        for k in range(at + 1, high):
            if made.corner[at] == made.corner[k]:
                return False
    before = signed_area(plan.places[plan.corner[plan.start[ring] : plan.start[ring + 1]]])
    now = signed_area(made.places[made.corner[low:high]])
    return min(abs(before), abs(now)) > CLEAR and (before > 0) == (now > 0)


@njit(cache=True, nogil=True)
def _is_clear(made: Plan, v: int, w: int, ring: int) -> bool:
    """Whether the wall between two corners meets those of a ring where both end alone."""
    ax, ay, bx, by = made.places[v, 0], made.places[v, 1], made.places[w, 0], made.places[w, 1]
    left, right, low_y, high_y = min(ax, bx) - CLEAR, max(ax, bx) + CLEAR, min(ay, by) - CLEAR, max(ay, by) + CLEAR
    low, high = made.start[ring], made.start[ring + 1]
    for at in range(low, high):
        p, q = made.corner[at], made.corner[at + 1 if at + 1 < high else low]
        px, py, qx, qy = made.places[p, 0], made.places[p, 1], made.places[q, 0], made.places[q, 1]
        if max(px, qx) < left or min(px, qx) > right or max(py, qy) < low_y or min(py, qy) > high_y:
            continue
        if (p == v and q == w) or (p == w and q == v):
            continue
        if p in (v, w):  # from a corner that both have to the other ends
            if not _turns(px, py, qx, qy, ax + bx - px, ay + by - py):
                return False
        elif q in (v, w):
            if not _turns(qx, qy, px, py, ax + bx - qx, ay + by - qy):
                return False
        elif _cross(ax, ay, bx, by, px, py, qx, qy):
            return False
    return True


@njit(cache=True, nogil=True)
def _turns(x: float, y: float, px: float, py: float, qx: float, qy: float) -> bool:
    """Whether two walls that begin at one corner surely have different directions."""
    dx, dy, ex, ey = px - x, py - y, qx - x, qy - y
    sizes = np.sqrt((dx * dx + dy * dy) * (ex * ex + ey * ey))
    return sizes > CLEAR**2 and (abs(dx * ey - dy * ex) > CLEAR * sizes or dx * ex + dy * ey < 0)


@njit(cache=True, nogil=True)
def _cross(ax: float, ay: float, bx: float, by: float, px: float, py: float, qx: float, qy: float) -> bool:
    """Whether the walls a-b and p-q cross, or come near each other."""
    if distance(ax, ay, px, py, qx, qy) <= CLEAR or distance(bx, by, px, py, qx, qy) <= CLEAR:
        return True
    if distance(px, py, ax, ay, bx, by) <= CLEAR or distance(qx, qy, ax, ay, bx, by) <= CLEAR:
        return True
    return cross(ax, ay, bx, by, px, py, qx, qy)


@njit(cache=True, nogil=True)
def cross(ax: float, ay: float, bx: float, by: float, px: float, py: float, qx: float, qy: float) -> bool:
    """Whether the walls a-b and p-q cross; where an end lies on the other one the answer is any."""
    a = (qx - px) * (ay - py) - (qy - py) * (ax - px) > 0
    b = (qx - px) * (by - py) - (qy - py) * (bx - px) > 0
    p = (bx - ax) * (py - ay) - (by - ay) * (px - ax) > 0
    q = (bx - ax) * (qy - ay) - (by - ay) * (qx - ax) > 0
    return a != b and p != q


@njit(cache=True, nogil=True)
def _lies_in(made: Plan, v: int, w: int, ring: int) -> bool:
    """Whether the middle of a wall lies in the building whose first ring this is, and the wall does not bound it."""
    x, y = 0.5 * (made.places[v, 0] + made.places[w, 0]), 0.5 * (made.places[v, 1] + made.places[w, 1])
    inside, building = False, made.owner[ring]
    while ring < len(made.owner) and made.owner[ring] == building:
        low, high = made.start[ring], made.start[ring + 1]
        p = made.corner[high - 1]
        for at in range(low, high):
            q = made.corner[at]
            if (p == v and q == w) or (p == w and q == v):
                return False
            px, py, qx, qy = made.places[p, 0], made.places[p, 1], made.places[q, 0], made.places[q, 1]
            if (py > y) != (qy > y) and x < px + (y - py) * (qx - px) / (qy - py):
                inside = not inside
            p = q
        ring += 1
    return inside
