"""Rings: closed contours, shells and holes mixed, and the polygons that they make."""

from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.ground import GroundFrame


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

    @property
    def shell(self) -> NDArray[np.intp]:
        """Index of each ring's shell, its own for shells, (R,)."""
        return np.where(self.parent >= 0, self.parent, np.arange(len(self)))

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
