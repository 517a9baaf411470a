"""Regular outlines: fitted rings put together to polygons."""

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.adjacent.repair import simplified_contours
from geoseg.vector.fit.costs import DIAGONAL_PENALTY
from geoseg.vector.fit.fit import SIZE_SHARE, UNCHANGED, fit_rings
from geoseg.vector.fit.ring import STEP_PX
from geoseg.vector.ground import GroundFrame
from geoseg.vector.pixels.places import moved, rounded
from geoseg.vector.pixels.rings import Rings
from geoseg.vector.tiles.outlines import ComponentTable, Fit, Outlines

DEFAULT_TOLERANCE_PX = 4.0  # networks misplace walls by a pixel or two; this much is a missing corner
# An IoU estimated from distances is up to 0.05 too large for houses, 0.1 for huts, 0.7 for specks: below these values
# it is computed.
DOUBTFUL_IOU, DOUBTFUL_PX = 0.9, 64.0


def regular_outlines(
    rings: Rings,
    wanted: NDArray[np.bool_],
    frame: GroundFrame,
    components: ComponentTable,
    *,
    tolerance_m: float | None,
    diagonal_penalty: float = DIAGONAL_PENALTY,
) -> Outlines:
    """Fit one polygon to each wanted shell.

    wanted: (R,) which rings are drawn.
    components: what the shells outline.
    tolerance_m: largest distance between wall and contour; None means DEFAULT_TOLERANCE_PX.
    diagonal_penalty: corners that a wall off the main direction must save.

    Each polygon depends on its own component alone. One that shares less than LEAST_IOU with its contour becomes the
    contour, simplified where that is near enough.
    """
    pixel_m = frame.pixel_sizes_m(rings.first_pixel[rings.shell].astype(np.float64))[:, ::-1]
    size_m = np.sqrt(pixel_m.prod(axis=1))
    tolerance_px = np.full(len(rings), DEFAULT_TOLERANCE_PX) if tolerance_m is None else tolerance_m / size_m
    fitted = fit_rings(
        rings,
        wanted,
        scale=pixel_m / size_m[:, None],
        tolerance=tolerance_px,
        penalty=diagonal_penalty,
    )
    shells = np.flatnonzero(wanted & (rings.parent < 0))
    contours = rings.polygons(wanted)
    polygons = rings.redrawn(fitted.xy, fitted.start).polygons(wanted)
    far_px = np.zeros(len(rings))
    np.maximum.at(far_px, rings.shell[wanted], fitted.misfit[wanted, 0])
    changed, squares, length = (
        np.bincount(rings.shell[wanted], weights=fitted.misfit[wanted, i], minlength=len(rings))[shells]
        for i in (1, 2, 3)
    )
    both = shapely.area(contours) + shapely.area(polygons)
    iou = (both - changed) / (both + changed)
    bound_px = tolerance_px + SIZE_SHARE * np.sqrt(np.abs(rings.area_px))
    fit = Fit(
        status=fitted.status[shells],
        direction_deg=np.degrees(fitted.direction[shells]) % 90,
        deviation_m=far_px[shells] * size_m[shells],
        rms_m=np.sqrt(squares / length) * size_m[shells],
        iou_contour=iou,
    )
    outlines = Outlines(
        polygons=polygons,
        contours=contours,
        iou=iou,
        pixel_m=pixel_m[shells],
        bound_m=bound_px[shells] * size_m[shells],
        components=components,
        fit=fit,
    )
    drawn_as_contour = fitted.status == UNCHANGED
    return _verified(outlines, fit, np.bincount(rings.shell[drawn_as_contour], minlength=len(rings))[shells] > 0)


def _verified(outlines: Outlines, fit: Fit, unmeasured: NDArray[np.bool_]) -> Outlines:
    """Resolve crossings, measure polygons where that matters, and replace those out of tolerance by contours."""
    polygons, contours = outlines.polygons.copy(), outlines.contours
    crossed = ~shapely.is_valid(polygons)
    polygons[crossed] = [_uncrossed(polygon) for polygon in polygons[crossed]]
    doubtful = crossed | unmeasured | (outlines.iou < DOUBTFUL_IOU) | (shapely.area(contours) < DOUBTFUL_PX)
    between_samples_m = STEP_PX / 2 * outlines.pixel_m.max(axis=1)  # no point is farther from those that were judged
    doubtful |= fit.deviation_m + between_samples_m > outlines.bound_m
    measured = outlines.redrawn(polygons, np.zeros_like(doubtful), doubtful)
    for i in np.flatnonzero(measured.out_of_tolerance):
        polygons[i] = simplified_contours(contours[[i]], outlines.tolerance(int(i)))[0]
    return measured.redrawn(polygons, measured.out_of_tolerance, measured.out_of_tolerance)


def _uncrossed(polygon: shapely.Polygon) -> shapely.Polygon:
    """Return the largest part of a polygon whose rings cross; computed relative to its own corner."""
    corner = np.floor(shapely.bounds(polygon)[:2])
    valid = shapely.make_valid(moved(polygon, -corner), method="structure")
    parts = shapely.get_parts(valid)
    largest = shapely.transform(parts[np.argmax(shapely.area(parts))], rounded)
    return moved(largest, corner)
