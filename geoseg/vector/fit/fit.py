"""Regular outlines: each contour is replaced by the simplest shape that stays within a bound, or kept and marked so."""

from dataclasses import dataclass, replace
from math import acos, atan2, ceil, cos, hypot, pi, sin, sqrt
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.fit.corners import find_corners
from geoseg.vector.fit.costs import (
    COARSE_MISFIT_COST,
    MISFIT_COST,
    Axes,
    Costs,
    first_costs,
    learnt_costs,
    least_jog_px,
)
from geoseg.vector.fit.ring import (
    Ring,
    centre,
    find_breaks,
    find_vertices,
    sample_ring,
    squared_distance,
)
from geoseg.vector.fit.walls import best_walls, find_directions, free_axes, regular_axes, turn_axes
from geoseg.vector.pixels.places import SUBPIXELS, moved, simplified
from geoseg.vector.pixels.rings import Rings
from geoseg.vector.pixels.subpixel import doubled, signed_area

ORTHO, MULTI, CIRCLE, FREE, UNCHANGED = range(5)
STATUS = ("ortho", "multi", "circle", "free", "unchanged")

ROUNDS = 2  # of learning costs and directions from the walls, and walls from them
AREA_CHANGE = 0.25  # share of the contour's area by which a fit may change it
LEAST_IOU = 0.8  # of a fit with its contour, judged ring by ring from their distance; noisy specks of houses reach it
SIZE_SHARE = 0.02  # the larger the building, the farther a wall may stray: this share of the root of its area
LARGEST_RING = 200_000  # samples; beyond, a ring is no building, and fitting it would take seconds
FINER = (1.0, 1.6)  # how many times finer to fit a ring, one after the other, until the bounds are met
# What is smaller is no circle: the blur of networks leaves as round a contour of a house of 12 pixels.
CIRCLE_RADIUS_PX, CIRCLE_COMPACTNESS, CIRCLE_SAGITTA_PX = 7.0, 1.25, 0.25


@dataclass(frozen=True, slots=True, eq=False)
class FittedRings:
    """Outline of ring k: xy[start[k]:start[k + 1]] (P, 2), in the ring's own pixels; nothing where it was left out.

    status: (R,) index into STATUS, -1 where left out. direction: (R,) radians from the columns' axis, NaN without one.
    misfit: (R, 4) largest distance from contour to outline, the distance and the squared distance integrated along the
    contour, and its length, in scaled pixels; zeros but for the length where the contour is drawn, to be measured anew.
    """

    xy: NDArray[np.float64]
    start: NDArray[np.int64]
    status: NDArray[np.int8]
    direction: NDArray[np.float64]
    misfit: NDArray[np.float64]


class Misfit(NamedTuple):
    """Largest distance from a ring to its outline, and the distance and its square integrated along the ring."""

    far: float
    area: float
    squares: float


class Regular(NamedTuple):
    """Outline (k, 2) of regular walls, its status, direction and misfit, and what it costs: the costs of misfit and
    corners that it was found with, and the sum of those of its irregular walls.
    """

    outline: NDArray[np.float64]
    status: int
    direction: float
    misfit: Misfit
    costs: Costs
    irregular: float


def fit_rings(
    rings: Rings,
    wanted: NDArray[np.bool_],
    *,
    scale: NDArray[np.float64],
    tolerance: NDArray[np.float64] | float,
    penalty: float,
    cut: NDArray[np.bool_] | None = None,
) -> FittedRings:
    """Fit the ``wanted`` rings; a hole takes its shell's direction where that is near.

    scale: (R, 2) factors of x and y that make the pixels square and keep their area. tolerance: (R,), or one for all:
    how far an outline may be from its contour, in scaled pixels, to which SIZE_SHARE of the root of the area is added.
    penalty: corners that a wall off the main direction must save. cut: (P,) the points of the rings that lie on a pixel
    without data, see ``find_cuts``; the outline follows the line through them, and nothing else is learnt from them.
    """
    tolerances = np.broadcast_to(np.float64(tolerance), len(rings)).copy()
    cut = np.zeros(len(rings.xy), np.bool_) if cut is None else cut
    fitted = FittedRings(
        *_fit_rings(rings.xy, cut, rings.start, rings.parent, wanted, scale, tolerances, float(penalty))
    )
    return _with_contours(fitted, rings) if (fitted.status == UNCHANGED).any() else fitted


