"""Overlaps: of two polygons that overlap one is trimmed, or replaced by its contour.

Borders within a block are not found here, see split.py.
"""

from collections.abc import Collection

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.pixels.components import find_root, join
from geoseg.vector.pixels.places import SUBPIXELS, moved, rings_of, rounded, simplified

TRIM_GAP_PX = 20 / SUBPIXELS  # left between a trimmed polygon and its neighbour, so that rounding makes no overlap
TRIM_REACH_PX = 2.0  # no more of a neighbour is looked at: it may be a block of a thousand houses
TRIM_SHARE = 0.1  # of a polygon's area that may be trimmed away
REACH_PX = 16  # an outline leaves the bounding box of its contour by at most this

FITTED, SIMPLIFIED, CONTOUR = range(3)  # what a polygon is: the lower it has fallen, the higher the number


def resolve_overlaps(
    polygons: NDArray[np.object_],
    contours: NDArray[np.object_],
    iou: NDArray[np.float64],
    *,
    locked: NDArray[np.bool_] | None = None,
    exempt: Collection[tuple[int, int]] = (),
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Change invalid and overlapping polygons in place; return which became contours and which were trimmed, (N,).

    polygons, contours: (N,) in pixel coordinates that are multiples of 1/1024; a block may have several parts.
    iou: (N,) IoU of each polygon with its contour; of two that overlap the one with the smaller IoU loses.
    locked: (N,) polygons that are their contours from the start.
    exempt: pairs (i, j), i < j, that may overlap.

    The loser is trimmed along the winner's walls. Where that would take too much of it, its simplified contour replaces
    it, then its contour. Contours are valid; contours of a raster never touch, and contours that overlap stay as they
    are. No pair is trimmed twice, so the loop ends.

    A polygon's result depends only on the polygons whose reach (see ``reach_boxes``) is linked to its own. It depends
    neither on the origin of the pixel coordinates nor on the order of the polygons, except where ``iou`` ties.
    """
    fallback = np.zeros(len(polygons), np.int8)
    if locked is not None:
        fallback[locked] = CONTOUR
        polygons[locked] = contours[locked]
    trimmed = np.zeros(len(polygons), np.bool_)
    trimmed_pairs: set[tuple[int, int]] = set()
    leaves = (fallback == FITTED) & leaves_reach(polygons, contours)
    changed = np.arange(len(polygons))
    while len(changed):
        broken = set(changed[~shapely.is_valid(polygons[changed]) | leaves[changed]].tolist())
        leaves[:] = False
        failed, touched = set(broken), set()
        for i, j in overlaps(polygons, changed):
            if {i, j} & broken:  # what replaces it may keep clear of the other
                continue
            if (i, j) in exempt or shapely.disjoint(polygons[i], polygons[j]):  # since an earlier pair was trimmed
                continue
            loser, winner = sorted((i, j), key=lambda k: (fallback[k], iou[k], k))
            remainder = None
            if fallback[loser] == FITTED and (loser, winner) not in trimmed_pairs and not {loser, winner} & failed:
                trimmed_pairs.add((loser, winner))
                remainder = _trimmed(polygons[loser], polygons[winner])
            if remainder is None:
                failed.add(loser)
            else:
                polygons[loser], trimmed[loser] = remainder, True
                touched.add(loser)
        failed = {i for i in failed if fallback[i] < CONTOUR}
        replaced = np.array(sorted(failed), np.intp)
        fallback[replaced] += 1
        for i in replaced:
            polygons[i] = simplified(contours[i]) if fallback[i] == SIMPLIFIED else contours[i]
        changed = np.array(sorted(failed | touched), np.intp)
    return fallback > FITTED, trimmed & (fallback == FITTED)


def reach_boxes(polygons: NDArray[np.object_], contours: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return (N, 4) boxes (min x, min y, max x, max y) that hold each polygon whatever ``resolve_overlaps`` does."""
    own = shapely.bounds(contours)
    out = np.where(leaves_reach(polygons, contours)[:, None], own, shapely.bounds(polygons))
    return np.hstack([np.minimum(out[:, :2], own[:, :2]), np.maximum(out[:, 2:], own[:, 2:])])


def linked_boxes(boxes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return for each box (min x, min y, max x, max y), (N, 4), the index of the first one of its group, (N,).

    Boxes that meet are in one group, with all that those meet. 40 bytes per box.

    >>> linked_boxes(np.array([[0, 0, 2, 2], [8, 0, 9, 1], [1, 1, 5, 5], [5, 5, 6, 6.0]])).tolist()
    [0, 1, 0, 0]
    """
    return _linked(np.ascontiguousarray(boxes, np.float64), np.argsort(boxes[:, 0], kind="stable"))


@njit(cache=True, nogil=True)
def _linked(boxes: NDArray[np.float64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sweep from west to east; a group's root is its smallest index."""
    root = np.arange(len(boxes))
    for k in range(len(order)):
        i = order[k]
        for m in range(k + 1, len(order)):
            j = order[m]
            if boxes[j, 0] > boxes[i, 2]:
                break
            if boxes[j, 1] <= boxes[i, 3] and boxes[j, 3] >= boxes[i, 1]:
                join(root, i, j)
    for i in range(len(root)):
        root[i] = find_root(root, i)
    return root


def leaves_reach(polygons: NDArray[np.object_], contours: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Return which polygons leave the box of their contour by more than REACH_PX."""
    own, drawn = shapely.bounds(contours), shapely.bounds(polygons)
    return ((drawn[:, :2] < own[:, :2] - REACH_PX) | (drawn[:, 2:] > own[:, 2:] + REACH_PX)).any(axis=1)


def overlaps(polygons: NDArray[np.object_], changed: NDArray[np.intp]) -> list[tuple[int, int]]:
    """Return the sorted pairs of a changed polygon and any other that overlap; the index alone has no fixed order."""
    ours, others = shapely.STRtree(polygons).query(polygons[changed])  # by their boxes: most meet themselves alone
    pairs = np.sort(np.stack([changed[ours], others], axis=1), axis=1)
    i, j = np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0).T
    meet = shapely.intersects(polygons[i], polygons[j])
    meet[meet] = ~shapely.touches(polygons[i[meet]], polygons[j[meet]])
    return list(zip(i[meet].tolist(), j[meet].tolist(), strict=True))


def _trimmed(polygon: shapely.Polygon, neighbour: shapely.Polygon) -> shapely.Polygon | None:
    """Subtract ``neighbour`` from ``polygon``; None where more than a strip along a wall would go.

    Coordinates are relative to the polygon's own corner and rounded to 1/1024 px, so a shift by whole pixels changes
    no bit.
    """
    corner = np.floor(shapely.bounds(polygon)[:2])
    near, own = moved(neighbour, -corner), moved(polygon, -corner)
    around = shapely.box(*(shapely.bounds(own) + TRIM_REACH_PX * np.array([-1, -1, 1, 1])))
    walls = shapely.buffer(shapely.intersection(near, around), TRIM_GAP_PX, join_style="mitre")
    remainder = shapely.difference(own, walls)
    parts = shapely.get_parts(remainder)
    largest = np.sort(np.argsort(-shapely.area(parts), kind="stable")[: len(shapely.get_parts(polygon))])
    if len(largest) == 0:
        return None
    made = parts[largest[0]] if len(largest) == 1 else shapely.multipolygons(parts[largest])
    made = moved(shapely.transform(made, rounded), corner)
    sound = made.is_valid and len(rings_of(made)) == len(rings_of(polygon))
    return made if sound and made.area >= (1 - TRIM_SHARE) * polygon.area else None
