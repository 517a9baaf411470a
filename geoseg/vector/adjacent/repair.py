"""Repair: buildings of a fitted block that stray go back to their contours and are cut out of their neighbours."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.adjacent.faces import NOBODYS, ORPHAN, adopted, by_owner, enclosed, inner_points, tile, unions
from geoseg.vector.adjacent.snap import rounded
from geoseg.vector.adjacent.tolerance import Closeness

KEPT_TOLERANCES_PX = 2.0, 1.0  # contours lose what is no more than steps: the first simplification that is near enough
NODE_TOLERANCE_PX = 0.25  # corners that lines left where they crossed others are none


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """How near polygons must be to their contours, see ``Closeness``; pixel_m: (2,) width and height of a pixel."""

    pixel_m: NDArray[np.float64]
    far_m: float

    def measured(self, polygons: NDArray[np.object_], contours: NDArray[np.object_]) -> Closeness:
        """Return how near the polygons are."""
        return Closeness.of(polygons, contours, self.pixel_m)


@dataclass(frozen=True, slots=True, eq=False)
class Bounded:
    """Polygons that tile a block, which of them are contours and no fits, and how near they are; all (M,).

    closeness: None where it does not matter.
    """

    polygons: NDArray[np.object_]
    kept: NDArray[np.bool_]
    closeness: Closeness | None


def bounded(
    fitted: NDArray[np.object_], contours: NDArray[np.object_], places: NDArray[np.float64], bound: Bound | None
) -> Bounded:
    """Return polygons that tile a block, each of them there and within its bound.

    fitted: (M,) tile the block, but for empty ones. contours: (M,) tile it. places: (M, 2) deep inside each. Fitted
    polygons that stray become contours, simplified or not, at their neighbours' expense, and where that is not enough
    so do the neighbours; the others' walls stay.
    """
    made, wrong = _judged(fitted, contours, np.zeros(len(contours), np.bool_), bound)
    if not wrong.any():
        return made
    plain = plain_contours(contours, bound)
    while wrong.any():
        grown = made.kept | wrong | beside(contours, wrong & made.kept)
        if grown.all() or (grown == made.kept).all():
            return _judged(plain, contours, np.ones_like(grown), bound)[0]
        made, wrong = _judged(_repaired(fitted, plain, grown, places), contours, grown, bound)
    return made


def beside(polygons: NDArray[np.object_], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which polygons touch one of the chosen ones and are none, (M,)."""
    out = np.zeros(len(polygons), np.bool_)
    out[shapely.STRtree(polygons).query(polygons[chosen], predicate="intersects")[1]] = True
    return out & ~chosen


def plain_contours(contours: NDArray[np.object_], bound: Bound | None) -> NDArray[np.object_]:
    """Return the contours of a block, simplified as far as all are within the bound."""
    for tolerance in KEPT_TOLERANCES_PX:
        simple = shapely.transform(shapely.coverage_simplify(contours, tolerance), rounded)
        if tile(simple) and not _judged(simple, contours, np.ones(len(contours), np.bool_), bound)[1].any():
            return simple
    return contours


def _judged(
    polygons: NDArray[np.object_], contours: NDArray[np.object_], kept: NDArray[np.bool_], bound: Bound | None
) -> tuple[Bounded, NDArray[np.bool_]]:
    """Measure polygons; return which are missing, out of bounds or, once none is missing, apart from the others."""
    wrong = shapely.is_empty(polygons)
    if not wrong.any():
        pieces = shapely.get_parts(shapely.coverage_union_all(polygons))
        main = pieces[np.argmax(shapely.area(pieces))]
        wrong = ~shapely.covers(main, polygons) if len(pieces) > 1 else wrong
    if bound is None:
        return Bounded(polygons, kept, None), wrong
    closeness = bound.measured(polygons, contours)
    return Bounded(polygons, kept, closeness), wrong | ~closeness.within(bound.far_m)


def _repaired(
    polygons: NDArray[np.object_], plain: NDArray[np.object_], astray: NDArray[np.bool_], places: NDArray[np.float64]
) -> NDArray[np.object_]:
    """Return the polygons with the ``plain`` ones instead of those ``astray``; empty where one would be in pieces.

    Ground that nobody has by this, where one astray was or gaps open, goes to whose plain polygon has it, or to a
    neighbour.
    """
    rings = shapely.get_rings(np.concatenate([polygons, plain[astray | beside(plain, astray)]]))
    faces = enclosed([shapely.get_coordinates(ring) for ring in rings])
    points = inner_points(faces)
    home, holder = _holder(plain, points), _holder(polygons, points)
    at_home, firm = np.append(astray, False)[home], np.append(~astray, False)[holder]
    owners = np.where(at_home, home, np.where(firm, holder, NOBODYS))
    lost = (owners == NOBODYS) & (home != NOBODYS)
    lost[lost] = (holder[lost] != NOBODYS) | _meets(faces[lost], plain[astray])
    owners[lost] = ORPHAN
    owners = adopted(faces, _in_one_piece(faces, owners, home, places), home)
    out = shapely.coverage_simplify(unions(faces, owners, len(places)), NODE_TOLERANCE_PX)
    out = shapely.transform(out, rounded)
    return out if tile(out[~shapely.is_empty(out)]) else np.full(len(out), shapely.Polygon())


def _meets(faces: NDArray[np.object_], polygons: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Return which faces have some wall in common with one of the polygons."""
    out = np.zeros(len(faces), np.bool_)
    face, polygon = shapely.STRtree(polygons).query(faces, predicate="intersects")
    out[face[shapely.length(shapely.intersection(faces[face], polygons[polygon])) > 0]] = True
    return out


def _in_one_piece(
    faces: NDArray[np.object_], owners: NDArray[np.intp], home: NDArray[np.intp], places: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Return the owners without pieces of a polygon that are cut off from its place."""
    out = owners.copy()
    for place, mine in zip(places, by_owner(np.arange(len(faces)), owners, len(places)), strict=True):
        parts = shapely.get_parts(shapely.union_all(faces[mine])) if len(mine) > 1 else []
        if len(parts) > 1:
            main = parts[np.argmax(shapely.contains_xy(parts, *place))]
            off = mine[~shapely.contains_xy(main, inner_points(faces[mine]))]
            out[off] = np.where(home[off] == NOBODYS, NOBODYS, ORPHAN)
    return out


def _holder(polygons: NDArray[np.object_], points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the first of the polygons that each point is in, (F,), NOBODYS for none."""
    out = np.full(len(points), len(polygons))
    point, polygon = shapely.STRtree(polygons).query(shapely.points(points), predicate="within")
    np.minimum.at(out, point, polygon)
    return np.where(out == len(polygons), NOBODYS, out)
