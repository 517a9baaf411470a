"""Footprints from elsewhere, through files: what stays, what is added, and what is refused."""

import dataclasses
import json
import sqlite3
from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.features import rasterize, shapes
from rasterio.transform import Affine
from shapely import affinity

from geoseg import RegularizeOptions, __version__, regularize
from geoseg.cli import main
from geoseg.errors import ConfigError, InputError, OutputError
from geoseg.outputs.geopackage.columns import COLUMNS
from geoseg.scenes import vectors
from geoseg.trust import overlap_area, right_angle_shares
from geoseg.vector.adjacent.overlaps import TRIM_GAP_PX
from geoseg.vector.fit.fit import STATUS
from geoseg.vector.footprints import regularize as module
from geoseg.vector.ground import geodesic_area_m2

UTM, LEFT, TOP = "EPSG:32645", 3e5, 3.06e6
L_SHAPE = shapely.Polygon([(0, 0), (16, 0), (16, 9), (9, 9), (9, 16), (0, 16)])


def town(*, count=5, angle=23.0, gap=8.0):
    """Turned L-shaped houses in rows, metres of UTM."""
    houses = [affinity.translate(L_SHAPE, (16 + gap) * c, (16 + gap) * r) for r in range(count) for c in range(count)]
    return [affinity.translate(affinity.rotate(h, angle, origin=(0, 0)), LEFT, TOP) for h in houses]


def stairs_of(houses, *, pixel_m, crs=UTM):
    """Polygonise the houses as a raster in ``crs`` would be, with square pixels in its units."""
    truth = gpd.GeoSeries(houses, crs=UTM).to_crs(crs)
    x0, y0, x1, y1 = truth.total_bounds
    unit = pixel_m if crs == UTM else pixel_m / 111_000
    transform = Affine(unit, 0, x0 - 3 * unit, 0, -unit, y1 + 3 * unit)
    shape = int((y1 - y0) / unit) + 7, int((x1 - x0) / unit) + 7
    mask = rasterize(truth, out_shape=shape, transform=transform, dtype="uint8")
    found = [shapely.geometry.shape(g) for g, value in shapes(mask, transform=transform) if value]
    return gpd.GeoDataFrame({"DN": range(len(found))}, geometry=found, crs=crs)


def write(path, geometries, *, crs=UTM, **columns):
    gpd.GeoDataFrame(columns, geometry=list(geometries), crs=crs).to_file(path)
    return path


def in_metres(path):
    return gpd.read_file(path).to_crs(UTM)


@pytest.mark.parametrize("raster_crs", [UTM, "EPSG:4326"])
@pytest.mark.parametrize("layer_crs", [UTM, "EPSG:4326", "EPSG:3857"])
def test_staircases_become_houses_with_right_corners_in_any_crs(tmp_path, raster_crs, layer_crs):
    houses = town()
    raw = stairs_of(houses, pixel_m=0.5, crs=raster_crs).to_crs(layer_crs)
    raw.to_file(tmp_path / "raw.gpkg")
    made = regularize(tmp_path / "raw.gpkg", tmp_path / "out.gpkg")
    assert made["pixel_m"] == pytest.approx(0.47 if raster_crs == "EPSG:4326" else 0.5, rel=0.02)
    assert made["status"] == {"ortho": 25}
    out = gpd.read_file(tmp_path / "out.gpkg")
    assert out.crs == raw.crs
    polygons = shapely.get_parts(np.asarray(out.to_crs(UTM).geometry.values))
    assert (shapely.get_num_coordinates(polygons) == 7).all()
    assert right_angle_shares(polygons).min() == 1
    truth = np.array(houses, object)
    nearest = shapely.STRtree(polygons).nearest(truth)
    shared = shapely.area(shapely.intersection(truth, polygons[nearest]))
    assert (shared / shapely.area(shapely.union(truth, polygons[nearest]))).min() > 0.95
    assert out["area_m2"].to_numpy() == pytest.approx(L_SHAPE.area, rel=0.03)
    assert out["perimeter_m"].to_numpy() == pytest.approx(L_SHAPE.length, rel=0.03)
    assert (out["iou_contour"] > 0.93).all()
    assert (out["deviation_m"] < 1).all()


