"""Label vectors on a grid: borders, touching and nested buildings, classes, ignored ground, and files that mislead."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS

from geoseg.errors import ConfigError, InputError
from geoseg.training.data_spec import LabelledScene
from geoseg.training.labels import open_labels
from geoseg.training.targets import BACKGROUND, BORDER, IGNORE, INTERIOR, BuildingTarget, ClassTarget
from geoseg.values.classes import ClassInfo
from geoseg.values.grid import Grid

GRID = Grid(CRS.from_epsg(32645), Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6), (60, 80))


def box(r0, c0, r1, c1, grid=GRID):
    """The polygon around pixels [r0, r1) x [c0, c1)."""
    return shapely.Polygon([grid.transform @ c for c in ((c0, r0), (c1, r0), (c1, r1), (c0, r1))])


def write(path, shapes, *, crs=32645, **columns):
    gpd.GeoDataFrame(columns, geometry=list(shapes), crs=crs).to_file(path)
    return str(path)


def labels(path, target=None, grid=GRID, **options):
    target = target or BuildingTarget(border_m=0.5)
    raw = open_labels(LabelledScene(scene="scene.tif", labels=path, **options), target, grid)(grid.box)
    return target.labels(raw, gsd_m=grid.mean_resolution_m())


def test_the_border_lies_inside_each_footprint(tmp_path):
    out = labels(write(tmp_path / "a.gpkg", [box(10, 20, 20, 40)]))
    expected = np.zeros((60, 80), np.uint8)
    expected[10:20, 20:40] = BORDER
    expected[11:19, 21:39] = INTERIOR
    np.testing.assert_array_equal(out, expected)
    wide = labels(write(tmp_path / "b.gpkg", [box(10, 20, 20, 40)]), BuildingTarget(border_m=1.5))
    assert (wide[13:17, 23:37] == INTERIOR).all()
    assert (wide[10:20, 20:23] == BORDER).all()
    np.testing.assert_array_equal(wide > 0, expected > 0)


def test_touching_buildings_are_parted_by_border_on_both_sides(tmp_path):
    out = labels(write(tmp_path / "a.gpkg", [box(10, 10, 20, 20), box(10, 20, 20, 30)]))
    assert (out[11:19, 18:22] == [INTERIOR, BORDER, BORDER, INTERIOR]).all()


def test_a_small_building_on_a_large_one_stays_visible_in_any_order(tmp_path):
    shapes = [box(30, 30, 36, 36), box(20, 20, 50, 60)]
    for i in range(2):
        out = labels(write(tmp_path / f"{i}.gpkg", shapes[:: 1 - 2 * i]))
        assert out[33, 33] == INTERIOR
        assert out[30, 33] == out[29, 33] == BORDER


def test_polygons_come_from_any_crs(tmp_path):
    shapes = gpd.GeoSeries([box(10, 20, 20, 40), box(30, 50, 45, 70)], crs=32645)
    out = labels(write(tmp_path / "a.geojson", shapes.to_crs(4326), crs=4326))
    np.testing.assert_array_equal(out, labels(write(tmp_path / "b.gpkg", shapes)))


@pytest.mark.parametrize("suffix", ["parquet", "fgb", "shp", "geojson"])
def test_polygons_come_in_any_format(tmp_path, suffix):
    shapes = gpd.GeoDataFrame(geometry=[box(10, 20, 20, 40), box(30, 50, 45, 70)], crs=32645)
    path = tmp_path / f"a.{suffix}"
    shapes.to_parquet(path) if suffix == "parquet" else shapes.to_file(path)
    np.testing.assert_array_equal(labels(str(path)), labels(write(tmp_path / "b.gpkg", shapes.geometry)))


def test_a_vrt_of_vectors_is_no_raster(tmp_path):
    write(tmp_path / "a.gpkg", [box(10, 20, 20, 40), box(30, 50, 45, 70)])
    (tmp_path / "a.vrt").write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource relativeToVRT="1">a.gpkg</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    np.testing.assert_array_equal(labels(str(tmp_path / "a.vrt")), labels(str(tmp_path / "a.gpkg")))


@pytest.mark.parametrize("transform", [Affine(0.5, 0, 3e5, 0, 0.5, 3.06e6), GRID.transform @ Affine.rotation(30)])
def test_south_up_and_rotated_grids(tmp_path, transform):
    grid = Grid(GRID.crs, transform, GRID.shape)
    out = labels(write(tmp_path / "a.gpkg", [box(10, 20, 20, 40, grid)]), grid=grid)
    np.testing.assert_array_equal(out, labels(write(tmp_path / "b.gpkg", [box(10, 20, 20, 40)])))


def test_ignored_ground_counts_for_nothing(tmp_path):
    void = write(tmp_path / "void.gpkg", [box(0, 0, 15, 80)])
    out = labels(write(tmp_path / "a.gpkg", [box(10, 20, 20, 40)]), ignore=void)
    assert (out[:15] == IGNORE).all()
    assert (out[15:19, 21:39] == INTERIOR).all()


def test_invalid_rings_multipolygons_and_holes_are_drawn_as_seen(tmp_path):
    bow = shapely.Polygon([GRID.transform @ c for c in ((10, 10), (30, 30), (30, 10), (10, 30))])
    ring = box(40, 40, 55, 60).difference(box(44, 44, 50, 56))
    out = labels(write(tmp_path / "a.gpkg", [bow, shapely.MultiPolygon([ring, box(2, 2, 8, 8)])]))
    assert not bow.is_valid
    assert out[20, 12] > 0
    assert out[20, 28] > 0
    assert out[12, 20] == out[28, 20] == BACKGROUND
    assert (out[45:49, 45:55] == BACKGROUND).all()
    assert out[42, 50] > 0
    assert out[5, 5] == INTERIOR


def test_a_file_without_polygons_says_that_nothing_is_there(tmp_path):
    path = tmp_path / "a.gpkg"
    gpd.GeoDataFrame(geometry=gpd.GeoSeries([], dtype="geometry", crs=32645)).to_file(path, geometry_type="Polygon")
    assert not labels(str(path)).any()


def test_polygons_that_miss_the_scene_are_an_error(tmp_path):
    with pytest.raises(InputError, match=r"a.gpkg: no polygon lies on the scene scene.tif; .*right CRS"):
        labels(write(tmp_path / "a.gpkg", [box(1000, 0, 1010, 10)]))
    inside_some = write(tmp_path / "b.gpkg", [box(1000, 0, 1010, 10), box(10, 20, 20, 40)])
    assert labels(inside_some).any()


def test_files_that_are_no_labels(tmp_path):
    lines = write(tmp_path / "lines.gpkg", [shapely.LineString([(3e5, 3.06e6), (3.1e5, 3.06e6)])])
    table = tmp_path / "table.csv"
    table.write_text("a,b\n1,2\n")
    words = tmp_path / "words.gpkg"
    words.write_text("nothing")
    lost = tmp_path / "lost.gpkg"
    gpd.GeoDataFrame(geometry=[box(10, 20, 20, 40)]).to_file(lost)
    for path, message in (
        (lines, "1 LineString found; only polygons count here"),
        (table, "without geometries"),
        (words, "not a vector file"),
        (tmp_path / "none.gpkg", "no such file"),
        (lost, "no CRS; set it"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            labels(str(path))
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no layer 'roofs'; there are a; name one"):
        labels(write(tmp_path / "a.gpkg", [box(10, 20, 20, 40)]), layer="roofs")
    gpd.GeoDataFrame(geometry=[box(30, 20, 40, 40)], crs=32645).to_file(tmp_path / "a.gpkg", layer="roofs")
    with pytest.raises(InputError, match=r"a\.gpkg: holds 2 layers \(a, roofs\); name one"):
        labels(str(tmp_path / "a.gpkg"))
    assert (labels(str(tmp_path / "a.gpkg"), layer="roofs")[31:39, 21:39] == INTERIOR).all()


CLASSES = (ClassInfo(3, "water", (0, 0, 255)), ClassInfo(7, "forest", (0, 90, 0)), ClassInfo(9, "road", (90, 90, 90)))


def target(**changes):
    return ClassTarget(**{"column": "kind", "values": {"lake": 3, "wood": 7}, "classes": CLASSES, **changes})


def test_classes_are_channels_and_the_rest_is_unknown_or_a_class(tmp_path):
    path = write(tmp_path / "a.gpkg", [box(0, 0, 10, 10), box(20, 20, 30, 30)], kind=["lake", "wood"])
    out = labels(path, target())
    assert (out[:10, :10] == 0).all()
    assert (out[20:30, 20:30] == 1).all()
    assert (out == IGNORE).sum() == 60 * 80 - 200
    assert (labels(path, target(elsewhere=9)) == 2).sum() == 60 * 80 - 200


def test_numbers_are_class_names_too(tmp_path):
    path = write(tmp_path / "a.gpkg", [box(0, 0, 10, 10)], kind=[12])
    assert (labels(path, target(values={"12": 7}))[:10, :10] == 1).all()


@pytest.mark.parametrize("column", [[1, 2], [1.0, 2.0], ["1", " 2 "]])
@pytest.mark.parametrize("values", [{"1": 3, "2": 7}, {1: 3, 2: 7}, {1.0: 3, 2.0: 7}])
def test_class_values_may_be_numbers_or_texts(tmp_path, column, values):
    path = write(tmp_path / "a.gpkg", [box(0, 0, 10, 10), box(20, 20, 30, 30)], kind=column)
    out = labels(path, target(values=values))
    assert (out[:10, :10] == 0).all()
    assert (out[20:30, 20:30] == 1).all()


def test_classes_may_be_true_and_false(tmp_path):
    path = write(tmp_path / "a.gpkg", [box(0, 0, 10, 10), box(20, 20, 30, 30)], kind=[True, False])
    for values in ({True: 3, False: 7}, {"True": 3, "False": 7}, {"true": 3, "false": 7}):
        assert [labels(path, target(values=values))[i, i] for i in (5, 25)] == [0, 1]


def test_integers_with_null_are_classes_and_null_is_void(tmp_path, caplog):
    path = write(tmp_path / "a.gpkg", [box(0, 0, 10, 10), box(20, 20, 30, 30)], kind=np.array([1, None], object))
    out = labels(path, target(values={1: 3}, elsewhere=9))
    assert [out[5, 5], out[25, 25], out[40, 40]] == [0, IGNORE, 2]
    assert "a.gpkg: 1 of 2 features have no kind (NULL): void" in caplog.text


def test_colours_of_classes_may_be_written_as_hex():
    classes = [{"id": 3, "name": "water", "color": "#0000FF"}, {"id": 7, "name": "wood", "color": [0, 90, 0]}]
    assert [c.color for c in target(classes=classes).classes] == [(0, 0, 255), (0, 90, 0)]
    with pytest.raises(ValueError, match="color '#12': neither #rrggbb nor"):
        target(classes=[{"id": 3, "name": "water", "color": "#12"}])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"column": "class"}, "no column 'class'; there are kind"),
        ({"values": {"lake": 3}}, r"a.gpkg: kind = wood \(1\), which values do not name"),
    ],
)
def test_classes_that_do_not_fit_the_labels(tmp_path, changes, words):
    path = write(tmp_path / "a.gpkg", [box(0, 0, 10, 10), box(20, 20, 30, 30)], kind=["lake", "wood"])
    with pytest.raises(InputError, match=words):
        labels(path, target(**changes))


def write_raster(path, values, *, grid=GRID, nodata=None, count=1):
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=grid.height, width=grid.width, dtype=values.dtype,
        nodata=nodata, crs=grid.crs, transform=grid.transform,
    ) as dst:  # fmt: skip
        for band in range(1, count + 1):
            dst.write(values, band)
    return str(path)


def test_a_mask_is_buildings_by_what_is_connected(tmp_path):
    mask = np.zeros((60, 80), np.uint8)
    mask[10:20, 10:20] = mask[10:20, 30:40] = 255
    mask[50:, 70:] = 7
    path = write_raster(tmp_path / "mask.tif", mask, nodata=7)
    out = labels(path)
    assert (out[11:19, 11:19] == INTERIOR).all()
    assert (out[10, 10:20] == BORDER).all()
    assert (out[50:, 70:] == IGNORE).all()
    assert (out[40] == BACKGROUND).all()


def test_buildings_of_a_raster_of_their_numbers_are_parted_where_they_touch(tmp_path):
    ids = np.zeros((60, 80), np.uint32)
    ids[10:20, 10:20], ids[10:20, 20:30] = 7, 9
    out = labels(write_raster(tmp_path / "ids.tif", ids))
    assert (out[11:19, 18:22] == [INTERIOR, BORDER, BORDER, INTERIOR]).all()


def test_a_raster_of_class_values_may_lie_on_another_grid(tmp_path):
    fine = GRID.resized((120, 160))
    values = np.full((120, 160), 12, np.int16)
    values[:60] = 40
    values[:, 150:] = -5
    path = write_raster(tmp_path / "classes.tif", values, grid=fine)
    out = labels(path, target(column=None, values={12: 3, 40: 9, -5: None}))
    assert (out[:30, :75] == 2).all()
    assert (out[30:, :75] == 0).all()
    assert (out[:, 75:] == IGNORE).all()
    with pytest.raises(InputError, match=r"classes.tif: value = -5 \(1200\), which values do not name"):
        labels(path, target(column=None, values={12: 3, 40: 9}))


def test_rasters_that_are_no_labels(tmp_path):
    away = Grid(GRID.crs, Affine(0.5, 0, 4e5, 0, -0.5, 3.06e6), GRID.shape)
    ones = np.ones(GRID.shape, np.uint8)
    words = tmp_path / "words.tif"
    words.write_text("nothing")
    for path, message in (
        (write_raster(tmp_path / "away.tif", ones, grid=away), "no pixel lies on the scene scene.tif"),
        (write_raster(tmp_path / "float.tif", ones.astype(np.float32) / 2), "holds 0.5; labels are whole numbers"),
        (write_raster(tmp_path / "two.tif", ones, count=2), "2 bands of uint8; labels are one band"),
        (words, "not a raster that can be read"),
    ):
        with pytest.raises(InputError, match=message):
            labels(str(path))
    with pytest.raises(ConfigError, match=r"target\.column is missing"):
        labels(write(tmp_path / "a.gpkg", [box(10, 20, 20, 40)]), target(column=None))
