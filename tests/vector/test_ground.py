import numpy as np
import pytest
import shapely
from pyproj import Geod, Proj
from rasterio.crs import CRS

from geoseg.errors import InputError
from geoseg.values.grid import lonlat, pyproj_crs
from geoseg.vector.ground import NEAR_M, SHORT_EDGE_M, LocalMetres, geodesic_area_m2, geodesic_measures, ring_areas_m2

WGS84 = CRS.from_epsg(4326)


def rings_around(lon, lat, radius_m: float, *, corners: int = 7, ellipsoid: str = "WGS84") -> np.ndarray:
    """Irregular rings of so many corners about places, (N, corners + 1, 2) degrees."""
    rng = np.random.default_rng(1)
    turns = np.sort(rng.uniform(0, 360, (len(lon), corners)), axis=1)
    away = radius_m * rng.uniform(0.4, 1, turns.shape)
    around = Geod(ellps=ellipsoid).fwd(*np.broadcast_arrays(lon[:, None], lat[:, None], turns, away))[:2]
    xy = np.stack(around, axis=-1)
    return np.concatenate([xy, xy[:, :1]], axis=1)


def measured_by_pyproj(rings: np.ndarray, ellipsoid: str = "WGS84") -> np.ndarray:
    geod = Geod(ellps=ellipsoid)
    return np.abs([geod.polygon_area_perimeter(*ring.T) for ring in rings]).T


def measured(rings: np.ndarray, crs: CRS = WGS84, **how) -> np.ndarray:
    ends = np.arange(len(rings) + 1) * rings.shape[1]
    return np.array(ring_areas_m2(rings.reshape(-1, 2), ends, crs, **how))


def as_polygons(rings: np.ndarray, crs: CRS = WGS84) -> np.ndarray:
    return np.array(geodesic_measures(shapely.polygons(rings), crs))


def places() -> tuple[np.ndarray, np.ndarray]:
    """Places all over the Earth, some on the antimeridian and at the poles."""
    rng = np.random.default_rng(2)
    lon, lat = rng.uniform(-180, 180, 300), np.degrees(np.arcsin(rng.uniform(-1, 1, 300)))
    lon[:3], lat[3:5], lat[5] = (180, -180, 179.9999), (90, -90), 89.999
    return lon, lat


@pytest.mark.parametrize("radius_m", [SHORT_EDGE_M / 3, SHORT_EDGE_M / 2, 10_000.0, 2 * NEAR_M])
def test_rings_anywhere_on_earth_are_measured_as_by_pyproj(radius_m):
    rings = rings_around(*places(), radius_m)
    (area, perimeter), (their_area, their_perimeter) = as_polygons(rings), measured_by_pyproj(rings)
    assert area == pytest.approx(their_area, rel=1e-7, abs=0.05)  # pyproj's own are 0.03 m² off around the poles
    assert perimeter == pytest.approx(their_perimeter, rel=1e-8)
    assert measured(rings).tolist() == area.tolist()


@pytest.mark.parametrize("radius_m", [3.0, 30.0, 100.0])
def test_small_rings_are_measured_as_in_an_equal_area_projection_about_them(radius_m):
    lon, lat = np.transpose([place for place in zip(*places(), strict=True) if abs(place[1]) < 90])  # PROJ is off there
    rings = rings_around(lon, lat, radius_m)
    planes = [Proj(proj="laea", lon_0=x, lat_0=y, ellps="WGS84") for x, y in zip(lon, lat, strict=True)]
    flat = [np.column_stack(plane(*ring.T)) for plane, ring in zip(planes, rings, strict=True)]
    areas = [shapely.Polygon(ring).area for ring in flat]
    assert measured(rings) == pytest.approx(areas, rel=1e-7, abs=1e-8 * radius_m**2)  # some are slivers


