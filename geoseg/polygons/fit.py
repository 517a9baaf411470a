"""Regular outlines: each contour is replaced by the simplest shape that stays within a bound, or kept and marked so."""

from dataclasses import dataclass
from math import acos, atan2, ceil, cos, hypot, pi, sin, sqrt

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geoseg.polygons.corners import find_corners
from geoseg.polygons.ring import (
    BREAK_TOLERANCE_PX,
    Ring,
    find_breaks,
    find_vertices,
    sample_ring,
    signed_area,
    squared_distance,
)
from geoseg.polygons.rings import Rings
from geoseg.polygons.trace import SUBPIXELS
from geoseg.polygons.walls import (
    FREE_COST,
    MISFIT_COST,
    Axes,
    best_walls,
    find_directions,
    free_axes,
    misfit_cost,
    regular_axes,
    turn_axes,
)

ORTHO, MULTI, CIRCLE, FREE, KEPT = range(5)
STATUS = ("ortho", "multi", "circle", "free", "kept")

AREA_CHANGE = 0.25  # share of the contour's area by which a fit may change it
SIZE_SHARE = 0.02  # the larger the building, the farther a wall may stray: this share of the root of its area
LARGEST_RING = 200_000  # samples; beyond, a ring is no building, and fitting it would take seconds
CIRCLE_RADIUS_PX, CIRCLE_COMPACTNESS, CIRCLE_SAGITTA_PX = 5.0, 1.25, 0.25


@dataclass(frozen=True, slots=True, eq=False)
class FittedRings:
    """Outline of ring k: xy[start[k]:start[k + 1]] (P, 2), in the ring's own pixels; nothing where it was left out.

    status: (R,) index into STATUS, -1 where left out. direction: (R,) radians from the columns' axis, NaN without one.
    deviation: (R,) largest distance from contour to outline. changed: (R,) area between the two. Both in scaled pixels.
    """

    xy: NDArray[np.float64]
    start: NDArray[np.int64]
    status: NDArray[np.int8]
    direction: NDArray[np.float64]
    deviation: NDArray[np.float64]
    changed: NDArray[np.float64]


def fit_rings(
    rings: Rings, wanted: NDArray[np.bool_], *, scale: NDArray[np.float64], tolerance: NDArray[np.float64] | float
) -> FittedRings:
    """Fit the ``wanted`` rings; a hole takes its shell's direction where that is near.

    scale: (R, 2) factors of x and y that make the pixels square and keep their area. tolerance: (R,), or one for all:
    how far an outline may be from its contour, in scaled pixels, to which SIZE_SHARE of the root of the area is added.
    """
    tolerances = np.broadcast_to(np.float64(tolerance), len(rings)).copy()
    return FittedRings(*_fit_rings(rings.xy, rings.start, rings.parent, wanted, scale, tolerances))


@njit(cache=True, nogil=True)
def _fit_rings(
    contours: NDArray[np.float32],
    start: NDArray[np.int64],
    parent: NDArray[np.int32],
    wanted: NDArray[np.bool_],
    scale: NDArray[np.float64],
    tolerance: NDArray[np.float64],
) -> tuple[
    NDArray[np.float64],
    NDArray[np.int64],
    NDArray[np.int8],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
]:
    count = len(parent)
    xy, ends = np.empty((1024, 2)), np.zeros(count + 1, np.int64)
    status, direction = np.full(count, -1, np.int8), np.full(count, np.nan)
    deviation, changed = np.zeros(count), np.zeros(count)
    for i in range(count):
        ends[i + 1] = ends[i]
        if not wanted[i]:
            continue
        scale_x, scale_y = scale[i, 0], scale[i, 1]
        ring = sample_ring(contours[start[i] : start[i + 1]], scale_x, scale_y)
        hint = direction[parent[i]] if parent[i] >= 0 else np.nan
        outline, status[i], direction[i], deviation[i], changed[i] = fit_ring(ring, hint, tolerance[i])
        ends[i + 1] += len(outline)
        if ends[i + 1] > len(xy):
            longer = np.empty((2 * ends[i + 1], 2))
            longer[: ends[i]] = xy[: ends[i]]
            xy = longer
        xy[ends[i] : ends[i + 1], 0] = np.rint(outline[:, 0] / scale_x * SUBPIXELS) / SUBPIXELS
        xy[ends[i] : ends[i + 1], 1] = np.rint(outline[:, 1] / scale_y * SUBPIXELS) / SUBPIXELS
    return xy[: ends[count]].copy(), ends, status, direction, deviation, changed


