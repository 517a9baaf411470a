"""Local metres against the geodesic, in CRSs of any unit and datum."""

import numpy as np
import pytest
from rasterio.crs import CRS

from geoseg.values.grid import lonlat, pyproj_crs
from geoseg.vector.local import LocalMetres


@pytest.mark.parametrize(
    ("code", "x", "y", "unit"),
    [
        (4326, 25.3, 60.2, 1e-5),
        (4326, -70.9, -54.4, 1e-5),
        (32633, 500_321, 4_650_000, 1),
        (3857, 2_777_000, 8_437_000, 1),
        (2263, 1_000_000, 200_000, 1),  # New York, feet
        (27572, 600_000, 2_400_000, 1),  # France, degrees in grads, Paris's meridian
        (3035, 4_300_000, 3_200_000, 1),  # equal area: angles are not kept
    ],
)
def test_steps_in_all_directions_are_as_long_as_on_the_ellipsoid(code, x, y, unit):
    crs = CRS.from_epsg(code)
    turn = np.arange(0, 2 * np.pi, 0.7)
    xy = np.array([[x, y]]) + 100 * unit * np.column_stack([np.cos(turn), np.sin(turn)])
    lon, lat = lonlat(crs, np.append(xy[:, 0], x), np.append(xy[:, 1], y))
    local = LocalMetres.about(crs, np.floor(lon[-1]) + 0.5, np.floor(lat[-1]) + 0.5)
    ends, middle = local.forward(xy), local.forward(np.array([[x, y]]))
    geod = pyproj_crs(crs).get_geod()
    _, _, true = geod.inv(np.full(len(turn), lon[-1]), np.full(len(turn), lat[-1]), lon[:-1], lat[:-1])
    np.testing.assert_allclose(np.hypot(*(ends - middle).T), true, rtol=1e-4)
    np.testing.assert_allclose(local.back(ends), xy, atol=1e-6 * unit)
