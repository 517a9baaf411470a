"""Regular polygons: fitted outlines put together, checked, and taken back to the contour where they fail."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.polygons.fit import KEPT, fit_rings
from geoseg.polygons.frame import GroundFrame
from geoseg.polygons.trace import Rings

DEFAULT_TOLERANCE_PX = 4.0  # networks misplace walls by a pixel or two; this much is a missing corner
KEPT_TOLERANCE_PX = 0.5  # a contour that is kept loses what is no more than rounding
TRIM_GAP_PX = 0.02  # left between a trimmed polygon and its neighbour: rounding cannot make them overlap again
TRIM_SHARE = 0.1  # of a polygon's area that may be trimmed away


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """How each polygon came about; all arrays have shape (N,).

    status: index into fit.STATUS. direction_deg: of the building's walls against the raster's columns, clockwise on the
    image, 0 <= d < 90, NaN without one. deviation_m: largest distance from the contour. iou_contour: IoU with it.
    """

    status: NDArray[np.int8]
    direction_deg: NDArray[np.float64]
    deviation_m: NDArray[np.float64]
    iou_contour: NDArray[np.float64]


def wanted_rings(rings: Rings, frame: GroundFrame, *, min_area_m2: float, min_hole_m2: float) -> NDArray[np.bool_]:
    """Return which rings are drawn, (R,): large holes, and shells large enough once the other holes are filled.

    A shell in a hole that is filled is not drawn; nor is a hole of a shell that is not.
    """
    area_m2 = np.abs(rings.area_px) * frame.pixel_areas_m2(rings.first_pixel[:, 0].astype(np.float64))
    hole = rings.parent >= 0
    kept_hole = hole & (area_m2 >= min_hole_m2)
    holes_m2 = np.bincount(rings.parent[kept_hole], weights=area_m2[kept_hole], minlength=len(rings))
    wanted = kept_hole | (~hole & (area_m2 - holes_m2 >= min_area_m2))
    filled = contour_polygons(rings, np.flatnonzero(hole & ~kept_hole))
    shells = np.flatnonzero(wanted & ~hole)
    inside = shapely.points(rings.first_pixel[shells, ::-1] + 0.5)  # the centre of its first pixel is in the shell
    wanted[shells[shapely.STRtree(inside).query(filled, predicate="contains")[1]]] = False
    wanted[hole] &= wanted[rings.parent[hole]]
    return wanted


def contour_polygons(rings: Rings, chosen: NDArray[np.intp]) -> NDArray[np.object_]:
    """Return the rings ``chosen`` as polygons without holes, in pixel coordinates (col, row) of the raster."""
    return _ring_polygons(rings, rings.xy, rings.start, chosen)


def _ring_polygons(
    rings: Rings, xy: NDArray[np.floating], start: NDArray[np.int64], chosen: NDArray[np.intp]
) -> NDArray[np.object_]:
    length = start[chosen + 1] - start[chosen]
    owner = np.repeat(np.arange(len(chosen)), length)
    point = np.arange(len(owner)) + np.repeat(start[chosen] - (np.cumsum(length) - length), length)
    placed = xy[point].astype(np.float64) + rings.first_pixel[chosen[owner], ::-1]
    return shapely.polygons(shapely.linearrings(placed, indices=owner)) if len(chosen) else np.empty(0, object)


def regular_polygons(
    rings: Rings, wanted: NDArray[np.bool_], frame: GroundFrame, *, tolerance_m: float | None
) -> tuple[NDArray[np.object_], Fit]:
    """Return one polygon for each wanted shell, in pixel coordinates, and how it came about.

    tolerance_m: how far walls may be from the contour, None means DEFAULT_TOLERANCE_PX. All polygons are valid and none
    overlap: one that reaches into its neighbour is trimmed along it, and where a fit fails the contour takes its place.
    """
    height_m, width_m = frame.pixel_size_m
    size_m = (height_m * width_m) ** 0.5
    fitted = fit_rings(
        rings,
        wanted,
        scale=(width_m / size_m, height_m / size_m),
        tolerance=DEFAULT_TOLERANCE_PX if tolerance_m is None else tolerance_m / size_m,
    )
    drawn = np.flatnonzero(wanted)
    contours = _assemble(rings, drawn, rings.xy, rings.start)
    polygons = _assemble(rings, drawn, fitted.xy, fitted.start)
    shells = drawn[rings.parent[drawn] < 0]
    changed = np.bincount(_shell_of(rings)[drawn], weights=fitted.changed[drawn], minlength=len(rings))[shells]
    both = (shapely.area(contours) + shapely.area(polygons)) * (height_m * width_m) / size_m**2
    iou = (both - changed) / (both + changed)
    kept, trimmed = _settle(polygons, contours, iou)
    deviation_px = np.where(kept, KEPT_TOLERANCE_PX, fitted.deviation[shells])
    iou = np.where(kept, 1.0, iou)
    for i in np.flatnonzero(trimmed):
        deviation_px[i] = max(deviation_px[i], shapely.hausdorff_distance(polygons[i].boundary, contours[i].boundary))
        iou[i] = _iou(polygons[i], contours[i])
    return polygons, Fit(
        status=np.where(kept, KEPT, fitted.status[shells]).astype(np.int8),
        direction_deg=np.where(kept, np.nan, np.degrees(fitted.direction[shells]) % 90),
        deviation_m=deviation_px * size_m,
        iou_contour=iou,
    )


def _iou(a: shapely.Polygon, b: shapely.Polygon) -> float:
    return shapely.intersection(a, b).area / shapely.union(a, b).area


def _shell_of(rings: Rings) -> NDArray[np.intp]:
    """Index of each ring's shell, its own for shells."""
    return np.where(rings.parent >= 0, rings.parent, np.arange(len(rings)))


