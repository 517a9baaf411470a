"""Places in pixels: whole 1024ths, and shapes that move with their coordinates."""

import numpy as np
import shapely
from numpy.typing import NDArray

SUBPIXELS = 1024  # coordinates are whole 1024ths of a pixel: moving them by whole pixels is exact in any order

SIMPLIFY_PX = 1.0  # root of the area of the triangles that a kept contour loses


def rounded(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round pixel coordinates to whole 1024ths."""
    return np.rint(xy * SUBPIXELS) / SUBPIXELS


def moved[T](shapes: T, by: NDArray[np.float64], scale: NDArray[np.float64] | float = 1.0) -> T:
    """Move one shape or (N,) of them by (x, y), then scale them; by, scale: (2,) for all, or (N, 2) for each.

    >>> moved(shapely.Point(1, 2), np.array([3, 4]), 10)
    <POINT (40 60)>
    """
    if by.ndim == 2:
        count = shapely.get_num_coordinates(shapes)
        by, scale = (np.repeat(np.broadcast_to(value, by.shape), count, axis=0) for value in (by, scale))
    return shapely.transform(shapes, lambda xy: (xy + by) * scale)


def simplified[T](contours: T, side_px: float = SIMPLIFY_PX) -> T:
    """Remove the corners of contours that form a triangle of less than a square of ``side_px`` with their neighbours.

    contours: one polygon, or an array (M,) that is a coverage, whose shared walls stay shared. The other corners do not
    move (Visvalingam and Whyatt 1993). Every contour that replaces a fit is simplified in this way or not at all.
    """
    return shapely.coverage_simplify(contours, side_px)


def uncrossed(polygons: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return polygons, (M,), with the largest part of each whose rings cross; computed relative to its own corner."""
    out = polygons.copy()
    for i in np.flatnonzero(~shapely.is_valid(polygons)):
        corner = np.floor(shapely.bounds(polygons[i])[:2])
        parts = shapely.get_parts(shapely.make_valid(moved(polygons[i], -corner), method="structure"))
        out[i] = moved(shapely.transform(parts[np.argmax(shapely.area(parts))], rounded), corner)
    return out


def rings_of(shape: shapely.Geometry) -> NDArray[np.object_]:
    """Return the rings of a polygon or of several, (R,)."""
    return shapely.get_rings(shapely.get_parts(shape))