def test_attributes_order_and_crs_stay_and_taken_names_are_not_overwritten(tmp_path):
    houses = town(count=2)
    names = ["d", "c", None, "a"]
    source = write(
        tmp_path / "in.gpkg",
        houses,
        crs=UTM,
        name=names,
        status=["mine"] * 4,
        built=np.array(["2001-02-03", "1999-01-01T12:30", "2020-12-31", "1970-01-01"], "datetime64[ms]"),
        height=[1.5, np.nan, 3.0, 4.0],
    )
    regularize(source, tmp_path / "out.gpkg")
    before, after = gpd.read_file(source), gpd.read_file(tmp_path / "out.gpkg")
    for column in ("name", "status", "built", "height"):
        assert before[column].equals(after[column])
    assert after["fit_status"].tolist() == ["ortho"] * 4
    added = ["fit_status", "direction_deg", "deviation_m", "rms_m", "iou_contour", "area_m2", "perimeter_m", "repaired"]
    assert list(after.columns) == ["name", "status", "built", "height", *added, "geometry"]
    assert shapely.hausdorff_distance(after.geometry.values, before.geometry.values).max() < 0.02  # clean already


def test_invalid_rings_are_repaired_and_counted(tmp_path):
    bow_tie = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    spike = shapely.Polygon([(0, 0), (12, 0), (12, 8), (6, 8), (6, 14), (6, 8), (0, 8)])
    placed = [
        affinity.translate(p, LEFT + 40 * k, TOP) for k, p in enumerate((bow_tie, spike, shapely.box(0, 0, 9, 9)))
    ]
    made = regularize(write(tmp_path / "in.gpkg", placed), tmp_path / "out.gpkg")
    out = gpd.read_file(tmp_path / "out.gpkg")
    assert made["repaired"] == 2
    assert out["repaired"].tolist() == [True, True, False]
    assert out.is_valid.all()
    assert out["area_m2"].to_numpy() == pytest.approx([50, 96, 81], rel=0.01)


def test_features_without_ground_stay_and_several_polygons_stay_one_feature(tmp_path):
    two = shapely.MultiPolygon([shapely.box(0, 0, 20, 10), shapely.box(30, 0, 36, 6)])
    court = shapely.box(0, 0, 20, 20).difference(shapely.box(6, 6, 14, 14))
    line = shapely.Polygon([(0, 0), (5, 5), (0, 0)])
    given = [two, None, shapely.Polygon(), court, line]
    placed = [g and affinity.translate(g, LEFT + 60 * k, TOP) for k, g in enumerate(given)]
    made = regularize(write(tmp_path / "in.gpkg", placed, n=range(5)), tmp_path / "out.gpkg")
    out = gpd.read_file(tmp_path / "out.gpkg")
    assert made["status"] == {"empty": 3, "ortho": 2}
    assert out["n"].tolist() == [0, 1, 2, 3, 4]
    assert out["status"].tolist() == ["ortho", "empty", "empty", "ortho", "empty"]
    assert len(out.geometry[0].geoms) == 2
    assert len(out.geometry[3].geoms[0].interiors) == 1
    assert out.geometry[1] is None
    assert out["deviation_m"].isna().tolist() == [False, True, True, False, True]


def test_heights_stay(tmp_path):
    flat = shapely.force_3d(town(count=1)[0], 12.5)
    x, y = LEFT + 100, TOP
    sloped = shapely.Polygon([(x, y, 1), (x + 10, y, 2), (x + 10, y + 8, 3), (x, y + 8, 4)])
    source = write(tmp_path / "in.gpkg", [flat, sloped, shapely.box(x + 50, y, x + 60, y + 9)])
    regularize(source, tmp_path / "out.gpkg")
    out = gpd.read_file(tmp_path / "out.gpkg").geometry.values
    assert set(shapely.get_coordinates(out[0], include_z=True)[:, 2]) == {12.5}
    found = {tuple(np.round(c)) for c in shapely.get_coordinates(out[1], include_z=True)}
    assert found == {tuple(np.round(c)) for c in shapely.get_coordinates(sloped, include_z=True)}


