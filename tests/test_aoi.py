"""The area of interest: pixel centres inside its polygons, whatever part of the scene is asked about."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from geoseg.errors import InputError
from geoseg.grid import Box, Grid
from geoseg.io.aoi import Area, read_area

GRID = Grid(CRS.from_epsg(32645), Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6), (120, 200))


def naive(polygon, box):
    rows, cols = np.mgrid[box.row0 : box.row1, box.col0 : box.col1] + 0.5
    return shapely.contains_xy(polygon, cols, rows)


@settings(max_examples=50, deadline=None)
@given(
    points=st.lists(st.tuples(st.floats(-20, 220), st.floats(-20, 140)), min_size=3, max_size=9),
    box=st.tuples(st.integers(0, 119), st.integers(0, 199), st.integers(1, 120), st.integers(1, 200)),
)
def test_any_box_gives_the_centres_inside(points, box):
    polygon = shapely.union_all(shapely.make_valid(shapely.Polygon(points)).buffer(0))
    row0, col0, height, width = box
    part = Box(row0, col0, min(120, row0 + height), min(200, col0 + width))
    np.testing.assert_array_equal(Area(shapely.to_wkb(polygon)).wanted(part), naive(polygon, part))


def write(path, shapes, *, crs="EPSG:32645", layer="area"):
    gpd.GeoDataFrame(geometry=list(shapes), crs=crs).to_file(path, layer=layer)
    return path


def ground(col0, row0, col1, row1):
    """A rectangle of pixels as a polygon in the CRS of the grid."""
    return shapely.box(3e5 + col0 / 2, 3.06e6 - row1 / 2, 3e5 + col1 / 2, 3.06e6 - row0 / 2)


def test_polygons_of_a_layer_are_joined(tmp_path):
    path = write(tmp_path / "a.gpkg", [ground(0, 0, 20, 10), ground(10, 5, 60, 50)], layer="one")
    write(path, [ground(100, 100, 110, 110)], layer="two")
    wanted = read_area(f"{path}:one", GRID).wanted(GRID.box)
    expected = np.zeros(GRID.shape, bool)
    expected[:10, :20] = expected[5:50, 10:60] = True
    np.testing.assert_array_equal(wanted, expected)
    assert read_area(f"{path}:two", GRID).wanted(GRID.box).sum() == 100


def test_another_crs_is_brought_to_the_scene_s(tmp_path):
    shape = gpd.GeoSeries([ground(20, 20, 120, 90)], crs="EPSG:32645").to_crs("EPSG:4326")
    wanted = read_area(str(write(tmp_path / "a.geojson", shape, crs="EPSG:4326")), GRID).wanted(GRID.box)
    expected = np.zeros(GRID.shape, bool)
    expected[20:90, 20:120] = True
    assert (wanted != expected).sum() < 20


def test_what_is_no_area_is_refused_in_one_line(tmp_path):
    for source, said in [
        ("nowhere.gpkg", "no such file"),
        (str(write(tmp_path / "far.gpkg", [ground(1000, 0, 1010, 10)])), "meets the scene"),
        (str(write(tmp_path / "points.gpkg", [shapely.Point(3e5, 3e6)])), "1 Point found; only polygons"),
        (str(write(tmp_path / "plain.gpkg", [ground(0, 0, 9, 9)], crs=None)), "no CRS"),
        (
            f"{write(tmp_path / 'layer.gpkg', [ground(0, 0, 9, 9)])}:other",
            "no layer 'other'; there are area",
        ),
    ]:
        with pytest.raises(InputError, match=said):
            read_area(source, GRID)
