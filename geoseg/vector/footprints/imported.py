"""Outlines that come as polygons from elsewhere: fitted as contours of rasters are, then settled with neighbours."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.adjacent.overlaps import TRIM_SHARE, overlaps, resolve_overlaps
from geoseg.vector.adjacent.tolerance import ious
from geoseg.vector.fit.costs import DIAGONAL_PENALTY
from geoseg.vector.fit.fit import LEAST_IOU, UNCHANGED, FittedRings, fit_rings
from geoseg.vector.fit.polygons import DEFAULT_TOLERANCE_PX
from geoseg.vector.footprints.staircase import Steps, step_contours
from geoseg.vector.pixels.places import rounded
from geoseg.vector.pixels.rings import Rings
from geoseg.vector.tiles.outlines import Fit

SMALLEST_PX = 1.0  # of area: what is smaller has no shape


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorRules:
    """How plain outlines become.

    pixel_m: what is smaller than a pixel or two is noise; that of the raster the outlines were drawn from, or of their
    accuracy. tolerance_m: how far a wall may be from the outline (to which 2 % of the root of the area is added), None
    means four pixels. diagonal_penalty: corners that a wall off the main direction must save. steps: the pixels of
    staircases, None for other outlines.
    """

    pixel_m: float
    tolerance_m: float | None = None
    diagonal_penalty: float = DIAGONAL_PENALTY
    steps: Steps | None = None


def fit_polygons(outlines: NDArray[np.object_], rules: VectorRules) -> tuple[NDArray[np.object_], Fit]:
    """Return the regular polygon of each outline, regardless of its neighbours, and how it came about.

    outlines: valid Polygons in true metres, x to the east, y to the north, (N,). Those that no fit comes near enough,
    LEAST_IOU among its bounds, come back as they were, with status unchanged; so do those smaller than a pixel, and
    holes as small are filled. direction_deg is against north, clockwise.

    >>> stairs = shapely.union_all(shapely.box(np.arange(40), np.arange(40) // 4, np.arange(40) + 1, 20))
    >>> polygons, fit = fit_polygons(np.array([stairs]), VectorRules(pixel_m=1, steps=Steps(0, 1, 1)))
    >>> len(stairs.exterior.coords), len(polygons[0].exterior.coords), round(float(fit.iou_contour[0]), 2)
    (92, 5, 0.98)
    """
    rings = _rings(outlines, rules)
    tolerance = DEFAULT_TOLERANCE_PX if rules.tolerance_m is None else rules.tolerance_m / rules.pixel_m
    shell, large = rings.parent < 0, np.abs(rings.area_px) >= SMALLEST_PX
    fitted = fit_rings(
        rings,
        large & large[rings.shell],
        scale=np.ones((len(rings), 2)),
        tolerance=tolerance,
        penalty=rules.diagonal_penalty,
    )
    pixels = rings.redrawn(fitted.xy, fitted.start).polygons(fitted.status >= 0)
    polygons = outlines.copy()
    polygons[large[shell]] = shapely.transform(pixels, lambda xy: xy * (rules.pixel_m, -rules.pixel_m))
    unchanged = ~large[shell] | (fitted.status[shell] == UNCHANGED) | ~shapely.is_valid(polygons)
    polygons = np.where(unchanged, outlines, polygons)
    iou = ious(polygons, outlines)
    unchanged |= iou < LEAST_IOU
    polygons = np.where(unchanged, outlines, polygons)
    fit = Fit(
        status=fitted.status[shell],
        direction_deg=np.degrees(fitted.direction[shell]) % 90,
        deviation_m=fitted.misfit[shell, 0] * rules.pixel_m,
        rms_m=_rms_px(rings, fitted)[shell] * rules.pixel_m,
        iou_contour=iou,
    )
    return polygons, fit.where(unchanged, Fit.of_contours(len(outlines)))


def settle_polygons(
    polygons: NDArray[np.object_], outlines: NDArray[np.object_], fit: Fit, rules: VectorRules
) -> tuple[NDArray[np.object_], Fit, NDArray[np.bool_]]:
    """Return ``polygons``, fitted to ``outlines``, and ``fit`` once neighbours do not overlap; and which were trimmed.

    A polygon that reaches into another is trimmed along it, or taken back to its outline, also where trimming would
    leave less than LEAST_IOU in common with that. Outlines that share ground stay as they are where that is all that is
    left, and what shares more than TRIM_SHARE of it, as a building and its parts do, is not told apart at all. The
    result depends on those alone that are linked by overlaps.
    """
    contours = shapely.transform(outlines, lambda xy: xy / rules.pixel_m)
    scaled = shapely.transform(polygons, lambda xy: rounded(xy / rules.pixel_m))
    exempt = _nested(contours)
    locked, drawn = fit.status == UNCHANGED, scaled
    while True:  # what fails is locked: an outline from elsewhere is kept as it is, never simplified
        drawn = scaled.copy()
        unchanged, trimmed = resolve_overlaps(drawn, contours, fit.iou_contour, locked=locked, exempt=exempt)
        unchanged[trimmed] = ious(drawn[trimmed], contours[trimmed]) < LEAST_IOU
        if (unchanged == locked).all():
            break
        locked = unchanged
    out = np.where(unchanged, outlines, polygons)
    out[trimmed] = shapely.transform(drawn[trimmed], lambda xy: xy * rules.pixel_m)
    after = fit.where(unchanged, Fit.of_contours(len(outlines)))
    moved = shapely.hausdorff_distance(shapely.boundary(out[trimmed]), shapely.boundary(outlines[trimmed]))
    after.deviation_m[trimmed] = np.maximum(after.deviation_m[trimmed], moved)
    after.iou_contour[trimmed] = ious(out[trimmed], outlines[trimmed])
    return out, after, trimmed


def _nested(outlines: NDArray[np.object_]) -> set[tuple[int, int]]:
    """Return the pairs of outlines that share more than TRIM_SHARE of the smaller."""
    pairs = np.array(overlaps(outlines, np.arange(len(outlines))), np.intp).reshape(-1, 2)
    a, b = outlines[pairs[:, 0]], outlines[pairs[:, 1]]
    much = shapely.area(shapely.intersection(a, b)) > TRIM_SHARE * np.minimum(shapely.area(a), shapely.area(b))
    return {(int(i), int(j)) for i, j in pairs[much]}


def _rings(outlines: NDArray[np.object_], rules: VectorRules) -> Rings:
    """Return the rings of the outlines as contours in pixels, rows to the south, each shell before its holes."""
    lines, polygon = shapely.get_rings(shapely.orient_polygons(outlines, exterior_cw=True), return_index=True)
    xy, ring = shapely.get_coordinates(lines, return_index=True)
    xy = xy[np.append(ring[1:] == ring[:-1], False)[: len(ring)]]  # the last point of a ring is its first
    start = np.concatenate([[0], np.cumsum(shapely.get_num_coordinates(lines) - 1)])
    if rules.steps is not None:
        xy, start = step_contours(xy, start, rules.steps)
    return Rings.through(
        xy / (rules.pixel_m, -rules.pixel_m), start, polygon, shapely.area(shapely.polygons(lines)) / rules.pixel_m**2
    )


def _rms_px(rings: Rings, fitted: FittedRings) -> NDArray[np.float64]:
    """Root of the mean square distance of each ring, with its holes where it is a shell, from its outline."""
    squares, length = (np.bincount(rings.shell, weights=fitted.misfit[:, i], minlength=len(rings)) for i in (2, 3))
    return np.sqrt(np.divide(squares, length, out=np.zeros(len(rings)), where=length > 0))
