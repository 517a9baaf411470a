"""GroundFrame: true metres for pixels, so that tolerances and areas mean the same in UTM, Web Mercator and degrees."""

from dataclasses import dataclass
from math import hypot

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.values.grid import Grid
from geoseg.vector.measure import geodesic_area_m2

SIZE_STEPS = 1024  # per octave: sizes are rounded to 0.07 %, so that neighbours are fitted in one call and frame


@dataclass(frozen=True, slots=True, eq=False)
class GroundFrame:
    """How the pixels of a scene lie in its CRS and on the ground.

    transform: (col, row) -> CRS (x, y). grid: where the ground is measured, None where the CRS is in true metres.
    Places are (N, 2) (row, col) pixel coordinates, 0 at the outer corner of the scene's first pixel; what is measured
    at a place depends on where on Earth it is and not on where the raster was cut.
    """

    transform: Affine
    grid: Grid | None = None

    @classmethod
    def of_grid(cls, grid: Grid) -> "GroundFrame":
        """Measure on the ellipsoid of the grid's CRS; right for degrees, feet and Web Mercator."""
        grid.ground_resolution_m()  # refuses a scene that has no place on Earth
        return cls(grid.transform, grid)

    @classmethod
    def of_metric(cls, transform: Affine) -> "GroundFrame":
        """Take the units of ``transform`` as metres that are true everywhere.

        >>> GroundFrame.of_metric(Affine(0.25, 0, 0, 0, -0.5, 0)).pixel_sizes_m(np.zeros((1, 2)))
        array([[0.5 , 0.25]])
        """
        if not abs(transform.determinant) > 0:
            raise InputError(f"the transform {tuple(transform)[:6]} does not map pixels to an area")
        return cls(transform)

    def to_crs(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (N, 2) pixel coordinates (col, row) to CRS (x, y)."""
        t, (col, row) = self.transform, pixels.T  # term by term: a matrix product rounds by the number of points
        return np.stack([t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f], axis=1)

    def placed(self, polygons: NDArray[np.object_]) -> NDArray[np.object_]:
        """Return polygons in pixel coordinates (col, row) in the CRS, shells counter-clockwise as GeoPackages have."""
        return np.asarray(shapely.orient_polygons(shapely.transform(polygons, self.to_crs)))

    def areas_m2(self, polygons: NDArray[np.object_]) -> NDArray[np.float64]:
        """Return the true areas of polygons in pixel coordinates (col, row), (N,)."""
        placed = self.placed(polygons)
        return np.asarray(shapely.area(placed)) if self.grid is None else geodesic_area_m2(placed, self.grid.crs)

    def pixel_sizes_m(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the true ground (height, width) of a pixel at each of ``places``, (N, 2), rounded to SIZE_STEPS.

        The ratio of the two is rounded first, so that square pixels stay square.
        """
        t = self.transform
        if self.grid is None or len(places) == 0:
            return np.tile((hypot(t.b, t.e), hypot(t.a, t.d)), (len(places), 1))
        size = self.grid.pixel_sizes_m(places[:, 0], places[:, 1])
        size = np.where(np.isfinite(size), size, self.grid.ground_resolution_m())
        ratio = _rounded(size[:, 0] / size[:, 1])
        root = _rounded(np.sqrt(size[:, 0] * size[:, 1]))
        return np.stack([root * np.sqrt(ratio), root / np.sqrt(ratio)], axis=1)

    def pixel_areas_m2(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the true area of a pixel at each of ``places``, (N,)."""
        if self.grid is None or len(places) == 0:  # pyproj does not take none
            return np.full(len(places), abs(self.transform.determinant))
        return self.grid.pixel_areas_m2(places[:, 0], places[:, 1])


def _rounded(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to SIZE_STEPS; powers one by one, since those of an array may differ with its length in the last bit."""
    steps, which = np.unique(np.rint(np.log2(sizes) * SIZE_STEPS), return_inverse=True)
    return np.array([2.0 ** (step / SIZE_STEPS) for step in steps])[which] if len(sizes) else sizes
