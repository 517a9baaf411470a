"""Settling: polygons that reach into each other are trimmed apart or taken back to their contours."""

from collections.abc import Collection

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geoseg.vector.pixels.subpixel import SUBPIXELS

KEPT_TOLERANCE_PX = 0.5  # a contour that is kept loses what is no more than rounding
TRIM_GAP_PX = 20 / SUBPIXELS  # left between a trimmed polygon and its neighbour, so that rounding makes no overlap
TRIM_REACH_PX = 2.0  # no more of a neighbour is looked at: it may be a block of a thousand houses
TRIM_SHARE = 0.1  # of a polygon's area that may be trimmed away
REACH_PX = 16  # an outline leaves the box of its contour by at most this


def settle(
    polygons: NDArray[np.object_],
    contours: NDArray[np.object_],
    iou: NDArray[np.float64],
    *,
    firm: NDArray[np.bool_] | None = None,
    exempt: Collection[tuple[int, int]] = (),
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Mend, in place, what is invalid or overlaps; return which were replaced by their contour, and which trimmed.

    All (N,), in pixel coordinates that are whole 1024ths. Of two that overlap the one that fits its contour less well
    gives way: it is trimmed along the other's walls, or, where that would take too much, replaced by its simplified
    contour, then by its contour, which ``firm`` polygons are from the start. Contours are valid and, unless they come
    from elsewhere, never touch; where they overlap that stays, and pairs (i, j), i < j, that are ``exempt`` are left
    alone altogether. No pair is trimmed twice, so this ends.

    What happens to a polygon depends on those alone whose reach (see ``reach_boxes``) is linked to its own by overlaps,
    and neither on where the pixel coordinates begin nor, but for ties in ``iou``, on the order.
    """
    level = np.zeros(len(polygons), np.int8)
    if firm is not None:
        level[firm] = 2
        polygons[firm] = contours[firm]
    trimmed = np.zeros(len(polygons), np.bool_)
    tried: set[tuple[int, int]] = set()
    strays = (level == 0) & _strays(polygons, contours)
    fresh = np.arange(len(polygons))
    while len(fresh):
        failed = set(fresh[~shapely.is_valid(polygons[fresh]) | strays[fresh]].tolist())
        strays[:] = False
        touched = set()
        for i, j in overlaps(polygons, fresh):
            if (i, j) in exempt or shapely.disjoint(polygons[i], polygons[j]):  # since an earlier pair was trimmed
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
        failed = {i for i in failed if level[i] < 2}
        replaced = np.array(sorted(failed), np.intp)
        level[replaced] += 1
        for i in replaced:
            polygons[i] = shapely.simplify(contours[i], KEPT_TOLERANCE_PX) if level[i] == 1 else contours[i]
        fresh = np.array(sorted(failed | touched), np.intp)
    return level > 0, trimmed & (level == 0)


def reach_boxes(polygons: NDArray[np.object_], contours: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return (N, 4) boxes (min x, min y, max x, max y) that hold whatever ``settle`` can make of each polygon."""
    own = shapely.bounds(contours)
    out = np.where(_strays(polygons, contours)[:, None], own, shapely.bounds(polygons))
    return np.hstack([np.minimum(out[:, :2], own[:, :2]), np.maximum(out[:, 2:], own[:, 2:])])


def linked(reach: NDArray[np.float64]) -> NDArray[np.int32]:
    """Number the groups of boxes (N, 4) that are linked by overlaps; polygons of different groups never meet."""
    boxes = shapely.box(*reach.T)
    pairs = shapely.STRtree(boxes).query(boxes, predicate="intersects")
    links = coo_array((np.ones(pairs.shape[1], np.bool_), pairs), shape=(len(reach), len(reach)))
    return np.asarray(connected_components(links, directed=False)[1])


def _strays(polygons: NDArray[np.object_], contours: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Return which polygons leave the box of their contour by more than REACH_PX."""
    own, drawn = shapely.bounds(contours), shapely.bounds(polygons)
    return ((drawn[:, :2] < own[:, :2] - REACH_PX) | (drawn[:, 2:] > own[:, 2:] + REACH_PX)).any(axis=1)


def overlaps(polygons: NDArray[np.object_], fresh: NDArray[np.intp]) -> list[tuple[int, int]]:
    """Return the pairs of a fresh polygon and any other that share ground, sorted: an index has an order of its own."""
    ours, others = shapely.STRtree(polygons).query(polygons[fresh], predicate="intersects")
    pairs = np.unique(np.sort(np.stack([fresh[ours], others], axis=1), axis=1), axis=0)
    apart = (pairs[:, 0] == pairs[:, 1]) | shapely.touches(polygons[pairs[:, 0]], polygons[pairs[:, 1]])
    return [(int(i), int(j)) for i, j in pairs[~apart]]


def _trimmed(polygon: shapely.Polygon, neighbour: shapely.Polygon) -> shapely.Polygon | None:
    """Return ``polygon`` without the ground of ``neighbour``, or None where that is more than a strip along a wall.

    Computed from the polygon's own corner on and rounded to subpixels: whole pixels of shift change no bit.
    """
    corner = np.floor(shapely.bounds(polygon)[:2])
    near = shapely.transform(neighbour, lambda xy: xy - corner)
    own = shapely.transform(polygon, lambda xy: xy - corner)
    around = shapely.box(*(shapely.bounds(own) + TRIM_REACH_PX * np.array([-1, -1, 1, 1])))
    walls = shapely.buffer(shapely.intersection(near, around), TRIM_GAP_PX, join_style="mitre")
    rest = shapely.difference(own, walls)
    parts = shapely.get_parts(rest)
    if len(parts) == 0:
        return None
    largest = shapely.transform(
        parts[np.argmax(shapely.area(parts))], lambda xy: np.rint(xy * SUBPIXELS) / SUBPIXELS + corner
    )
    sound = largest.is_valid and len(largest.interiors) == len(polygon.interiors)
    return largest if sound and largest.area >= (1 - TRIM_SHARE) * polygon.area else None