@njit(cache=True, nogil=True)
def fit_ring(ring: Ring, hint: float, tolerance: float) -> tuple[NDArray[np.float64], int, float, float, float]:
    """Return the outline (k, 2), its status, its direction, its largest distance from the ring and the area between.

    Tried in this order: a circle, walls along the building's directions, walls with directions of their own. The first
    within the bounds is taken; else the ring is kept, with half a pixel of simplification.
    """
    area = signed_area(ring.xy)
    bound = tolerance + SIZE_SHARE * sqrt(abs(area))
    vertices = find_vertices(ring)
    if len(ring.xy) <= LARGEST_RING:
        outline = _circle(ring, area)
        if len(outline) > 0:
            far, between = _misfit(ring, outline)
            if far <= bound:
                return outline, CIRCLE, np.nan, far, between
        breaks = find_breaks(ring, vertices)
        free_walls = best_walls(ring, breaks, free_axes(), 0.0, MISFIT_COST)
        directions = find_directions(ring, free_walls, hint)
        if len(directions) > 0:
            axes = regular_axes(directions)
            cost = misfit_cost(ring, free_walls)
            walls = best_walls(ring, breaks, axes, FREE_COST, cost)
            before = axes.angle[0]
            turn_axes(ring, walls, axes)
            if abs(axes.angle[0] - before) > 0.005:  # radians: 0.5 px on a 100 px wall
                walls = best_walls(ring, breaks, axes, FREE_COST, cost)
                turn_axes(ring, walls, axes)
            outline, count = find_corners(ring, walls, axes)
            far, between = _checked(ring, outline, area)
            if far <= bound:
                return outline, _status(walls.axis[:count], axes), axes.angle[0], far, between
        outline, count = find_corners(ring, free_walls, free_axes())
        far, between = _checked(ring, outline, area)
        if far <= bound:
            return outline, FREE, np.nan, far, between
    outline = ring.xy[vertices] if len(vertices) > 2 else ring.xy  # a speck has no shape to simplify
    if len(ring.xy) > LARGEST_RING:
        return outline, KEPT, np.nan, BREAK_TOLERANCE_PX, 0.0
    far, between = _misfit(ring, outline)
    return outline, KEPT, np.nan, far, between


@njit(cache=True, nogil=True)
def _status(axis: NDArray[np.int64], axes: Axes) -> int:
    status = ORTHO
    for k in axis:
        if k == len(axes.angle):
            return FREE
        if axes.system[k] > 0:
            status = MULTI
    return status


@njit(cache=True, nogil=True)
def _checked(ring: Ring, outline: NDArray[np.float64], area: float) -> tuple[float, float]:
    """Misfit of an outline, infinite where its area differs too much from the ring's."""
    if len(outline) < 3 or abs(signed_area(outline) / area - 1) > AREA_CHANGE:
        return np.inf, np.inf
    return _misfit(ring, outline)


@njit(cache=True, nogil=True)
def _misfit(ring: Ring, outline: NDArray[np.float64]) -> tuple[float, float]:
    """Largest distance from the samples to the outline, and the area between (distance integrated along the ring)."""
    farthest2, between = 0.0, 0.0
    for i in range(len(ring.xy)):
        nearest2 = np.inf
        for j in range(len(outline)):
            k = j + 1 if j + 1 < len(outline) else 0
            d = squared_distance(
                ring.xy[i, 0], ring.xy[i, 1], outline[j, 0], outline[j, 1], outline[k, 0], outline[k, 1]
            )
            nearest2 = min(nearest2, d)
        farthest2 = max(farthest2, nearest2)
        between += sqrt(nearest2) * ring.step
    return sqrt(farthest2), between


@njit(cache=True, nogil=True)
def _circle(ring: Ring, area: float) -> NDArray[np.float64]:
    """Vertices of a circle of the same area where the ring is one, else none.

    Centre and radius by least squares (Kasa 1976); neither oval nor square: the second and fourth harmonic of the
    residual are small.
    """
    none = np.empty((0, 2))
    n, perimeter = len(ring.xy), len(ring.xy) * ring.step
    compact = perimeter * perimeter / (4 * pi * abs(area))
    if sqrt(abs(area) / pi) < CIRCLE_RADIUS_PX or compact > CIRCLE_COMPACTNESS:
        return none
    x, y = ring.xy[:, 0] - ring.xy[:, 0].mean(), ring.xy[:, 1] - ring.xy[:, 1].mean()
    xx, yy, xy = (x * x).sum(), (y * y).sum(), (x * y).sum()
    det = xx * yy - xy * xy
    square = x * x + y * y
    p, q = 0.5 * (x * square).sum(), 0.5 * (y * square).sum()
    cx, cy = (p * yy - q * xy) / det, (q * xx - p * xy) / det
    radius = sqrt(cx * cx + cy * cy + (xx + yy) / n)
    squares, waves = 0.0, np.zeros(4)
    for i in range(n):
        residual, phase = hypot(x[i] - cx, y[i] - cy) - radius, atan2(y[i] - cy, x[i] - cx)
        squares += residual * residual
        waves += residual * np.array([cos(2 * phase), sin(2 * phase), cos(4 * phase), sin(4 * phase)])
    oval, square_like = 2 * hypot(waves[0], waves[1]) / n, 2 * hypot(waves[2], waves[3]) / n
    if sqrt(squares / n) > 0.05 * radius + 0.25 or oval > 0.03 * radius + 0.25 or square_like > 0.03 * radius + 0.15:
        return none
    count = max(ceil(pi / acos(1 - CIRCLE_SAGITTA_PX / radius)), 12)
    equal_area = sqrt(abs(area) / (0.5 * count * sin(2 * pi / count)))
    outline = np.empty((count, 2))
    for i in range(count):
        phase = 2 * pi * i / count * (1 if area > 0 else -1)
        outline[i, 0] = ring.xy[:, 0].mean() + cx + equal_area * cos(phase)
        outline[i, 1] = ring.xy[:, 1].mean() + cy + equal_area * sin(phase)
    return outline
