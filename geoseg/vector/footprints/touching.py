"""Outlines that touch: what is fitted to them comes to share its walls vertex by vertex, as in blocks of rasters."""

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.adjacent.overlaps import REACH_PX
from geoseg.vector.adjacent.split import split_block
from geoseg.vector.adjacent.tolerance import Closeness
from geoseg.vector.fit.fit import LEAST_IOU
from geoseg.vector.footprints.imported import VectorRules
from geoseg.vector.pixels.components import join_pairs
from geoseg.vector.pixels.places import rounded
from geoseg.vector.tiles.outlines import Fit

SAME_PX = 1 / 32  # corners and walls so close are one: projected, a corner on a longer wall comes to lie beside it
LEAST_WALL_PX = 2.0  # of wall that two outlines have in common


def share_walls(
    polygons: NDArray[np.object_], outlines: NDArray[np.object_], fit: Fit, rules: VectorRules
) -> tuple[NDArray[np.object_], Fit, NDArray[np.bool_]]:
    """Return ``polygons``, fitted to ``outlines`` one by one, and ``fit`` with blocks fitted whole; and which changed.

    A block is made of outlines without gap or overlap between them, linked by walls in common; see ``split_block``. One
    where that fails, or where a polygon has less than LEAST_IOU with its outline, stays as it was.
    """
    pixels = shapely.transform(outlines, lambda xy: xy / rules.pixel_m)
    polygons, fit = polygons.copy(), fit.take(np.arange(len(fit)))
    shared = np.zeros(len(polygons), np.bool_)
    for block in _blocks(pixels):
        drawn = shapely.transform(polygons[block], lambda xy: xy / rules.pixel_m)
        made = _fit_block(drawn, pixels[block], fit.take(block), rules)
        if made is not None:
            polygons[block], of_block = made
            shared[block] = True
            fit.put(block, of_block)
    return polygons, fit, shared


def _blocks(outlines: NDArray[np.object_]) -> list[NDArray[np.intp]]:
    """Return the members of each block, ascending; outlines in pixels."""
    i, j = shapely.STRtree(outlines).query(outlines, predicate="dwithin", distance=SAME_PX)
    i, j = i[i < j], j[i < j]
    wall = shapely.length(shapely.intersection(shapely.boundary(outlines[i]), shapely.buffer(outlines[j], SAME_PX)))
    common = shapely.area(shapely.intersection(outlines[i], outlines[j]))
    walls = (wall >= LEAST_WALL_PX) & (common <= SAME_PX * wall)
    group = join_pairs(len(outlines), np.stack([i[walls], j[walls]], axis=1))
    order = np.argsort(group, kind="stable")
    several = np.split(order, np.flatnonzero(np.diff(group[order])) + 1) if len(order) else []
    return [members for members in several if len(members) > 1]


def _fit_block(
    fitted: NDArray[np.object_], outlines: NDArray[np.object_], fit: Fit, rules: VectorRules
) -> tuple[NDArray[np.object_], Fit] | None:
    """Return polygons in metres for the outlines of a block, and how they came about; None where there is no way.

    fitted, fit: to the outlines one by one; both in pixels.
    """
    outlines = _noded(outlines)
    if not (shapely.is_valid(outlines).all() and shapely.coverage_is_valid(outlines)):
        return None
    union = np.array([shapely.coverage_union_all(outlines)], object)
    if shapely.get_type_id(union)[0] != shapely.GeometryType.POLYGON:  # parts that meet in a point
        return None
    places = np.array([shapely.get_coordinates(shapely.maximum_inscribed_circle(o, 0.5))[0] for o in outlines])
    split = split_block(shapely.transform(fitted, rounded), outlines, places, scale=np.ones(2))
    if split.unchanged.any() or not shapely.is_valid(split.polygons).all():
        return None
    closeness = Closeness.of(split.polygons, outlines, np.full(2, rules.pixel_m))
    if (closeness.iou < LEAST_IOU).any() or not _within_reach(split.polygons, outlines):
        return None
    fit = fit.of_shared(split.direction_deg).measured(closeness)
    return shapely.transform(split.polygons, lambda xy: xy * rules.pixel_m), fit


def _noded(outlines: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return the outlines with whole 1024ths of a pixel as coordinates, and corners of neighbours in their walls."""
    out = shapely.transform(outlines, rounded)
    for i, outline in enumerate(out):
        others = np.delete(out, i)
        near = others[shapely.dwithin(others, outline, SAME_PX)]
        out[i] = shapely.snap(outline, shapely.multipoints(shapely.get_coordinates(near)), SAME_PX)
    return out


def _within_reach(polygons: NDArray[np.object_], outlines: NDArray[np.object_]) -> bool:
    """Whether each polygon is within REACH_PX of its outline's box."""
    new, own = shapely.bounds(polygons), shapely.bounds(outlines)
    return bool((new[:, :2] >= own[:, :2] - REACH_PX).all() and (new[:, 2:] <= own[:, 2:] + REACH_PX).all())