def _with_contours(fitted: FittedRings, rings: Rings) -> FittedRings:
    """Draw the rings that nothing fits along their contours, simplified."""
    unchanged = np.flatnonzero(fitted.status == UNCHANGED)
    drawn = np.split(fitted.xy, fitted.start[1:-1])
    for k, contour in zip(unchanged, rings.filled(fitted.status == UNCHANGED), strict=True):
        corner = rings.first_pixel[k, ::-1].astype(np.float64)
        drawn[k] = shapely.get_coordinates(simplified(moved(contour, -corner)))[:-1]
    start = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(xy) for xy in drawn], dtype=np.int64)])
    return replace(fitted, xy=np.concatenate(drawn), start=start)


@njit(cache=True, nogil=True)
def _fit_rings(
    contours: NDArray[np.float32],
    cut: NDArray[np.bool_],
    start: NDArray[np.int64],
    parent: NDArray[np.int32],
    wanted: NDArray[np.bool_],
    scale: NDArray[np.float64],
    tolerance: NDArray[np.float64],
    penalty: float,
) -> tuple[
    NDArray[np.float64],
    NDArray[np.int64],
    NDArray[np.int8],
    NDArray[np.float64],
    NDArray[np.float64],
]:
    count = len(parent)
    xy, ends = np.empty((1024, 2)), np.zeros(count + 1, np.int64)
    status, direction = np.full(count, -1, np.int8), np.full(count, np.nan)
    misfit = np.zeros((count, 4))
    for i in range(count):
        ends[i + 1] = ends[i]
        if not wanted[i]:
            continue
        hint = direction[parent[i]] if parent[i] >= 0 else np.nan
        for finer in FINER:
            scale_x, scale_y = finer * scale[i, 0], finer * scale[i, 1]
            ring = sample_ring(contours[start[i] : start[i + 1]], cut[start[i] : start[i + 1]], scale_x, scale_y)
            outline, status[i], direction[i], between = fit_ring(ring, hint, finer * tolerance[i], penalty)
            if status[i] != UNCHANGED:
                break
        misfit[i, 0], misfit[i, 1] = between.far / finer, between.area / finer**2
        misfit[i, 2], misfit[i, 3] = between.squares / finer**3, len(ring.xy) * ring.step / finer
        ends[i + 1] += len(outline)
        while ends[i + 1] > len(xy):
            xy = doubled(xy)
        for k in range(len(outline)):
            xy[ends[i] + k, 0] = np.rint(outline[k, 0] / scale_x * SUBPIXELS) / SUBPIXELS
            xy[ends[i] + k, 1] = np.rint(outline[k, 1] / scale_y * SUBPIXELS) / SUBPIXELS
    return xy[: ends[count]].copy(), ends, status, direction, misfit


