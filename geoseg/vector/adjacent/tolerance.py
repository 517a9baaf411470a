"""Closeness: the exact distance of polygons from their contours, and whether it is within the tolerance."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.fit.fit import LEAST_IOU
from geoseg.vector.pixels.places import moved

LARGE = 10**6  # vertices times corners from which an index of the walls pays


@dataclass(frozen=True, slots=True, eq=False)
class Closeness:
    """How near each of N polygons is to its contour."""

    iou: NDArray[np.float64]
    """IoU of the two, (N,)."""
    deviation_m: NDArray[np.float64]
    """Largest distance of the contour's vertices from the polygon's outline, (N,) metres."""
    rms_m: NDArray[np.float64]
    """Root mean square of these distances, (N,) metres."""

    @classmethod
    def of(
        cls, polygons: NDArray[np.object_], contours: NDArray[np.object_], pixel_m: NDArray[np.float64]
    ) -> "Closeness":
        """Measure valid polygons in pixel coordinates (col, row); pixel_m: width and height, (N, 2) or (2,), metres.

        Polygons may be empty, with an IoU of 0; contours may not. Coordinates are relative to each contour's own
        corner, so a shift by whole pixels changes no bit.
        """
        iou, corner = ious(polygons, contours), np.floor(shapely.bounds(contours)[:, :2])
        polygons, contours = moved(polygons, -corner, pixel_m), moved(contours, -corner, pixel_m)
        of = np.repeat(np.arange(len(contours)), shapely.get_num_coordinates(contours))
        far = _vertices_from(polygons, contours)
        farthest = np.zeros(len(polygons))
        np.fmax.at(farthest, of, far)
        squares = np.bincount(of, weights=far * far, minlength=len(polygons))
        return cls(
            iou=iou,
            deviation_m=farthest,
            rms_m=np.sqrt(squares / shapely.get_num_coordinates(contours)),
        )

    def within(self, bound_m: NDArray[np.float64] | float) -> NDArray[np.bool_]:
        """Whether the IoU is at least LEAST_IOU and the deviation at most ``bound_m``, (N,).

        An IoU of 0.8 also bounds the change of area by a quarter.
        """
        return (self.iou >= LEAST_IOU) & (self.deviation_m <= bound_m)


def _vertices_from(polygons: NDArray[np.object_], contours: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return the distance of each vertex of each contour from its polygon's outline, (V,)."""
    xy, of = shapely.get_coordinates(contours, return_index=True)
    outlines = shapely.boundary(polygons)
    large = shapely.get_num_coordinates(contours) * shapely.get_num_coordinates(polygons).astype(np.int64) > LARGE
    far, small = np.empty(len(xy)), ~large[of]
    far[small] = shapely.distance(shapely.points(xy[small]), outlines[of[small]])
    for i in np.flatnonzero(large):
        corners, ring = shapely.get_coordinates(shapely.get_parts(outlines[i]), return_index=True)
        walls = np.stack([corners[:-1], corners[1:]], axis=1)[ring[:-1] == ring[1:]]
        own = of == i
        tree = shapely.STRtree(shapely.linestrings(walls))
        far[own] = tree.query_nearest(shapely.points(xy[own]), all_matches=False, return_distance=True)[1]
    return far


def ious(a: NDArray[np.object_], b: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return the IoU of each pair a[i], b[i], (N,), computed relative to the corner of b[i]."""
    corner = np.floor(shapely.bounds(b)[:, :2])
    a, b = moved(a, -corner), moved(b, -corner)
    shared = shapely.area(shapely.intersection(a, b))
    return np.asarray(shared / (shapely.area(a) + shapely.area(b) - shared))
