import numpy as np
import pytest
import shapely
from pyproj import Geod
from rasterio.crs import CRS

from geoseg.errors import InputError
from geoseg.polygons import geodesic_area_m2
from geoseg.polygons.measure import geodesic_measures


def test_areas_in_degrees_equal_pyproj_polygon_by_polygon():
    outer = shapely.box(10, 59.99, 10.02, 60.01)
    courtyard = outer.difference(shapely.box(10.005, 59.995, 10.01, 60.0))
    two = shapely.MultiPolygon([courtyard, shapely.box(11, 60, 11.01, 60.01)])
    shapes = np.array([outer, courtyard, shapely.Polygon(), two], object)
    geod = Geod(ellps="WGS84")
    expected = [abs(geod.geometry_area_perimeter(g)[0]) for g in (outer, courtyard)]
    expected += [0.0, sum(abs(geod.geometry_area_perimeter(shapely.orient_polygons(g))[0]) for g in two.geoms)]
    areas, perimeters = geodesic_measures(shapes, CRS.from_epsg(4326))
    assert areas == pytest.approx(expected, rel=1e-12)
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