@njit(cache=True, nogil=True)
def fit_ring(
    ring: Ring, hint: float, tolerance: float, penalty: float
) -> tuple[NDArray[np.float64], int, float, Misfit]:
    """Return the outline (k, 2), its status, its direction, and its misfit to the ring.

    Tried in this order: a circle; walls along the building's directions, of which a coarse and a fine first description
    suggest some each, and the cheaper outcome counts; walls with directions of their own. The first within the bounds
    is taken; there is no outline where all fail. What is cut off is no circle.
    """
    area = signed_area(ring.xy)
    bound = tolerance + SIZE_SHARE * sqrt(abs(area))
    if len(ring.xy) <= LARGEST_RING:
        outline = _circle(ring, area)
        misfit = _checked(ring, outline, area)
        if misfit.far <= bound:
            return outline, CIRCLE, np.nan, misfit
        breaks = find_breaks(ring, find_vertices(ring))
        coarse = best_walls(ring, breaks, free_axes(), first_costs(ring, COARSE_MISFIT_COST))
        fine = best_walls(ring, breaks, free_axes(), first_costs(ring, MISFIT_COST))
        costs = learnt_costs(ring, coarse, free_axes())
        directions, others = find_directions(ring, coarse, hint), find_directions(ring, fine, hint)
        best = _regular(ring, area, breaks, directions, costs, penalty)
        if not np.array_equal(directions, others):
            other = _regular(ring, area, breaks, others, costs, penalty)
            if best.misfit.far > bound or (other.misfit.far <= bound and _is_cheaper(other, best)):
                best = other
        if best.misfit.far <= bound:
            return best.outline, best.status, best.direction, best.misfit
        jog_px = least_jog_px(learnt_costs(ring, fine, free_axes()))
        outline, _ = find_corners(ring, fine, free_axes(), jog_px)
        misfit = _checked(ring, outline, area)
        if misfit.far <= bound:
            return outline, FREE, np.nan, misfit
    return ring.xy[:0], UNCHANGED, np.nan, Misfit(0.0, 0.0, 0.0)


@njit(cache=True, nogil=True)
def _regular(
    ring: Ring, area: float, breaks: NDArray[np.int64], directions: NDArray[np.float64], costs: Costs, penalty: float
) -> Regular:
    """Describe a ring by walls along ``directions`` and such as they turn to; none where it has no directions."""
    if len(directions) == 0:
        none = np.empty((0, 2))
        return Regular(none, FREE, np.nan, _checked(ring, none, area), costs, 0.0)
    axes = regular_axes(directions, penalty)
    walls = best_walls(ring, breaks, axes, costs)
    for _ in range(ROUNDS):
        turn_axes(ring, walls, axes)
        costs = learnt_costs(ring, walls, axes)
        before, walls = walls, best_walls(ring, breaks, axes, costs)
        if np.array_equal(before.begin, walls.begin) and np.array_equal(before.axis, walls.axis):
            break
    turn_axes(ring, walls, axes)
    outline, count = find_corners(ring, walls, axes, least_jog_px(costs))
    irregular = 0.0
    for k in walls.axis[:count]:
        if k <= len(axes.angle):
            irregular += axes.cost[k] if k < len(axes.angle) else axes.free
    status = _status(walls.axis[:count], axes)
    return Regular(outline, status, axes.angle[0], _checked(ring, outline, area), costs, irregular)


@njit(cache=True, nogil=True)
def _is_cheaper(a: Regular, b: Regular) -> bool:
    """Whether the first describes a ring at less cost, by the mean of what the two have learnt of costs."""
    misfit, corner = sqrt(a.costs.misfit * b.costs.misfit), 0.5 * (a.costs.corner + b.costs.corner)
    more = misfit * (a.misfit.squares - b.misfit.squares) + corner * (len(a.outline) - len(b.outline))
    return more + a.irregular < b.irregular


@njit(cache=True, nogil=True)
def _status(axis: NDArray[np.int64], axes: Axes) -> int:
    status = ORTHO
    for k in axis:
        if k == len(axes.angle):
            return FREE
        if k < len(axes.angle) and axes.system[k] > 0:
            status = MULTI
    return status


@njit(cache=True, nogil=True)
def _checked(ring: Ring, outline: NDArray[np.float64], area: float) -> Misfit:
    """Misfit of an outline, infinite where its area differs too much from the ring's or it shares too little of it."""
    none = Misfit(np.inf, np.inf, np.inf)
    share = signed_area(outline) / area
    if len(outline) < 3 or abs(share - 1) > AREA_CHANGE:
        return none
    misfit = _misfit(ring, outline)
    both = abs(area) * (1 + share)
    return misfit if both - misfit.area >= LEAST_IOU * (both + misfit.area) else none


