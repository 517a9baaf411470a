"""Outlines that touch: fitted as one block and cut apart again, so that neighbours share walls vertex by vertex."""

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.adjacent.borders import Border, fit_borders, wall_directions
from geoseg.vector.adjacent.overlaps import REACH_PX
from geoseg.vector.adjacent.split import split_block
from geoseg.vector.adjacent.tolerance import Closeness
from geoseg.vector.adjacent.traced_borders import TracedBorders
from geoseg.vector.fit.fit import LEAST_IOU, UNCHANGED
from geoseg.vector.footprints.imported import VectorRules, fit_polygons
from geoseg.vector.pixels.components import join_pairs
from geoseg.vector.pixels.places import rounded
from geoseg.vector.tiles.outlines import Fit

SAME_PX = 1 / 32  # corners and walls so close are one: projected, a corner on a longer wall comes to lie beside it
BESIDE_PX = 0.5**0.5  # from the end of a border to a place outside, as the centre of a pixel is from its corner
LEAST_WALL_PX = 2.0  # of wall that two outlines have in common


def share_walls(
    polygons: NDArray[np.object_], outlines: NDArray[np.object_], fit: Fit, rules: VectorRules
) -> tuple[NDArray[np.object_], Fit, NDArray[np.bool_]]:
    """Return ``polygons``, fitted to ``outlines`` one by one, and ``fit`` with blocks fitted whole; and which changed.

    A block is made of outlines without gap or overlap between them, linked by walls in common. Its union is fitted as
    one outline, each border within it once, and the one is cut along the others. A block where that fails, or where a
    polygon has less than LEAST_IOU with its outline, stays as it was.
    """
    pixels = shapely.transform(outlines, lambda xy: xy / rules.pixel_m)
    polygons, fit = polygons.copy(), fit.take(np.arange(len(fit)))
    shared = np.zeros(len(polygons), np.bool_)
    for block in _blocks(pixels):
        made = _fit_block(pixels[block], rules)
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


def _fit_block(outlines: NDArray[np.object_], rules: VectorRules) -> tuple[NDArray[np.object_], Fit] | None:
    """Return polygons in metres for the outlines of a block, and how they came about; None where there is no way."""
    outlines = _noded(outlines)
    if not (shapely.is_valid(outlines).all() and shapely.coverage_is_valid(outlines)):
        return None
    union = np.array([shapely.coverage_union_all(outlines)], object)
    if shapely.get_type_id(union)[0] != shapely.GeometryType.POLYGON:  # parts that meet in a point
        return None
    fitted, fit = fit_polygons(shapely.transform(union, lambda xy: xy * rules.pixel_m), rules)
    whole = shapely.transform(fitted, lambda xy: rounded(xy / rules.pixel_m))[0]
    if fit.status[0] == UNCHANGED or not whole.is_valid:
        return None
    places = np.array([shapely.get_coordinates(shapely.maximum_inscribed_circle(o, 0.5))[0] for o in outlines])
    contour = shapely.transform(union, rounded)[0]
    split = split_block(whole, contour, _borders(outlines, whole, rules.diagonal_penalty), places)
    if split is None or split.unchanged.any():
        return None
    closeness = Closeness.of(split.polygons, outlines, np.full(2, rules.pixel_m))
    if (closeness.iou < LEAST_IOU).any() or not _within_reach(split.polygons, outlines):
        return None
    polygons = shapely.transform(split.polygons, lambda xy: xy * rules.pixel_m)
    return polygons, fit.take(np.zeros(len(outlines), np.intp)).measured(closeness)


def _noded(outlines: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return the outlines with whole 1024ths of a pixel as coordinates, and corners of neighbours in their walls."""
    out = shapely.transform(outlines, rounded)
    for i, outline in enumerate(out):
        others = np.delete(out, i)
        near = others[shapely.dwithin(others, outline, SAME_PX)]
        out[i] = shapely.snap(outline, shapely.multipoints(shapely.get_coordinates(near)), SAME_PX)
    return out


def _borders(outlines: NDArray[np.object_], whole: shapely.Polygon, penalty: float) -> list[Border]:
    """Return the fitted borders between the outlines of a block, whose outline came to be ``whole``."""
    i, j = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    i, j = i[i < j], j[i < j]
    common = shapely.line_merge(shapely.intersection(shapely.boundary(outlines[i]), shapely.boundary(outlines[j])))
    lines = shapely.get_parts(common)
    lines = lines[shapely.get_dimensions(lines) == 1]
    ends = np.array([[line.coords[0], line.coords[-1]] for line in lines])
    union = shapely.coverage_union_all(outlines)
    points = [shapely.get_coordinates(line) for line in shapely.segmentize(lines, 1.0)]
    traced = TracedBorders(
        xy=np.concatenate(points),
        start=np.cumsum([0, *map(len, points)]),
        inner=shapely.distance(shapely.points(ends), union.boundary) > 0,
        beyond=_outside(ends, union),
    )
    return fit_borders(traced, wall_directions(whole), scale=np.ones(2), penalty=penalty)


def _outside(ends: NDArray[np.float64], union: shapely.Polygon) -> NDArray[np.float64]:
    """Return of the places around each end, (A, 2, 2), the one farthest outside."""
    angles = np.arange(0, 2 * np.pi, np.pi / 8)
    around = ends[:, :, None] + BESIDE_PX * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    farthest = shapely.distance(shapely.points(around), union).argmax(axis=-1)
    return np.take_along_axis(around, farthest[:, :, None, None], axis=2)[:, :, 0]


def _within_reach(polygons: NDArray[np.object_], outlines: NDArray[np.object_]) -> bool:
    """Whether each polygon is within REACH_PX of its outline's box."""
    new, own = shapely.bounds(polygons), shapely.bounds(outlines)
    return bool((new[:, :2] >= own[:, :2] - REACH_PX).all() and (new[:, 2:] <= own[:, 2:] + REACH_PX).all())
