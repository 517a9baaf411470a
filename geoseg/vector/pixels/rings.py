"""Rings: closed contours, shells and holes mixed, and the polygons that they make."""

from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.ground import GroundFrame
from geoseg.vector.pixels.places import rounded


@dataclass(frozen=True, slots=True, eq=False)
class Rings:
    """Closed contours in raster order of their first pixel, shells and holes mixed.

    xy: (P, 2) floats (col, row) relative to the outer corner of the ring's first pixel, so that a ring's numbers do
    not depend on where the raster was cut; whole 1024ths. Ring k has the points start[k] to start[k + 1]. parent: (R,)
    the shell of a hole, -1 for shells. area_px: (R,) signed, positive for shells. first_pixel: (R, 2) row, col.
    """

    xy: NDArray[np.floating]
    start: NDArray[np.int64]
    parent: NDArray[np.int32]
    area_px: NDArray[np.float64]
    first_pixel: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.parent)

    @classmethod
    def of(cls, polygons: NDArray[np.object_]) -> "Rings":
        """Return the rings of polygons in pixel coordinates (col, row), each shell before its holes."""
        lines, polygon = shapely.get_rings(shapely.orient_polygons(polygons), return_index=True)
        xy, ring = shapely.get_coordinates(lines, return_index=True)
        xy = xy[np.append(ring[1:] == ring[:-1], False)[: len(ring)]]  # the last point of a ring is its first
        start = np.concatenate([[0], np.cumsum(shapely.get_num_coordinates(lines) - 1)])
        return cls.through(xy, start, polygon, shapely.area(shapely.polygons(lines)))

    @classmethod
    def through(
        cls, xy: NDArray[np.float64], start: NDArray[np.int64], polygon: NDArray[np.intp], area_px: NDArray[np.float64]
    ) -> "Rings":
        """Return rings through points (P, 2), laid out as in this class; polygon: (R,) ascending, area_px: unsigned."""
        xy = _from_the_top(xy, start)
        corner = np.floor(xy[start[:-1] + 1])  # of the highest point: that of the first pixel in a raster
        first = np.diff(polygon, prepend=-1) > 0
        shell = np.flatnonzero(first)[polygon] if len(polygon) else np.empty(0, np.intp)
        return cls(
            xy=rounded(xy - np.repeat(corner, np.diff(start), axis=0)).astype(np.float32),
            start=start.astype(np.int64),
            parent=np.where(first, -1, shell).astype(np.int32),
            area_px=np.where(first, area_px, -area_px),
            first_pixel=corner[:, ::-1].astype(np.int32),
        )

    @property
    def shell(self) -> NDArray[np.intp]:
        """Index of each ring's shell, its own for shells, (R,)."""
        return np.where(self.parent >= 0, self.parent, np.arange(len(self)))

    @property
    def places(self) -> NDArray[np.float64]:
        """The points in pixel coordinates (col, row), (P, 2)."""
        return self.xy.astype(np.float64) + np.repeat(self.first_pixel[:, ::-1], np.diff(self.start), axis=0)

    def with_any(self, marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which shells have a marked point, on themselves or on a hole of theirs, (R,); marked: (P,)."""
        return np.bincount(np.repeat(self.shell, np.diff(self.start))[marked], minlength=len(self)) > 0

    def moved(self, row: int, col: int) -> "Rings":
        """Return the same rings in a raster that begins ``row`` rows and ``col`` columns earlier."""
        return replace(self, first_pixel=self.first_pixel + np.array([row, col], np.int32))

    def redrawn(self, xy: NDArray[np.floating], start: NDArray[np.int64]) -> "Rings":
        """Return the rings with other points, laid out as ``xy`` and ``start`` of this class are."""
        return replace(self, xy=xy, start=start)

    def filled(self, chosen: NDArray[np.bool_]) -> NDArray[np.object_]:
        """Return each of the chosen rings as a polygon of its own, in pixel coordinates (col, row)."""
        rings = self._linear(np.flatnonzero(chosen))
        return shapely.polygons(rings) if len(rings) else rings

    def polygons(self, chosen: NDArray[np.bool_]) -> NDArray[np.object_]:
        """Return a polygon for each chosen shell, with its chosen holes, in pixel coordinates (col, row)."""
        picked = np.flatnonzero(chosen)
        picked = picked[np.argsort(self.shell[picked], kind="stable")]  # a shell comes before its holes
        rings = self._linear(picked)
        owner = np.cumsum(self.parent[picked] < 0) - 1
        return shapely.polygons(rings, indices=owner) if len(rings) else rings

    def _linear(self, picked: NDArray[np.intp]) -> NDArray[np.object_]:
        length = self.start[picked + 1] - self.start[picked]
        owner = np.repeat(np.arange(len(picked)), length)
        point = np.arange(len(owner)) + np.repeat(self.start[picked] - (np.cumsum(length) - length), length)
        placed = self.xy[point].astype(np.float64) + self.first_pixel[picked[owner], ::-1]
        return shapely.linearrings(placed, indices=owner) if len(picked) else np.empty(0, object)


def wanted_rings(rings: Rings, frame: GroundFrame, *, min_area_m2: float, min_hole_m2: float) -> NDArray[np.bool_]:
    """Return which rings are drawn, (R,): large holes, and shells large enough once the other holes are filled.

    A shell in a hole that is filled is not drawn; nor is a hole of a shell that is not.
    """
    area_m2 = np.abs(rings.area_px) * frame.pixel_areas_m2(rings.first_pixel.astype(np.float64))
    hole = rings.parent >= 0
    kept_hole = hole & (area_m2 >= min_hole_m2)
    holes_m2 = np.bincount(rings.parent[kept_hole], weights=area_m2[kept_hole], minlength=len(rings))
    wanted = kept_hole | (~hole & (area_m2 - holes_m2 >= min_area_m2))
    filled = rings.filled(hole & ~kept_hole)
    shells = np.flatnonzero(wanted & ~hole)
    inside = shapely.points(rings.first_pixel[shells, ::-1] + 0.5)  # the centre of its first pixel is in the shell
    wanted[shells[shapely.STRtree(inside).query(filled, predicate="contains")[1]]] = False
    wanted[hole] &= wanted[rings.parent[hole]]
    return wanted


def _from_the_top(xy: NDArray[np.float64], start: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the same rings, each from the point before its highest on, where rings traced in rasters begin."""
    count = np.diff(start)
    ring = np.repeat(np.arange(len(count)), count)
    highest = np.lexsort((xy[:, 0], xy[:, 1], ring))[start[:-1]]
    turned = np.arange(len(xy)) + (highest - 1 - 2 * start[:-1])[ring]
    return xy[start[:-1][ring] + turned % count[ring]]