@pytest.mark.parametrize(("epsg", "ellipsoid"), [(4267, "clrk66"), (4326, "WGS84"), (4047, "sphere")])
def test_every_ellipsoid_is_its_own(epsg, ellipsoid):
    if ellipsoid == "sphere":
        geod = {"a": 6371007.0, "b": 6371007.0}
        crs = CRS.from_string("+proj=longlat +R=6371007 +no_defs")
    else:
        geod, crs = {"ellps": ellipsoid}, CRS.from_epsg(epsg)
    rings = rings_around(np.linspace(-100, 100, 50), np.linspace(-70, 70, 50), 2000.0)
    expected = np.abs([Geod(**geod).polygon_area_perimeter(*ring.T) for ring in rings]).T
    assert as_polygons(rings, crs) == pytest.approx(expected, rel=1e-8)


def test_long_edges_cut_to_pieces_follow_the_projection():
    utm = CRS.from_epsg(32633)
    boxes = np.array([shapely.box(3e5, 5.2e6, 4e5, 5.3e6), shapely.box(6e5, 6e6, 600_500, 6_000_500)])
    rings = np.stack([shapely.get_coordinates(box) for box in boxes])
    dense = [shapely.get_coordinates(shapely.segmentize(box, 1000)) for box in boxes]
    ends = np.cumsum([0, *map(len, dense)])
    expected = ring_areas_m2(np.concatenate(dense), ends, utm)
    assert measured(rings, utm, longest_edge=1000) == pytest.approx(expected, rel=1e-12)
    assert abs(measured(rings, utm)[0] / expected[0] - 1) > 1e-5  # geodesics over 100 km bend away
    whole = measured(rings, utm)
    assert (measured(rings[::-1], utm)[::-1] == whole).all()  # whatever stands beside a ring


def test_areas_in_degrees_equal_pyproj_polygon_by_polygon():
    outer = shapely.box(10, 59.99, 10.02, 60.01)
    courtyard = outer.difference(shapely.box(10.005, 59.995, 10.01, 60.0))
    two = shapely.MultiPolygon([courtyard, shapely.box(11, 60, 11.01, 60.01)])
    shapes = np.array([outer, courtyard, shapely.Polygon(), two], object)
    geod = Geod(ellps="WGS84")
    expected = [abs(geod.geometry_area_perimeter(g)[0]) for g in (outer, courtyard)]
    expected += [0.0, sum(abs(geod.geometry_area_perimeter(shapely.orient_polygons(g))[0]) for g in two.geoms)]
    areas, perimeters = geodesic_measures(shapes, CRS.from_epsg(4326))
    assert areas == pytest.approx(expected, rel=1e-10)
    assert perimeters[:2] == pytest.approx([geod.geometry_length(g.boundary) for g in (outer, courtyard)])
    assert perimeters[2] == 0
    assert geodesic_area_m2(shapes, CRS.from_epsg(4326)).tolist() == areas.tolist()


def test_web_mercator_and_utm_agree_on_one_building():
    from pyproj import Transformer

    degrees = np.array([shapely.box(14.9995, 48.7, 15.0, 48.7002)], object)
    exact = geodesic_area_m2(degrees, CRS.from_epsg(4326))[0]
    for epsg, planar_ratio in ((3857, 2.29), (32633, 0.9992)):
        project = Transformer.from_crs(4326, epsg, always_xy=True)
        moved = shapely.transform(degrees, lambda xy, p=project: np.column_stack(p.transform(xy[:, 0], xy[:, 1])))
        assert geodesic_area_m2(moved, CRS.from_epsg(epsg))[0] == pytest.approx(exact, rel=1e-7)
        assert moved[0].area / exact == pytest.approx(planar_ratio, rel=2e-3)


def test_no_polygons_have_no_areas_and_polygons_off_the_earth_are_refused():
    assert geodesic_area_m2(np.empty(0, object), CRS.from_epsg(4326)).tolist() == []
    with pytest.raises(InputError, match="leave the area"):
        geodesic_area_m2(np.array([shapely.box(1e12, 0, 2e12, 1)], object), CRS.from_epsg(3035))


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