def _assemble(
    rings: Rings, drawn: NDArray[np.intp], xy: NDArray[np.floating], start: NDArray[np.int64]
) -> NDArray[np.object_]:
    """Return the drawn rings as polygons with their holes, one for each drawn shell."""
    polygons = _ring_polygons(rings, xy, start, drawn)
    hole = rings.parent[drawn] >= 0
    shells = drawn[~hole]
    out = polygons[~hole]
    owner = np.searchsorted(shells, rings.parent[drawn[hole]])
    holes = shapely.get_exterior_ring(polygons[hole])
    for i in np.unique(owner):
        out[i] = shapely.Polygon(shapely.get_exterior_ring(out[i]), list(holes[owner == i]))
    return out


def _settle(
    polygons: NDArray[np.object_], contours: NDArray[np.object_], iou: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Mend, in place, what is invalid or overlaps; return which were replaced by their contour, and which trimmed.

    Of two that overlap the one that fits its contour less well gives way: it is trimmed along the other's walls, or,
    where that would take too much, replaced by its simplified contour, then by its contour. Contours are valid and
    never touch, and no pair is trimmed twice, so this ends.
    """
    level = np.zeros(len(polygons), np.int8)
    trimmed = np.zeros(len(polygons), np.bool_)
    tried: set[tuple[int, int]] = set()
    fresh = np.arange(len(polygons))
    while len(fresh):
        failed = set(fresh[~shapely.is_valid(polygons[fresh])].tolist())
        touched = set()
        ours, others = shapely.STRtree(polygons).query(polygons[fresh], predicate="intersects")
        for i, j in zip(fresh[ours].tolist(), others.tolist(), strict=True):
            if i == j or shapely.touches(polygons[i], polygons[j]) or shapely.disjoint(polygons[i], polygons[j]):
                continue
            give, stay = sorted((i, j), key=lambda k: (level[k], iou[k], k))
            rest = None
            if level[give] == 0 and (give, stay) not in tried and not {give, stay} & failed:
                tried.add((give, stay))
                rest = _trimmed(polygons[give], polygons[stay])
            if rest is None:
                failed.add(give)
            else:
                polygons[give], trimmed[give] = rest, True
                touched.add(give)
        replaced = np.array(sorted(failed), np.intp)
        level[replaced] += 1
        for i in replaced:
            polygons[i] = shapely.simplify(contours[i], KEPT_TOLERANCE_PX) if level[i] == 1 else contours[i]
        fresh = np.array(sorted(failed | touched), np.intp)
    return level > 0, trimmed & (level == 0)


def _trimmed(polygon: shapely.Polygon, neighbour: shapely.Polygon) -> shapely.Polygon | None:
    """Return ``polygon`` without the ground of ``neighbour``, or None where that is more than a strip along a wall."""
    rest = shapely.difference(polygon, shapely.buffer(neighbour, TRIM_GAP_PX, join_style="mitre"))
    parts = shapely.get_parts(rest)
    if len(parts) == 0:
        return None
    largest = parts[np.argmax(shapely.area(parts))]
    sound = largest.is_valid and len(largest.interiors) == len(polygon.interiors)
    return largest if sound and largest.area >= (1 - TRIM_SHARE) * polygon.area else None
