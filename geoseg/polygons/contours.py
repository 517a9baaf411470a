"""Pixel-edge contours: the exact outline of the pixels at or above a threshold."""

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio import features

from geoseg.polygons.components import Components, threshold_byte


def pixel_contours(probability: NDArray[np.uint8], components: Components, *, threshold: float) -> NDArray[np.object_]:
    """Return one polygon per component, shape (N,), with its holes, in pixel coordinates (col, row).

    probability: (H, W) bytes, 0 = nodata. components: those of the same raster and threshold, whose order is kept.
    (0, 0) is the outer corner of the first pixel. Every polygon is valid, its area is the component's pixel count, and
    polygons touch in corners at most. GDAL's polygonizer does the tracing.
    """
    inside = (probability >= threshold_byte(threshold)).astype(np.uint8)
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
