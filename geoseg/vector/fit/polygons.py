"""Regular outlines: fitted rings put together to polygons."""

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.adjacent.repair import simplified_contours
from geoseg.vector.fit.costs import DIAGONAL_PENALTY
from geoseg.vector.fit.fit import SIZE_SHARE, UNCHANGED, fit_rings
from geoseg.vector.fit.rectangles import best_rectangles
from geoseg.vector.fit.ring import STEP_PX
from geoseg.vector.ground import GroundFrame
from geoseg.vector.pixels.places import uncrossed
from geoseg.vector.pixels.rings import Rings
from geoseg.vector.tiles.outlines import ComponentTable, Fit, Outlines

DEFAULT_TOLERANCE_PX = 4.0  # networks misplace walls by a pixel or two; this much is a missing corner
# An IoU estimated from distances is up to 0.05 too large for houses, 0.1 for huts, 0.7 for specks: below these values
# it is computed.
DOUBTFUL_IOU, DOUBTFUL_PX = 0.9, 64.0
# Units that contours are fitted in, metres, never below a pixel: what is smaller than one or two is noise, whatever the
# pixels. Networks place walls by 0.4 to 0.6 m at any pixel size, and round corners as much; see docs/polygons.md.
DETAIL_M = {"plain": 1.0, "normal": 0.45, "fine": 0.0}
DEFAULT_TOLERANCE_UNITS = 2.5  # where these are more than the pixels above


def fit_units(
    pixel_m: NDArray[np.float64], *, detail: str, tolerance_m: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the metres of a unit and the tolerance in units, (N,) each, where pixels measure ``pixel_m``, (N, 2)."""
    size_m = np.sqrt(pixel_m.prod(axis=1))
    unit_m = np.maximum(size_m, DETAIL_M[detail])
    if tolerance_m is None:
        return unit_m, np.maximum(DEFAULT_TOLERANCE_PX * size_m / unit_m, DEFAULT_TOLERANCE_UNITS)
    return unit_m, tolerance_m / unit_m


def regular_outlines(
    rings: Rings,
    wanted: NDArray[np.bool_],
    frame: GroundFrame,
    components: ComponentTable,
    *,
    detail: str,
    tolerance_m: float | None,
    cut: NDArray[np.bool_],
    diagonal_penalty: float = DIAGONAL_PENALTY,
) -> Outlines:
    """Fit one polygon to each wanted shell.

    wanted: (R,) which rings are drawn.
    components: what the shells outline.
    detail: key of DETAIL_M.
    tolerance_m: largest distance between wall and contour; None: see ``fit_units``.
    cut: (P,) points of the rings on pixels without data, see ``find_cuts``.
    diagonal_penalty: corners that a wall off the main direction must save.

    Each polygon depends on its own component alone. One that shares less than LEAST_IOU with its contour becomes the
    contour, simplified where that is near enough.
    """
    pixel_m = frame.pixel_sizes_m(rings.first_pixel[rings.shell].astype(np.float64))[:, ::-1]
    unit_m, tolerance = fit_units(pixel_m, detail=detail, tolerance_m=tolerance_m)
    fitted = fit_rings(
        rings,
        wanted,
        scale=pixel_m / unit_m[:, None],
        tolerance=tolerance,
        penalty=diagonal_penalty,
        cut=cut,
    )
    shells = np.flatnonzero(wanted & (rings.parent < 0))
    contours = rings.polygons(wanted)
    polygons = rings.redrawn(fitted.xy, fitted.start).polygons(wanted)
    far = np.zeros(len(rings))
    np.maximum.at(far, rings.shell[wanted], fitted.misfit[wanted, 0])
    changed, squares, length = (
        np.bincount(rings.shell[wanted], weights=fitted.misfit[wanted, i], minlength=len(rings))[shells]
        for i in (1, 2, 3)
    )
    both = shapely.area(contours) + shapely.area(polygons)
    area_m2 = pixel_m.prod(axis=1)
    changed_px = changed * unit_m[shells] ** 2 / area_m2[shells]
    iou = (both - changed_px) / (both + changed_px)
    bound_m = tolerance * unit_m + SIZE_SHARE * np.sqrt(np.abs(rings.area_px) * area_m2)
    fit = Fit(
        status=fitted.status[shells],
        direction_deg=np.degrees(fitted.direction[shells]) % 90,
        deviation_m=far[shells] * unit_m[shells],
        rms_m=np.sqrt(squares / length) * unit_m[shells],
        iou_contour=iou,
    )
    outlines = Outlines(
        polygons=polygons,
        contours=contours,
        iou=iou,
        pixel_m=pixel_m[shells],
        bound_m=bound_m[shells],
        components=components,
        fit=fit,
    )
    drawn_as_contour = fitted.status == UNCHANGED
    unmeasured = np.bincount(rings.shell[drawn_as_contour], minlength=len(rings))[shells] > 0
    return _verified(
        outlines,
        fit,
        drawn_as_contour[shells],
        unmeasured,
        rings.with_any(cut)[shells],
        between_samples_m=STEP_PX / 2 * unit_m[shells],
    )


def _verified(
    outlines: Outlines,
    fit: Fit,
    unfitted: NDArray[np.bool_],
    unmeasured: NDArray[np.bool_],
    is_cut: NDArray[np.bool_],
    *,
    between_samples_m: NDArray[np.float64],
) -> Outlines:
    """Resolve crossings, measure polygons where that matters, and replace those out of tolerance.

    A rectangle replaces what is whole, where that is within tolerance, else the contour.
    """
    polygons, contours = uncrossed(outlines.polygons), outlines.contours
    crossed = polygons != outlines.polygons
    doubtful = crossed | unmeasured | (outlines.iou < DOUBTFUL_IOU) | (shapely.area(contours) < DOUBTFUL_PX)
    doubtful |= fit.deviation_m + between_samples_m > outlines.bound_m  # no point is farther from those judged
    measured = outlines.redrawn(polygons, np.zeros_like(doubtful), doubtful)
    replaced = measured.out_of_tolerance | unfitted
    tried = np.flatnonzero(replaced & ~is_cut & (shapely.get_num_interior_rings(contours) == 0))
    polygons[tried], direction = best_rectangles(contours[tried], outlines.pixel_m[tried])
    measured = measured.redrawn(polygons, np.zeros_like(replaced), replaced)
    found = tried[~measured.out_of_tolerance[tried]]
    replaced[found] = False
    measured = measured.of_rectangles(found, np.degrees(direction[np.isin(tried, found)]))
    for i in np.flatnonzero(replaced):
        polygons[i] = simplified_contours(contours[[i]], outlines.tolerance(int(i)))[0]
    return measured.redrawn(polygons, replaced, replaced)
