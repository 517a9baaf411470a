"""The area of interest: pixel centres inside its polygons, whatever part of the scene is asked about."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from geoseg.errors import InputError
from geoseg.scenes.aoi import Area, read_area
from geoseg.values.box import Box
from geoseg.values.grid import Grid, lonlat

GRID = Grid(CRS.from_epsg(32645), Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6), (120, 200))


def naive(polygon, box):
    rows, cols = np.mgrid[box.row0 : box.row1, box.col0 : box.col1] + 0.5
    return shapely.contains_xy(polygon, cols, rows)


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
    with pytest.raises(InputError, match=r"a\.gpkg: holds 2 layers \(one, two\); name one as"):
        read_area(str(path), GRID)


def test_a_table_whose_geometry_is_a_column_is_an_area_by_its_vrt(tmp_path):
    shape = ground(10, 20, 30, 50)
    (tmp_path / "a.csv").write_text(f'id,WKT\n1,"{shape.wkt}"\n')
    (tmp_path / "a.vrt").write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource relativeToVRT="1">a.csv</SrcDataSource>'
        '<LayerSRS>EPSG:32645</LayerSRS><GeometryField encoding="WKT" field="WKT"/></OGRVRTLayer></OGRVRTDataSource>'
    )
    assert read_area(str(tmp_path / "a.vrt"), GRID).wanted(GRID.box).sum() == 20 * 30


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


FIJI = Grid(CRS.from_epsg(32760), Affine(1000, 0, 7e5, 0, -1000, 8.1e6), (200, 300))  # both sides of the antimeridian
WORLD = shapely.box(-180, -90, 180, 90)


def wanted_in_degrees(path, shapes, grid, crs="EPSG:4326"):
    return read_area(str(write(path, shapes, crs=crs)), grid).wanted(grid.box)


def longitudes(grid):
    rows, cols = np.mgrid[: grid.height, : grid.width] + 0.5
    lon, _ = lonlat(grid.crs, *(grid.transform @ (cols.ravel(), rows.ravel())))
    return lon.reshape(grid.shape) % 360


@pytest.mark.parametrize(
    "grid",
    [
        GRID,
        FIJI,
        Grid(CRS.from_epsg(3413), Affine(1e4, 0, -1e6, 0, -1e4, 1e6), (200, 200)),  # the pole in its middle
        Grid(CRS.from_epsg(4326), Affine(1, 0, -180, 0, -1, 90), (180, 360)),
        Grid(CRS.from_epsg(3857), Affine(2e5, 0, -2e7, 0, -2e5, 2e7), (200, 200)),
    ],
)
def test_the_whole_world_holds_every_scene(tmp_path, grid):
    assert wanted_in_degrees(tmp_path / "world.geojson", [WORLD], grid).all()


@pytest.mark.parametrize(
    "shapes",
    [
        [shapely.box(179.5, -30, 180.5, 0)],
        [shapely.box(-180.5, -30, -179.5, 0)],
        [shapely.box(179.5, -30, 180, 0), shapely.box(-180, -30, -179.5, 0)],
        [shapely.MultiPolygon([shapely.box(539.5, -30, 540, 0), shapely.box(-180, -30, -179.5, 0)])],
    ],
)
def test_an_area_over_the_antimeridian_is_found_however_it_is_written(tmp_path, shapes):
    wanted = wanted_in_degrees(tmp_path / "a.gpkg", shapes, FIJI)
    lon = longitudes(FIJI)
    expected = (lon > 179.5) & (lon < 180.5)
    assert 0 < expected.sum() < expected.size
    assert (wanted != expected).sum() <= 4


def test_an_edge_of_which_the_way_is_open_is_refused_where_it_matters(tmp_path):
    shape = shapely.box(-179.5, -30, 179.5, 60)
    with pytest.raises(InputError, match="more than halfway around the Earth"):
        wanted_in_degrees(tmp_path / "a.gpkg", [shape], FIJI)
    assert wanted_in_degrees(tmp_path / "b.gpkg", [shape], GRID).all()


@pytest.mark.parametrize(
    ("crs", "said"),
    [
        ("EPSG:4326", "meets the scene"),  # metres called degrees
        ("EPSG:32601", "meets the scene|no place"),
        ('LOCAL_CS["site",UNIT["metre",1]]', "leads to no|no place"),
        ("IAU_2015:30100", "leads to no|no place|meets the scene"),  # the Moon
        ("EPSG:4978", "leads to no|no place|meets the scene"),
    ],
)
def test_an_area_in_a_wrong_crs_is_refused_in_one_line(tmp_path, crs, said):
    with pytest.raises(InputError, match=said) as caught:
        wanted_in_degrees(tmp_path / "a.gpkg", [ground(0, 0, 20, 10)], GRID, crs)
    assert "\n" not in str(caught.value)


def test_odd_rings_are_repaired_or_refused(tmp_path):
    bow = shapely.Polygon([(3e5, 3.06e6), (3e5 + 10, 3.06e6 - 10), (3e5 + 10, 3.06e6), (3e5, 3.06e6 - 10)])
    assert wanted_in_degrees(tmp_path / "bow.gpkg", [bow], GRID, "EPSG:32645").sum() == pytest.approx(200, abs=30)
    with pytest.raises(InputError, match="holds no polygons"):
        wanted_in_degrees(tmp_path / "empty.gpkg", [shapely.Polygon()], GRID)
    nan = tmp_path / "nan.csv"
    nan.write_text('id,WKT\n1,"POLYGON((0 0,0 nan,1 1,0 0))"\n')
    with pytest.raises(InputError):
        read_area(str(nan), GRID)
