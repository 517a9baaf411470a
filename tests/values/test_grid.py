"""Grid and Box: true metres and true areas in every kind of CRS, against geodesics of pyproj."""

import numpy as np
import pytest
from affine import Affine
from pyproj import Geod, Transformer
from rasterio.crs import CRS

from geoseg.errors import InputError
from geoseg.values.box import Box
from geoseg.values.grid import Grid, lonlat, pyproj_crs

WGS84 = Geod(ellps="WGS84")
ROTATED = Affine.translation(500_000, 5e6) @ Affine.rotation(30) @ Affine.scale(10, -10)
SHEARED = Affine(8, 3, 500_000, -2, -9, 5e6)
PLACES = {  # crs, transform, ellipsoid
    "utm": ("EPSG:32633", Affine(10, 0, 500_000, 0, -10, 5e6), "WGS84"),
    "utm, south-up": ("EPSG:32633", Affine(10, 0, 500_000, 0, 10, 5e6), "WGS84"),
    "utm, rotated": ("EPSG:32633", ROTATED, "WGS84"),
    "utm, sheared": ("EPSG:32633", SHEARED, "WGS84"),
    "utm in km": ("+proj=utm +zone=33 +datum=WGS84 +units=km", Affine(0.01, 0, 500, 0, -0.01, 5000), "WGS84"),
    "web mercator": ("EPSG:3857", Affine(0.6, 0, 9e6, 0, -0.6, 3.2e6), "WGS84"),
    "web mercator at 60 N": ("EPSG:3857", Affine(100, 0, 9e5, 0, -100, 8.4e6), "WGS84"),
    "mercator": ("EPSG:3395", Affine(100, 0, 9e5, 0, -100, 8.4e6), "WGS84"),
    "degrees at 60 N": ("EPSG:4326", Affine(1e-4, 0, 20, 0, -1e-4, 60), "WGS84"),
    "degrees at the pole": ("EPSG:4326", Affine(0.1, 0, 20, 0, -0.1, 90), "WGS84"),
    "degrees, south-up": ("EPSG:4326", Affine(1e-3, 0, 20, 0, 1e-3, -40), "WGS84"),
    "degrees, rotated": ("EPSG:4269", Affine.translation(-100, 40) @ Affine.rotation(20) @ Affine.scale(1e-4), "GRS80"),
    "europe, equal area": ("EPSG:3035", Affine(10, 0, 4_321_000, 0, -10, 3_210_000), "GRS80"),
    "swiss": ("EPSG:2056", Affine(1, 0, 2_600_000, 0, -1, 1_200_000), "bessel"),
    "arctic": ("EPSG:3413", Affine(100, 0, -500_000, 0, -100, -500_000), "WGS84"),
    "antarctic, at the pole": ("EPSG:3031", Affine(100, 0, -2000, 0, -100, 2000), "WGS84"),
    "new york, us survey feet": ("EPSG:2263", Affine(3, 0, 1_000_000, 0, -3, 200_000), "GRS80"),
    "arizona, feet": ("EPSG:2222", Affine(3, 0, 700_000, 0, -3, 200_000), "GRS80"),
    "conus albers": ("ESRI:102039", Affine(30, 0, 1e5, 0, -30, 1e6), "GRS80"),
    "with heights": ("EPSG:2193+7839", Affine(1, 0, 1_600_000, 0, -1, 5_400_000), "GRS80"),
    "geostationary": (
        "+proj=geos +h=35786023 +lon_0=-75 +sweep=x +ellps=GRS80", Affine(2000, 0, -40_000, 0, -2000, 1e6), "GRS80"
    ),
}  # fmt: skip


def outline(grid, row, col, steps=8):
    """Longitudes and latitudes around a pixel."""
    f = np.arange(steps) / steps
    one, zero = np.ones(steps), np.zeros(steps)
    cols = col + np.concatenate([f, one, 1 - f, zero])
    rows = row + np.concatenate([zero, f, one, 1 - f])
    return lonlat(grid.crs, *(grid.transform @ (cols, rows)))


@pytest.mark.parametrize("place", PLACES)
def test_areas_and_sizes_are_those_of_geodesics(place):
    crs, transform, ellipsoid = PLACES[place]
    grid = Grid(CRS.from_user_input(crs), transform, (41, 61))
    geod = Geod(ellps=ellipsoid)
    areas = grid.row_areas_m2()
    assert areas.shape == (41,)
    for row in (0, 20, 40):
        area = abs(geod.polygon_area_perimeter(*outline(grid, row, 30))[0])
        assert areas[row] == pytest.approx(area, rel=2e-5), row
    ends = [(30.5, 20), (30.5, 21), (30, 20.5), (31, 20.5)]
    lon, lat = lonlat(grid.crs, *np.array([transform @ e for e in ends]).T)
    _, _, length = geod.inv(lon[::2], lat[::2], lon[1::2], lat[1::2])
    assert grid.ground_resolution_m() == pytest.approx(tuple(length), rel=1e-6)


