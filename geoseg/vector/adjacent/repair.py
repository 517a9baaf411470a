"""Repair: buildings of a fitted block that are out of tolerance are replaced by their contours."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.adjacent.faces import (
    PENDING,
    UNASSIGNED,
    assign_pending,
    enclosed_faces,
    holder_of,
    in_one_piece,
    inner_points,
    is_coverage,
    unions,
)
from geoseg.vector.adjacent.limits import Limits
from geoseg.vector.adjacent.loops import Loops
from geoseg.vector.adjacent.overlaps import leaves_reach
from geoseg.vector.adjacent.tolerance import Closeness
from geoseg.vector.pixels.places import SIMPLIFY_PX, rounded, simplified

NODE_TOLERANCE_PX = 0.25  # area of the corners that crossing lines leave, and that are removed


@dataclass(frozen=True, slots=True, eq=False)
class Tolerance:
    """How near polygons must be to their contours, see ``Closeness.within``."""

    pixel_m: NDArray[np.float64]
    """Width and height of a pixel, (2,) metres."""
    deviation_m: float
    """Largest distance of a polygon from its contour, metres."""

    @property
    def sides_px(self) -> tuple[float, ...]:
        """Sides of squares as large as the triangles that a contour may lose: down from the tolerance."""
        far = self.deviation_m / float(np.sqrt(self.pixel_m.prod()))
        sides = {max(far / n, SIMPLIFY_PX) for n in (1, 2, 4)} | {SIMPLIFY_PX, SIMPLIFY_PX / 2}
        return tuple(sorted(sides, reverse=True))

    def measured(self, polygons: NDArray[np.object_], contours: NDArray[np.object_]) -> Closeness:
        """Return how near the polygons are."""
        return Closeness.of(polygons, contours, self.pixel_m)

    def around(self, contours: NDArray[np.object_]) -> Limits:
        """Return what polygons of some contours, (M,), have to be near to."""
        return Limits.of(contours, self.pixel_m, self.deviation_m)


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """The M polygons of a block, and how near they are to their contours."""

    polygons: NDArray[np.object_]
    """Polygons that form a coverage, (M,)."""
    unchanged: NDArray[np.bool_]
    """Which polygons are contours and not fits, (M,)."""
    closeness: Closeness | None
    """M rows; None where no tolerance is given."""


def enforce_tolerance(
    fitted: NDArray[np.object_], contours: NDArray[np.object_], places: NDArray[np.float64], tolerance: Tolerance | None
) -> Checked:
    """Return polygons that form a coverage of a block, none missing and each within the tolerance.

    fitted: (M,) polygons of a coverage; an empty one is missing.
    contours: (M,) a coverage.
    places: (M, 2) a point deep inside each building.

    A contour, simplified where that is near enough, replaces each fitted polygon that is missing or out of tolerance
    and is cut out of its neighbours. Where that is not enough, contours replace the neighbours too. Other walls stay.
    """
    checked, wrong = _check(fitted, contours, np.zeros(len(contours), np.bool_), tolerance)
    if not wrong.any():
        return checked
    while wrong.any():
        grown = checked.unchanged | wrong | neighbours_of(contours, wrong & checked.unchanged)
        plain = simplified_contours(contours, tolerance, grown)
        if grown.all() or (grown == checked.unchanged).all():
            return _check(plain, contours, np.ones_like(grown), tolerance)[0]
        checked, wrong = _check(_repaired(fitted, plain, grown, places), contours, grown, tolerance)
    return checked


def neighbours_of(polygons: NDArray[np.object_], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which polygons touch a chosen one without being chosen, (M,)."""
    out = np.zeros(len(polygons), np.bool_)
    out[shapely.STRtree(polygons).query(polygons[chosen], predicate="intersects")[1]] = True
    return out & ~chosen


def simplified_contours(
    contours: NDArray[np.object_], tolerance: Tolerance | None, chosen: NDArray[np.bool_] | None = None
) -> NDArray[np.object_]:
    """Return the contours of a block, simplified as far as all, or the ``chosen`` ones, (M,), stay within tolerance."""
    chosen = np.ones(len(contours), np.bool_) if chosen is None else chosen
    own = np.arange(np.count_nonzero(chosen))
    limits = None if tolerance is None else tolerance.around(contours[chosen])
    for side_px in (SIMPLIFY_PX,) if tolerance is None else tolerance.sides_px:
        simple = simplified(contours, side_px)
        drawn = Loops.of(simple[chosen])
        near = drawn.vertices > 0 if limits is None else limits.allow(drawn, own)
        if near.all() and is_coverage(simple):
            return simple
    return contours


def _check(
    polygons: NDArray[np.object_],
    contours: NDArray[np.object_],
    unchanged: NDArray[np.bool_],
    tolerance: Tolerance | None,
) -> tuple[Checked, NDArray[np.bool_]]:
    """Measure polygons; return which are missing or out of tolerance."""
    wrong = shapely.is_empty(polygons)
    if tolerance is None:
        return Checked(polygons, unchanged, None), wrong
    closeness = tolerance.measured(polygons, contours)
    wrong |= ~closeness.within(tolerance.deviation_m) | leaves_reach(polygons, contours)
    return Checked(polygons, unchanged, closeness), wrong


def _repaired(
    polygons: NDArray[np.object_],
    plain: NDArray[np.object_],
    replaced: NDArray[np.bool_],
    places: NDArray[np.float64],
) -> NDArray[np.object_]:
    """Put ``plain`` contours in the place of those ``replaced``; a polygon that would be in pieces is empty.

    Faces that nobody owns then, where a replaced polygon was or a gap opens, go to the building whose plain
    contour holds them, or else to a neighbour.
    """
    rings = shapely.get_rings(np.concatenate([polygons, plain[replaced | neighbours_of(plain, replaced)]]))
    faces = enclosed_faces([shapely.get_coordinates(ring) for ring in rings])
    points = inner_points(faces)
    home, holder = holder_of(plain, points), holder_of(polygons, points)
    at_home, has_holder = np.append(replaced, False)[home], np.append(~replaced, False)[holder]
    owners = np.where(at_home, home, np.where(has_holder, holder, UNASSIGNED))
    unowned = (owners == UNASSIGNED) & (home != UNASSIGNED)
    unowned[unowned] = (holder[unowned] != UNASSIGNED) | _meets(faces[unowned], plain[replaced])
    owners[unowned] = PENDING
    owners = assign_pending(faces, in_one_piece(faces, owners, home, places), home)
    out = shapely.coverage_simplify(unions(faces, owners, len(places)), NODE_TOLERANCE_PX)
    out = shapely.transform(out, rounded)
    return out if is_coverage(out[~shapely.is_empty(out)]) else np.full(len(out), shapely.Polygon())


def _meets(faces: NDArray[np.object_], polygons: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Return which faces share a wall with one of the polygons, (F,)."""
    out = np.zeros(len(faces), np.bool_)
    face, polygon = shapely.STRtree(polygons).query(faces, predicate="intersects")
    out[face[shapely.length(shapely.intersection(faces[face], polygons[polygon])) > 0]] = True
    return out
