"""Pixel-edge contours: the exact outline of the inside pixels."""

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio import features

from geoseg.polygons.components import Components
from geoseg.polygons.frame import GroundFrame

DEFAULT_TOLERANCE_PX = 2.0  # takes the steps out of slanted walls: a third of the vertices for 0.001 of IoU


def pixel_contours(probability: NDArray[np.uint8], components: Components, low: int) -> NDArray[np.object_]:
    """Return one polygon per component, shape (N,), with its holes, in pixel coordinates (col, row).

    probability: (H, W) bytes, 0 = nodata. components: those of the pixels with a byte >= ``low``, whose order is kept.
    (0, 0) is the outer corner of the first pixel. Every polygon is valid, its area is the component's pixel count, and
    polygons touch in corners at most. GDAL's polygonizer does the tracing.
    """
    inside = (probability >= low).astype(np.uint8)
    traced = features.shapes(inside, mask=inside, connectivity=4)
    polygons = [_polygon(geometry["coordinates"]) for geometry, _ in traced]
    found = np.empty(len(polygons), object)
    found[:] = polygons
    width = probability.shape[1]
    wanted = components.first_row * width + components.first_col  # ascending: components are in raster order
    out = np.empty(len(components), object)
    out[np.searchsorted(wanted, _first_pixels(found, width=width))] = found
    return out


def _polygon(rings: list[list[tuple[float, float]]]) -> shapely.Polygon:
    return shapely.Polygon(rings[0], rings[1:])


def _first_pixels(polygons: NDArray[np.object_], *, width: int) -> NDArray[np.int64]:
    """Return row * width + col of the first pixel of each polygon in raster order: its leftmost top vertex."""
    xy, owner = shapely.get_coordinates(shapely.get_exterior_ring(polygons), return_index=True)
    order = np.lexsort((xy[:, 0], xy[:, 1], owner))
    first = order[np.flatnonzero(np.diff(owner, prepend=-1))]  # lexsort keeps the owners' blocks in place
    return (xy[first, 1] * width + xy[first, 0]).astype(np.int64)


def pixel_polygons(
    probability: NDArray[np.uint8],
    components: Components,
    low: int,
    *,
    frame: GroundFrame,
    min_area_m2: float,
    min_hole_m2: float,
    tolerance_m: float | None,
) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """Return the simplified contours of the large enough components, in pixel coordinates, and which those are."""
    polygons, absorbed = _fill_holes(pixel_contours(probability, components, low), frame, min_hole_m2)
    kept = (_areas_m2(polygons, frame) >= min_area_m2) & ~absorbed
    height_m, width_m = frame.pixel_size_m
    tolerance_m = DEFAULT_TOLERANCE_PX * (height_m * width_m) ** 0.5 if tolerance_m is None else tolerance_m
    return _simplify(polygons[kept], frame, tolerance_m), kept


def _areas_m2(pixel_polygons: NDArray[np.object_], frame: GroundFrame) -> NDArray[np.float64]:
    """Return the true ground areas of polygons given in pixel coordinates."""
    middle_rows = shapely.bounds(pixel_polygons)[:, [1, 3]].mean(axis=1)
    return shapely.area(pixel_polygons) * frame.pixel_areas_m2(middle_rows)


def _fill_holes(
    polygons: NDArray[np.object_], frame: GroundFrame, min_hole_m2: float
) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """Return the polygons without holes below ``min_hole_m2``, and which polygons stand in a hole that was filled."""
    out = polygons.copy()
    filled = [np.empty(0, object)]
    for i in np.flatnonzero(shapely.get_num_interior_rings(polygons)):
        shell, *rings = shapely.get_rings(polygons[i])
        holes = shapely.polygons(rings)
        small = _areas_m2(holes, frame) < min_hole_m2
        filled.append(holes[small])
        out[i] = shapely.Polygon(shell, [ring for ring, drop in zip(rings, small, strict=True) if not drop])
    absorbed = np.zeros(len(polygons), bool)
    absorbed[shapely.STRtree(polygons).query(np.concatenate(filled), predicate="covers")[1]] = True
    return out, absorbed


def _simplify(polygons: NDArray[np.object_], frame: GroundFrame, tolerance_m: float) -> NDArray[np.object_]:
    """Simplify all polygons together (Visvalingam and Whyatt 1993, on a square ground frame) so that none cross."""
    if tolerance_m == 0 or len(polygons) == 0:
        return polygons
    scale = np.array(frame.pixel_size_m[::-1])
    metric = shapely.transform(polygons, lambda xy: xy * scale)
    return shapely.transform(shapely.coverage_simplify(metric, tolerance_m), lambda xy: xy / scale)
