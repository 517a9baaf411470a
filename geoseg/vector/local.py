"""LocalMetres: true metres about a place, so that a right angle is one on the ground, whatever CRS a layer has."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from geoseg.values.grid import pyproj_crs


@dataclass(frozen=True, slots=True, eq=False)
class LocalMetres:
    """Coordinates of ``crs`` as metres about (longitude, latitude), east and north, and back.

    A transverse Mercator projection on the CRS's own datum: it keeps angles, and within 60 km of its meridian lengths
    to 5e-5.
    """

    to_metres: Any
    to_crs: Any

    @classmethod
    def about(cls, crs: CRS, lon: float, lat: float) -> "LocalMetres":
        """Take (lon, lat) in degrees, on the CRS's datum and prime meridian, as the middle.

        >>> local = LocalMetres.about(CRS.from_epsg(4326), 25.5, 60.5)
        >>> local.forward(np.array([[25.5, 60.5], [25.501, 60.5]])).round(3)
        array([[ 0.   ,  0.   ],
               [54.956,  0.   ]])
        """
        from pyproj import Transformer
        from pyproj.crs import ProjectedCRS
        from pyproj.crs.coordinate_operation import TransverseMercatorConversion

        source = pyproj_crs(crs)
        conversion = TransverseMercatorConversion(
            latitude_natural_origin=lat, longitude_natural_origin=lon, scale_factor_natural_origin=1.0
        )
        metres = ProjectedCRS(conversion, geodetic_crs=source.geodetic_crs)
        return cls(
            Transformer.from_crs(source, metres, always_xy=True), Transformer.from_crs(metres, source, always_xy=True)
        )

    def forward(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N, 2) coordinates of the CRS in metres."""
        return np.column_stack(self.to_metres.transform(xy[:, 0], xy[:, 1]))

    def back(self, metres: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N, 2) metres in coordinates of the CRS."""
        return np.column_stack(self.to_crs.transform(metres[:, 0], metres[:, 1]))