def test_small_holes_are_filled_and_small_footprints_left_out(tmp_path):
    court = shapely.box(0, 0, 20, 20).difference(shapely.box(9, 9, 11, 11)).difference(shapely.box(2, 2, 6, 6))
    placed = [affinity.translate(g, LEFT, TOP) for g in (court, shapely.box(50, 0, 53, 3), shapely.box(80, 0, 90, 9))]
    source = write(tmp_path / "in.gpkg", placed, n=[0, 1, 2])
    options = RegularizeOptions(min_area_m2=10, min_hole_m2=10)
    made = regularize(source, tmp_path / "out.gpkg", options=options)
    out = gpd.read_file(tmp_path / "out.gpkg")
    assert (made["count"], made["left_out"]) == (2, 1)
    assert out["n"].tolist() == [0, 2]
    assert len(out.geometry[0].geoms[0].interiors) == 1


def overlapping(seed=5):
    """Raw houses so near to each other that their straight walls overlap."""
    rng = np.random.default_rng(seed)
    houses = []
    for k in range(60):
        w, h = rng.uniform(6, 9, 2)
        house = affinity.rotate(shapely.box(0, 0, w, h), rng.uniform(0, 90))
        houses.append(affinity.translate(house, LEFT + 9.5 * (k % 8), TOP + 9.5 * (k // 8)))
    return stairs_of(houses, pixel_m=0.5)


def test_the_least_area_holds_for_what_is_written(tmp_path):
    raw = stairs_of(town(count=2), pixel_m=0.5)
    raw.to_file(tmp_path / "raw.gpkg")
    regularize(tmp_path / "raw.gpkg", tmp_path / "all.gpkg")
    drawn = gpd.read_file(tmp_path / "all.gpkg", layer="raw").area_m2
    given = geodesic_area_m2(raw.geometry.to_numpy(), CRS.from_string(UTM))
    shrunk = int((given - drawn).argmax())
    assert given[shrunk] - drawn[shrunk] > 0.02
    least = float(given[shrunk] + drawn[shrunk]) / 2
    made = regularize(tmp_path / "raw.gpkg", tmp_path / "out.gpkg", options=RegularizeOptions(min_area_m2=least))
    areas = gpd.read_file(tmp_path / "out.gpkg", layer="raw").area_m2
    assert (made["count"], made["count"] + made["left_out"]) == (len(areas), 4)
    assert made["left_out"] > 0
    assert areas.empty or areas.min() >= least


def test_neighbours_do_not_overlap_whatever_is_held_at_once(tmp_path, monkeypatch):
    overlapping().to_file(tmp_path / "in.gpkg")
    options = RegularizeOptions(pixel_m=0.5, tolerance_m=4)
    regularize(tmp_path / "in.gpkg", tmp_path / "a.gpkg", options=options)
    out = in_metres(tmp_path / "a.gpkg")
    assert out.is_valid.all()
    assert overlap_area(np.asarray(out.geometry.values)) == 0
    monkeypatch.setattr(vectors, "BATCH_ROWS", 7)
    monkeypatch.setattr(module, "SETTLED_AT_ONCE", 3)
    regularize(tmp_path / "in.gpkg", tmp_path / "a2.gpkg", options=options)
    again = in_metres(tmp_path / "a2.gpkg")
    assert out.equals(again)
    assert shapely.equals_exact(out.geometry.values, again.geometry.values).all()
    monkeypatch.undo()
    regularize(tmp_path / "in.gpkg", tmp_path / "a2.gpkg", options=options, overwrite=True)
    assert (tmp_path / "a2.gpkg").read_bytes() == (tmp_path / "a.gpkg").read_bytes()
    alone, _ = module.fit_polygons(np.asarray(in_metres(tmp_path / "in.gpkg").geometry.values), _rules_used())
    assert overlap_area(alone) > TRIM_GAP_PX  # the settling did something


def _rules_used():
    return module.VectorRules(pixel_m=0.5, tolerance_m=4, steps=module.find_steps(np.array(overlapping().geometry)))


@pytest.mark.parametrize("suffix", [".geojson", ".fgb", ".shz", ".gpkg"])
def test_formats_in_and_out(tmp_path, suffix):
    source = write(tmp_path / "in.geojson", town(count=2), n=[3, 1, 2, 0])
    regularize(source, tmp_path / f"out{suffix}")
    again = regularize(tmp_path / f"out{suffix}", tmp_path / "twice.gpkg")
    assert again["status"] == {"ortho": 4}
    assert sorted(gpd.read_file(tmp_path / "twice.gpkg")["n"]) == [0, 1, 2, 3]
    with sqlite3.connect(tmp_path / "twice.gpkg") as db:
        names = dict(db.execute("SELECT column_name, name FROM gpkg_data_columns"))
    assert names["fit_status"] == ("Shape_1" if suffix == ".gpkg" else "Shape")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_zipped_shapefile_and_an_empty_layer(tmp_path):
    town_file = tmp_path / "town.shp.zip"
    gpd.GeoDataFrame({"year": [1988]}, geometry=town(count=1), crs=UTM).to_file(town_file, driver="ESRI Shapefile")
    assert regularize(town_file, tmp_path / "a.gpkg")["count"] == 1
    nothing = gpd.GeoDataFrame({"n": np.empty(0, int)}, geometry=[], crs=UTM)
    nothing.to_file(tmp_path / "none.gpkg", geometry_type="Polygon")
    made = regularize(tmp_path / "none.gpkg", tmp_path / "b.gpkg")
    assert (made["count"], made["status"], made["area_m2"]) == (0, {}, 0)
    assert pyogrio.read_info(tmp_path / "b.gpkg")["crs"] == UTM


def test_a_geopackage_tells_where_it_comes_from_and_not_when(tmp_path):
    source = write(tmp_path / "in.gpkg", town(count=1))
    regularize(source, tmp_path / "out.gpkg")
    with sqlite3.connect(tmp_path / "out.gpkg") as db:
        (text,) = db.execute("SELECT metadata FROM gpkg_metadata").fetchone()
        (changed,) = db.execute("SELECT last_change FROM gpkg_contents").fetchone()
        comments = dict(db.execute("SELECT column_name, description FROM gpkg_data_columns"))
    assert json.loads(text) == {
        "software": "geoseg",
        "version": __version__,
        "input": ["in.gpkg"],
        **{k: v for k, v in dataclasses.asdict(RegularizeOptions()).items() if k != "vector_format"},
    }
    assert changed.startswith("1970")
    assert set(comments) == {*COLUMNS}
    assert all(comments.values())


def test_features_without_ground_are_written_and_not_indexed(tmp_path):
    houses = [town(count=1)[0], None, shapely.Polygon(), shapely.MultiPolygon(), town(count=2)[3]]
    frame = gpd.GeoDataFrame({"n": range(5)}, geometry=houses, crs=UTM)
    frame.to_file(tmp_path / "in.gpkg", layer='a "b')
    assert regularize(tmp_path / "in.gpkg", tmp_path / "out.gpkg")["count"] == 5
    with sqlite3.connect(tmp_path / "out.gpkg") as db:
        assert db.execute('SELECT count(*) FROM "a ""b"').fetchone() == (5,)
        assert db.execute('SELECT count(*) FROM "rtree_a ""b_geom"').fetchone() == (2,)


def test_a_geopackage_is_coloured_by_status_and_an_old_qgis_does_not_warn(tmp_path):
    write(tmp_path / "raw.gpkg", town(), status=["given"] * 25)
    regularize(tmp_path / "raw.gpkg", tmp_path / "out.gpkg")
    with sqlite3.connect(tmp_path / "out.gpkg") as db:
        ((layer, default, qml, sld),) = db.execute(
            "SELECT f_table_name, useAsDefault, styleQML, styleSLD FROM layer_styles"
        )
        assert db.execute("PRAGMA user_version").fetchone() == (10300,)
    assert (layer, default) == ("raw", 1)
    renderer = ET.fromstring(qml).find("renderer-v2")
    assert renderer.get("attr") == "fit_status"
    assert {(c.get("value"), c.get("type")) for c in renderer.iter("category")} == {(s, "string") for s in STATUS}
    assert "<ogc:Literal>ortho</ogc:Literal>" in sld
    assert 'name="Shape"' in qml
    assert vectors.open_vectors(tmp_path / "out.gpkg").name == "raw"  # styles are no layer


def test_a_semicolon_in_the_name_of_an_output(tmp_path):
    source = write(tmp_path / "raw.gpkg", town(count=1))
    for suffix in (".gpkg", ".fgb"):
        assert regularize(source, tmp_path / f"a;b{suffix}")["count"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a;b.fgb", "a;b.gpkg", "a;b.qml", "raw.gpkg"]


def test_what_is_refused(tmp_path, capsys):
    points = write(tmp_path / "points.gpkg", [shapely.Point(LEFT, TOP)])
    unplaced = tmp_path / "unplaced.gpkg"
    gpd.GeoDataFrame(geometry=town(count=1)).to_file(unplaced)
    several = write(tmp_path / "several.gpkg", town(count=1))
    gpd.GeoDataFrame(geometry=town(count=1), crs=UTM).to_file(several, layer="second")
    lost = write(tmp_path / "lost.gpkg", [shapely.box(1e9, 1e9, 1e9 + 9, 1e9 + 9)])
    out = tmp_path / "out.gpkg"
    for source, error, told in [
        (points, InputError, "1 Point found; only polygons"),
        (unplaced, InputError, "no CRS"),
        (lost, InputError, "no place on Earth"),
        (tmp_path / "gone.gpkg", InputError, "no such file"),
        (several, InputError, r"holds 2 layers \(several, second\); name one as .*gpkg\|layername=several"),
    ]:
        with pytest.raises(error, match=told):
            regularize(source, out)
        assert not out.exists()
    assert regularize(several, out, layer="second")["count"] == 1
    with pytest.raises(OutputError, match="--overwrite"):
        regularize(several, out, layer="second")
    with pytest.raises(OutputError, match="cannot be written to"):
        regularize(several, tmp_path / "gone" / "out.gpkg", layer="second")
    with pytest.raises(ConfigError, match=r"cannot write \.kml; choose \.gpkg"):
        regularize(several, tmp_path / "out.kml", layer="second")
    for wrong in ({"pixel_m": 0}, {"tolerance_m": -1}, {"min_area_m2": float("nan")}):
        with pytest.raises(ConfigError, match=r"choose 0\.01 to 100|at least 0 is needed"):
            RegularizeOptions(**wrong)


def geojson(path, values_by_feature, geometries=None):
    shapes = geometries or [shapely.box(9 + k / 1e3, 48, 9.0004 + k / 1e3, 48.0002) for k in range(3)]
    features = [
        {"type": "Feature", "properties": values, "geometry": shapely.geometry.mapping(shape)}
        for values, shape in zip(values_by_feature, shapes, strict=True)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.mark.parametrize("values", [["a", "b", "c"], [1, 1, 2], [1, None, 2]])
@pytest.mark.parametrize("name", ["fid", "FID", "geom", "GEOM", "geometry", "wkb_geometry"])
def test_attributes_may_have_the_names_of_the_formats_own_columns(tmp_path, name, values):
    source = geojson(tmp_path / "in.geojson", [{name: value} for value in values])
    for suffix in (".gpkg", ".geojson", ".shz"):
        out = tmp_path / f"out{suffix}"
        assert regularize(source, out)["count"] == 3
        meta, _, _, columns = pyogrio.raw.read(out, layer="in" if suffix == ".gpkg" else None)
        by_name = dict(zip(meta["fields"], columns, strict=True))
        found = by_name[name if name in by_name else name[:10]].tolist()
        assert [None if isinstance(v, float) and np.isnan(v) else v for v in found] == values, suffix


def test_a_collection_of_polygons_is_a_feature_of_several(tmp_path):
    one, other = shapely.box(9, 48, 9.0004, 48.0002), shapely.box(9.001, 48, 9.0014, 48.0002)
    both = shapely.GeometryCollection([one, shapely.MultiPolygon([other])])
    made = regularize(geojson(tmp_path / "in.geojson", [{}], [both]), tmp_path / "out.gpkg")
    assert made["count"] == 1
    (found,) = gpd.read_file(tmp_path / "out.gpkg", layer="in").geometry
    assert shapely.get_num_geometries(found) == 2
    mixed = shapely.GeometryCollection([one, shapely.Point(9, 48)])
    with pytest.raises(InputError, match="1 Point found; only polygons count"):
        regularize(geojson(tmp_path / "mixed.geojson", [{}], [mixed]), tmp_path / "out2.gpkg")


def test_curves_are_refused_with_the_way_to_polygons(tmp_path):
    curve = "CURVEPOLYGON (CIRCULARSTRING (0 0, 4 0, 4 4, 0 4, 0 0))"
    source = tmp_path / "in.csv"
    source.write_text(f'id,WKT\n1,"{curve}"\n')
    source.with_suffix(".vrt").write_text(
        f"<OGRVRTDataSource><OGRVRTLayer name='in'><SrcDataSource>{source}</SrcDataSource>"
        "<LayerSRS>EPSG:32633</LayerSRS><GeometryType>wkbCurvePolygon</GeometryType>"
        "<GeometryField encoding='WKT' field='WKT'/></OGRVRTLayer></OGRVRTDataSource>"
    )
    with pytest.raises(InputError, match="CONVERT_TO_LINEAR"):
        regularize(source.with_suffix(".vrt"), tmp_path / "out.gpkg")


def test_the_verb(tmp_path, capsys):
    houses = [*town(count=2), shapely.Polygon([(LEFT + 200, TOP), (LEFT + 210, TOP + 10), (LEFT + 210, TOP), (LEFT + 200, TOP + 10)])]  # fmt: skip  # noqa: E501
    source, out = write(tmp_path / "in.gpkg", houses), tmp_path / "out.gpkg"
    assert main(["regularize", str(source), "-o", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("5 footprints, 0.09 ha: ")
    assert "1 repaired" in said
    assert main(["regularize", str(source), "-o", str(out)]) == 5
    assert main(["regularize", str(source), "-o", str(out), "--overwrite", "--pixel-m", "-3"]) == 2
    assert main(["regularize", str(tmp_path / "gone"), "-o", str(out), "--overwrite"]) == 3
    assert len(capsys.readouterr().err.splitlines()) == 3
    assert main(["regularize", str(source), "-o", str(out), "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 5


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
def test_row_houses_share_their_walls_and_houses_apart_do_not_notice(tmp_path, crs):
    rows = [shapely.box(7 * i, -30, 7 * i + 7, depth - 30) for i, depth in enumerate((12, 14, 12, 9))]
    rows = [affinity.translate(affinity.rotate(r, 23, origin=(0, 0)), LEFT, TOP) for r in rows]
    apart = gpd.GeoSeries(town(count=2), crs=UTM).to_crs(crs)
    both = [*gpd.GeoSeries(rows, crs=UTM).to_crs(crs), *apart]
    made = regularize(write(tmp_path / "in.gpkg", both, crs=crs), tmp_path / "out.gpkg")
    assert made["status"] == {"ortho": len(both)}
    out = shapely.get_parts(np.asarray(gpd.read_file(tmp_path / "out.gpkg").geometry.values))
    assert shapely.coverage_is_valid(out[:4])  # in the coordinates of the file
    union = shapely.coverage_union_all(out[:4])
    assert (union.geom_type, len(union.interiors)) == ("Polygon", 0)
    assert shapely.hausdorff_distance(in_metres(tmp_path / "out.gpkg").geometry.values[:4], rows).max() < 0.1
    regularize(write(tmp_path / "apart.gpkg", apart, crs=crs), tmp_path / "alone.gpkg")
    alone = shapely.get_parts(np.asarray(gpd.read_file(tmp_path / "alone.gpkg").geometry.values))
    assert shapely.to_wkb(out[4:]).tolist() == shapely.to_wkb(alone).tolist()
