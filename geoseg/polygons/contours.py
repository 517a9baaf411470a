"""Pixel-edge contours: the exact outline of the pixels at or above a threshold, and its simplification."""

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio import features

from geoseg.polygons.components import Components, threshold_byte


def pixel_contours(
    probability: NDArray[np.uint8], components: Components, *, threshold: float
) -> NDArray[np.object_]:
    """Return one polygon per component, shape (N,), with holes, in pixel coordinates (col, row), 0 at the corner.

    probability: (H, W) bytes, 0 = nodata. components: those of the same raster and threshold; the polygons come in their order.
    Every polygon is valid and its area is the component's pixel count. Polygons touch at most in corners. GDAL's polygonizer
    traces the edges.
    """
    if len(components) == 0:
        return np.empty(0, object)
    inside = (probability >= threshold_byte(threshold)).astype(np.uint8)
    traced = shapely.from_geojson(
        [_geojson(geometry) for geometry, _ in features.shapes(inside, mask=inside, connectivity=4)]
    )
    return traced[np.argsort(_first_pixels(traced, width=inside.shape[1]))]