@njit(cache=True, nogil=True, error_model="numpy")
def _misfit(ring: Ring, outline: NDArray[np.float64]) -> Misfit:
    """Measure the samples' distances; samples are a step apart, so a wall that was far away still is some steps on."""
    farthest2, area, squares = 0.0, 0.0, 0.0
    reached = np.full(len(outline), -np.inf)  # how far along the ring each wall may first be as near as it was found
    first = 0
    for i in range(len(ring.xy)):
        along, nearest, nearest2 = i * ring.step, np.inf, np.inf
        for k in range(len(outline) + 1):
            j = first if k == 0 else k - 1
            if reached[j] - along > nearest + 1e-6:
                continue
            after = j + 1 if j + 1 < len(outline) else 0
            d2 = squared_distance(
                ring.xy[i, 0], ring.xy[i, 1], outline[j, 0], outline[j, 1], outline[after, 0], outline[after, 1]
            )
            d = sqrt(d2)
            reached[j] = along + d
            if d2 < nearest2:
                first, nearest, nearest2 = j, d, d2
        farthest2 = max(farthest2, nearest2)
        area += nearest * ring.step
        squares += nearest2 * ring.step
    return Misfit(sqrt(farthest2), area, squares)


@njit(cache=True, nogil=True)
def _circle(ring: Ring, area: float) -> NDArray[np.float64]:
    """Vertices of a circle of the same area where the ring is one, else none.

    Centre and radius by least squares (Kasa 1976); neither oval nor square: the second and fourth harmonic of the
    residual are small.
    """
    none = np.empty((0, 2))
    n, perimeter = len(ring.xy), len(ring.xy) * ring.step
    compact = perimeter * perimeter / (4 * pi * abs(area))
    if sqrt(abs(area) / pi) < CIRCLE_RADIUS_PX or compact > CIRCLE_COMPACTNESS or ring.cuts[-1] > 0:
        return none
    mean_x, mean_y = centre(ring.xy)
    xx, yy, xy, p, q = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        x, y = ring.xy[i, 0] - mean_x, ring.xy[i, 1] - mean_y
        square = x * x + y * y
        xx, yy, xy = xx + x * x, yy + y * y, xy + x * y
        p, q = p + x * square, q + y * square
    det = xx * yy - xy * xy
    cx, cy = (0.5 * p * yy - 0.5 * q * xy) / det, (0.5 * q * xx - 0.5 * p * xy) / det
    radius = sqrt(cx * cx + cy * cy + (xx + yy) / n)
    squares, waves = 0.0, np.zeros(4)
    for i in range(n):
        x, y = ring.xy[i, 0] - mean_x - cx, ring.xy[i, 1] - mean_y - cy
        residual, phase = hypot(x, y) - radius, atan2(y, x)
        squares += residual * residual
        waves[0] += residual * cos(2 * phase)
        waves[1] += residual * sin(2 * phase)
        waves[2] += residual * cos(4 * phase)
        waves[3] += residual * sin(4 * phase)
    oval, square_like = 2 * hypot(waves[0], waves[1]) / n, 2 * hypot(waves[2], waves[3]) / n
    if sqrt(squares / n) > 0.05 * radius + 0.25 or oval > 0.03 * radius + 0.25 or square_like > 0.03 * radius + 0.15:
        return none
    count = max(ceil(pi / acos(1 - CIRCLE_SAGITTA_PX / radius)), 12)
    equal_area = sqrt(abs(area) / (0.5 * count * sin(2 * pi / count)))
    outline = np.empty((count, 2))
    for i in range(count):
        phase = 2 * pi * i / count * (1 if area > 0 else -1)
        outline[i, 0] = mean_x + cx + equal_area * cos(phase)
        outline[i, 1] = mean_y + cy + equal_area * sin(phase)
    return outline
