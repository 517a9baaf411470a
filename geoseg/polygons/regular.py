"""Regular outlines: fitted rings put together to polygons."""

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.polygons.costs import DIAGONAL_PENALTY
from geoseg.polygons.fit import fit_rings
from geoseg.polygons.frame import GroundFrame
from geoseg.polygons.outlines import Drawn, Fit, Outlines
from geoseg.polygons.rings import Rings

DEFAULT_TOLERANCE_PX = 4.0  # networks misplace walls by a pixel or two; this much is a missing corner


def regular_outlines(
    rings: Rings,
    wanted: NDArray[np.bool_],
    frame: GroundFrame,
    of: Drawn,
    *,
    tolerance_m: float | None,
    diagonal_penalty: float = DIAGONAL_PENALTY,
) -> Outlines:
    """Return one polygon for each wanted shell, and how it came about.

    tolerance_m: how far walls may be from the contour, None means DEFAULT_TOLERANCE_PX. diagonal_penalty: corners
    that a wall off the main direction must save. of: what they are drawn of. Each polygon depends on its own component
    alone.
    """
    height_m, width_m = frame.pixel_sizes_m(rings.first_pixel[rings.shell].astype(np.float64)).T
    size_m = np.sqrt(height_m * width_m)
    fitted = fit_rings(
        rings,
        wanted,
        scale=np.stack([width_m / size_m, height_m / size_m], axis=1),
        tolerance=DEFAULT_TOLERANCE_PX if tolerance_m is None else tolerance_m / size_m,
        penalty=diagonal_penalty,
    )
    shells = np.flatnonzero(wanted & (rings.parent < 0))
    contours = rings.polygons(wanted)
    polygons = rings.redrawn(fitted.xy, fitted.start).polygons(wanted)
    changed, squares, length = (
        np.bincount(rings.shell[wanted], weights=fitted.misfit[wanted, i], minlength=len(rings))[shells]
        for i in (1, 2, 3)
    )
    both = shapely.area(contours) + shapely.area(polygons)
    iou = (both - changed) / (both + changed)
    return Outlines(
        polygons=polygons,
        contours=contours,
        iou=iou,
        size_m=size_m[shells],
        of=of,
        fit=Fit(
            status=fitted.status[shells],
            direction_deg=np.degrees(fitted.direction[shells]) % 90,
            deviation_m=fitted.misfit[shells, 0] * size_m[shells],
            rms_m=np.sqrt(squares / length) * size_m[shells],
            iou_contour=iou,
        ),
    )
