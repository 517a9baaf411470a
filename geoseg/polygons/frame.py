"""GroundFrame: true metres for pixels, so that tolerances and areas mean the same in UTM, Web Mercator and degrees."""

from dataclasses import dataclass
from math import hypot

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.grid import Grid


@dataclass(frozen=True, slots=True, eq=False)
class GroundFrame:
    """How pixels lie in the CRS and on the ground.

    transform: (col, row) -> CRS (x, y). pixel_size_m: true ground (height, width) of a pixel in metres.
    row_areas_m2: true area of one pixel of each row, shape (H,).
    """

    transform: Affine
    pixel_size_m: tuple[float, float]
    row_areas_m2: NDArray[np.float64]

    @classmethod
    def of_grid(cls, grid: Grid) -> "GroundFrame":
        """Measure the frame on the ellipsoid of the grid's CRS; right for degrees, feet and Web Mercator."""
        return cls(grid.transform, grid.ground_resolution_m(), grid.row_areas_m2())

    @classmethod
    def of_metric(cls, transform: Affine, *, height: int) -> "GroundFrame":
        """Take the units of ``transform`` as metres that are true everywhere.

        >>> GroundFrame.of_metric(Affine(0.3, 0, 0, 0, -0.3, 0), height=2).pixel_size_m
        (0.3, 0.3)
        """
        size = hypot(transform.b, transform.e), hypot(transform.a, transform.d)
        if min(size) == 0:
            raise InputError(f"the transform {tuple(transform)[:6]} does not map pixels to an area")
        return cls(transform, size, np.full(height, abs(transform.determinant)))

    def to_crs(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (N, 2) pixel coordinates (col, row), 0 at the corner of the first pixel, to CRS (x, y)."""
        t = self.transform
        return pixels @ np.array([[t.a, t.d], [t.b, t.e]]) + (t.c, t.f)

    def pixel_areas_m2(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the true area of a pixel at each of ``rows`` (pixel coordinates; outside rows take the nearest)."""
        index = np.clip(np.floor(rows).astype(np.intp), 0, len(self.row_areas_m2) - 1)
        return self.row_areas_m2[index]