def test_grads_of_french_maps_are_no_degrees():
    # Lambert II stands on a datum that counts 400 to the circle: taken for degrees, a metre is 1.11 m.
    grid = Grid(CRS.from_epsg(27572), Affine(1, 0, 600_000, 0, -1, 2_200_000), (10, 10))
    assert grid.ground_resolution_m() == pytest.approx((1, 1), rel=2e-4)
    lon, lat = lonlat(grid.crs, np.array([600_000.0]), np.array([2_200_000.0]))
    assert (lon[0], lat[0]) == pytest.approx((0, 46.8), abs=1e-6)  # 52 grads, east of Paris
    in_grads = Grid(CRS.from_epsg(4807), Affine(1e-4, 0, 0, 0, -1e-4, 50), (10, 10))
    assert in_grads.ground_resolution_m() == pytest.approx((10.0, 7.1), rel=2e-3)
    assert in_grads.row_areas_m2()[5] == pytest.approx(np.prod(in_grads.ground_resolution_m()), rel=1e-4)


def test_lonlat_is_the_transformer_s_where_that_counts_in_degrees():
    x, y = np.array([4e5, 5e5]), np.array([5e6, 5.1e6])
    expected = Transformer.from_crs(32633, 4326, always_xy=True).transform(x, y)
    np.testing.assert_allclose(lonlat(CRS.from_epsg(32633), x, y), expected, rtol=0, atol=1e-12)


def test_the_sphere_of_degrees_adds_up():
    grid = Grid(CRS.from_epsg(4326), Affine(0.5, 0, -180, 0, -0.5, 90), (360, 720))
    assert grid.row_areas_m2().sum() * 720 == pytest.approx(510_065_621_724_089, rel=1e-5)  # WGS84, in m²


def test_rows_beyond_the_limb_have_no_area():
    grid = Grid(CRS.from_user_input(PLACES["geostationary"][0]), Affine(2e4, 0, -5.5e6, 0, -2e4, 5.5e6), (550, 550))
    areas = grid.row_areas_m2()
    assert areas[0] == areas[-1] == 0
    assert areas[275] == pytest.approx(4e8, rel=1e-2)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:4326", Affine(1, 0, 0, 0, 1, 0)),  # pixel numbers taken for degrees
        ("EPSG:32633", Affine(10, 0, 1e12, 0, -10, 5e6)),
        ('LOCAL_CS["site",UNIT["metre",1],AXIS["X",EAST],AXIS["Y",NORTH]]', Affine(0.1, 0, 0, 0, -0.1, 0)),
    ],
)
def test_a_place_that_is_not_on_earth_is_an_error(crs, transform):
    with pytest.raises(InputError, match=r"Earth.*gdal"):
        Grid(CRS.from_user_input(crs), transform, (400, 400)).ground_resolution_m()


@pytest.mark.parametrize(
    "transform", [Affine(0, 0, 1, 0, 0, 1), Affine(1, 1, 0, 1, 1, 0), Affine(np.nan, 0, 0, 0, 1, 0)]
)
def test_a_grid_needs_an_area_and_a_pixel(transform):
    with pytest.raises(InputError, match="does not map"):
        Grid(CRS.from_epsg(32633), transform, (4, 4))
    with pytest.raises(InputError, match="at least one pixel"):
        Grid(CRS.from_epsg(32633), ROTATED, (0, 4))


def test_same_as_tolerates_rounding_and_nothing_else():
    grid = Grid(CRS.from_epsg(32633), Affine(10, 0, 5e5, 0, -10, 5e6), (1000, 2000))
    assert grid.same_as(Grid(CRS.from_wkt(grid.crs.to_wkt()), Affine(10, 0, 5e5 + 1e-3, 0, -10, 5e6), (1000, 2000)))
    assert not grid.same_as(Grid(grid.crs, Affine(10, 0, 5e5 + 1, 0, -10, 5e6), (1000, 2000)))  # a tenth of a pixel
    assert not grid.same_as(
        Grid(grid.crs, Affine(10.0001, 0, 5e5, 0, -10, 5e6), (1000, 2000))
    )  # 0.02 px at the far end
    assert not grid.same_as(Grid(grid.crs, grid.transform, (1000, 2001)))
    assert not grid.same_as(Grid(CRS.from_epsg(32634), grid.transform, (1000, 2000)))


def test_crop_resized_and_bounds_of_a_rotated_grid():
    grid = Grid(CRS.from_epsg(32633), ROTATED, (20, 30))
    part = grid.crop(Box(3, 5, 9, 11))
    assert part.transform @ (0, 0) == pytest.approx(grid.transform @ (5, 3))
    assert grid.crop(Box(-2, 4, 30, 8)).shape == (32, 4)
    half = grid.resized((10, 15))
    assert half.transform @ (15, 10) == pytest.approx(grid.transform @ (30, 20))
    assert half.bounds == pytest.approx(grid.bounds)
    corners = np.array([grid.transform @ c for c in ((0, 0), (30, 0), (0, 20), (30, 20))])
    assert grid.bounds == (*corners.min(0), *corners.max(0))


def test_pyproj_crs_keeps_the_horizontal_part():
    assert pyproj_crs(CRS.from_user_input("EPSG:2193+7839")).to_epsg() == 2193


def test_box():
    box = Box(2, 3, 5, 9)
    assert box.shape == (3, 6)
    assert box.clip(Box(0, 0, 2, 9)) is None
    assert box.clip(Box(4, 8, 99, 99)) == Box(4, 8, 5, 9)
    assert np.arange(100).reshape(10, 10)[Box(3, 4, 4, 5).within(Box(0, 0, 10, 10))] == 34
    with pytest.raises(ValueError, match="empty"):
        Box(3, 3, 3, 4)
