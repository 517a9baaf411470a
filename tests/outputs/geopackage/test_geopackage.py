import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pyogrio
import pytest
import shapely
from affine import Affine
from conftest import largest_file
from make_outputs import CLASSES, GRID, PROVENANCE, houses
from pyproj import Geod
from rasterio.crs import CRS

from geoseg.disk.files import PAUSES_S
from geoseg.errors import InputError, OutputError
from geoseg.jobs.build import publish
from geoseg.jobs.folder import JobFolder
from geoseg.outputs.geopackage import side_files, writer
from geoseg.outputs.geopackage.footprints import buildings_batch, write_buildings
from geoseg.outputs.geopackage.side_files import refuse_if_in_use
from geoseg.values.classes import ClassInfo, ClassMap
from geoseg.values.grid import Grid
from geoseg.vector import FootprintRules, extract_footprints
from geoseg.vector.footprints.extract import Footprints

BUILDING = CLASSES.by_name("building")


def write(path: Path, found: Footprints, crs: CRS = GRID.crs, *, rows: int = 1000) -> np.ndarray:
    """Write ``found`` in batches of ``rows`` and return the areas."""
    made = buildings_batch(found, crs=crs, target=BUILDING)
    batches = (made.slice(start, rows) for start in range(0, len(made), rows))
    count, area_m2 = write_buildings(
        path, batches, fitted=False, crs=crs, target=BUILDING, classes=CLASSES, provenance=PROVENANCE
    )
    areas = np.asarray(made.column("area_m2"))
    assert (count, area_m2) == (len(found), pytest.approx(areas.sum()))
    return areas


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gpkg") / "buildings.gpkg"
    write(path, houses(GRID, 30))
    return path


def test_features_come_back_as_they_were_given(package: Path) -> None:
    given = houses(GRID, 30)
    read = pyogrio.read_dataframe(package, layer="buildings")
    assert list(read.columns) == ["class_id", "class_name", "area_m2", "perimeter_m", "confidence", "geometry"]
    assert read["class_id"].dtype == np.int16
    assert read["confidence"].dtype == np.float32
    assert set(read["class_id"]) == {4}
    assert set(read["class_name"]) == {"building"}
    assert read.crs.to_epsg() == 32633
    assert all(shapely.equals(read.geometry.to_numpy(), given.geometries))
    np.testing.assert_array_equal(read["confidence"], given.mean_probability.astype(np.float32))


def test_geometries_are_multipolygons_with_counter_clockwise_shells(tmp_path: Path) -> None:
    clockwise = shapely.reverse(shapely.orient_polygons(houses(GRID, 6).geometries))
    clockwise[2] = shapely.MultiPolygon([clockwise[2], shapely.box(0, 0, 9, 9)])
    write(tmp_path / "b.gpkg", Footprints(clockwise, np.full(6, 0.5), np.ones(6, np.int64)))
    read = pyogrio.read_dataframe(tmp_path / "b.gpkg", layer="buildings").geometry.to_numpy()
    assert set(shapely.get_type_id(read)) == {shapely.GeometryType.MULTIPOLYGON}
    assert shapely.get_num_geometries(read[2]) == 2
    assert shapely.is_ccw(shapely.get_exterior_ring(shapely.get_parts(read))).all()
    assert query(tmp_path / "b.gpkg", "SELECT geometry_type_name FROM gpkg_geometry_columns") == [("MULTIPOLYGON",)]


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32633", Affine(0.5, 0, 200_000, 0, -0.5, 5_400_000)),
        ("EPSG:3857", Affine(0.5, 0, 1_113_194, 0, -0.5, 6_446_275)),
        ("EPSG:4326", Affine(5e-6, 0, 10, 0, -5e-6, 50)),
        ("EPSG:2263", Affine(1.6, 0, 1e6, 0, -1.6, 2e5)),
    ],
)
def test_areas_are_true_square_metres_in_any_crs(tmp_path: Path, crs: str, transform: Affine) -> None:
    found = houses(Grid(CRS.from_string(crs), transform, GRID.shape), 5)
    areas = write(tmp_path / "b.gpkg", found, CRS.from_string(crs))
    read = pyogrio.read_dataframe(tmp_path / "b.gpkg", layer="buildings")
    np.testing.assert_array_equal(read["area_m2"], areas)
    ellipsoid = "GRS80" if crs == "EPSG:2263" else "WGS84"
    lonlat = read.geometry.to_crs(read.crs.geodetic_crs)
    expected = [abs(Geod(ellps=ellipsoid).geometry_area_perimeter(g)[0]) for g in lonlat]
    np.testing.assert_allclose(areas, expected, rtol=1e-6)  # 1e-7 is where the ring starts


def test_format_is_version_1_3_with_a_rollback_journal(package: Path) -> None:
    header = package.read_bytes()[:100]
    assert header[68:72] == b"GPKG"
    assert int.from_bytes(header[60:64]) == 10300
    assert header[18:20] == b"\1\1"  # not write-ahead logging
    assert query(package, "PRAGMA integrity_check") == [("ok",)]
    assert query(package, "PRAGMA foreign_key_check") == []
    columns = query(package, "SELECT name FROM pragma_table_info('buildings')")
    assert [c for (c,) in columns] == ["fid", "geom", "class_id", "class_name", "area_m2", "perimeter_m", "confidence"]
    assert query(package, "SELECT count(*) FROM rtree_buildings_geom") == [(30,)]
    assert [p.name for p in package.parent.iterdir()] == ["buildings.gpkg"]


def test_style_domain_aliases_title_and_provenance(package: Path) -> None:
    sql = "SELECT f_table_name, f_geometry_column, useAsDefault, styleQML, styleSLD FROM layer_styles"
    ((table, column, default, qml, sld),) = query(package, sql)
    assert (table, column, default) == ("buildings", "geom", 1)
    (category,) = ET.fromstring(qml).iter("category")
    assert (category.get("value"), category.get("label")) == ("4", "building")
    assert ET.fromstring(qml).find("renderer-v2").get("attr") == "class_id"
    assert "#c83c28" in sld
    assert ET.fromstring(sld).get("version") == "1.1.0"
    domain = dict(query(package, "SELECT value, description FROM gpkg_data_column_constraints"))
    assert domain == {str(c.id): c.name for c in CLASSES}
    aliases = dict(query(package, "SELECT column_name, name FROM gpkg_data_columns"))
    assert aliases["area_m2"] == "Area [m²]"
    assert set(aliases) == {"class_id", "class_name", "area_m2", "perimeter_m", "confidence"}
    comments = dict(query(package, "SELECT column_name, description FROM gpkg_data_columns"))
    assert "geodesic" in comments["area_m2"].lower()
    assert all(comments[name] for name in ("class_id", "class_name", "perimeter_m", "confidence"))
    contents = query(package, "SELECT identifier, description FROM gpkg_contents WHERE data_type = 'features'")
    assert contents[0][0] == "Building polygons"
    assert contents[0][1]
    ((text,),) = query(package, "SELECT metadata FROM gpkg_metadata")
    assert json.loads(text) == PROVENANCE
    registered = query(package, "SELECT data_type FROM gpkg_contents WHERE table_name = 'layer_styles'")
    assert registered == [("attributes",)]


def test_equal_jobs_give_equal_bytes_and_the_clock_is_given_back(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "buildings.gpkg", houses(GRID, 30))
    assert (tmp_path / "a/buildings.gpkg").read_bytes() == (tmp_path / "b/buildings.gpkg").read_bytes()
    times = query(tmp_path / "a/buildings.gpkg", "SELECT DISTINCT last_change FROM gpkg_contents")
    assert times == [(writer.FIXED_TIME,)]
    assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") is None


def test_batches_change_nothing(package: Path, tmp_path: Path) -> None:
    write(tmp_path / "b.gpkg", houses(GRID, 30), rows=7)
    one, many = (p.read_bytes() for p in (package, tmp_path / "b.gpkg"))
    assert one == many


@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("error", [InputError("the file is damaged"), KeyboardInterrupt()])
def test_what_the_batches_raise_is_told_as_it_is_and_leaves_no_file(
    tmp_path: Path, before: int, error: BaseException
) -> None:
    rows = buildings_batch(houses(GRID, 3), crs=GRID.crs, target=BUILDING)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from [rows] * before
        raise error

    with pytest.raises(type(error), match=str(error)):
        write_buildings(
            tmp_path / "b.gpkg",
            batches(),
            fitted="status" in rows.schema.names,
            crs=GRID.crs,
            target=BUILDING,
            classes=CLASSES,
            provenance=PROVENANCE,
        )
    assert list(tmp_path.glob("b.gpkg*")) == []


def test_no_polygons_give_an_empty_layer_that_is_styled(tmp_path: Path) -> None:
    areas = write(tmp_path / "b.gpkg", houses(GRID, 0))
    assert areas.shape == (0,)
    read = pyogrio.read_dataframe(tmp_path / "b.gpkg", layer="buildings")
    assert len(read) == 0
    assert list(read.columns) == ["class_id", "class_name", "area_m2", "perimeter_m", "confidence", "geometry"]
    assert read.crs.to_epsg() == 32633
    assert query(tmp_path / "b.gpkg", "SELECT count(*) FROM layer_styles") == [(1,)]


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_file_that_is_open_elsewhere_is_refused_and_untouched(
    package: Path, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(side_files.time, "sleep", waited.append)
    path = tmp_path / "buildings.gpkg"
    path.write_bytes(package.read_bytes())
    Path(f"{path}{suffix}").write_bytes(b"")
    for attempt in (lambda: write(path, houses(GRID, 3)), lambda: refuse_if_in_use(path)):
        with pytest.raises(OutputError, match=f"buildings.gpkg{suffix}.*[Cc]lose") as error:
            attempt()
        assert error.value.exit_code == 5
    assert path.read_bytes() == package.read_bytes()
    assert sum(waited) == pytest.approx(2 * sum(PAUSES_S))


def test_a_file_that_is_closed_soon_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "buildings.gpkg"
    Path(f"{path}-wal").write_bytes(b"")
    monkeypatch.setattr(side_files.time, "sleep", lambda _: Path(f"{path}-wal").unlink())
    assert len(write(path, houses(GRID, 3))) == 3


def test_finished_run_does_not_replace_a_file_that_is_open_elsewhere(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_files.time, "sleep", lambda _: None)
    built, out = tmp_path / "built", tmp_path / "out"
    for folder in (built, out):
        folder.mkdir()
        (folder / "buildings.gpkg").write_bytes(package.read_bytes())
    (out / "run.json").write_text("{}")
    (out / "buildings.gpkg-wal").write_bytes(b"")
    with pytest.raises(OutputError, match=r"buildings\.gpkg-wal"):
        publish(JobFolder(out / ".job"), built, {})
    assert sorted(p.name for p in out.iterdir()) == ["buildings.gpkg", "buildings.gpkg-wal", "run.json"]


def test_full_disk_keeps_the_old_file(package: Path, tmp_path: Path) -> None:
    path = tmp_path / "buildings.gpkg"
    path.write_bytes(package.read_bytes())
    with largest_file(60_000), pytest.raises(OutputError, match=r"buildings\.gpkg"):
        write(path, houses(GRID, 300))
    assert path.read_bytes() == package.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["buildings.gpkg"]


def test_what_reads_back_short_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe = writer.describe

    def lose_one(db: sqlite3.Connection, of: writer.PolygonLayer) -> None:
        describe(db, of)
        db.execute("DELETE FROM rtree_buildings_geom WHERE id = 3")

    monkeypatch.setattr(writer, "describe", lose_one)
    with pytest.raises(OutputError, match="30 rows, 29 of them indexed, instead of 30"):
        write(tmp_path / "b.gpkg", houses(GRID, 30))
    assert list(tmp_path.iterdir()) == []


def test_fitted_polygons_tell_how_they_came_about(tmp_path: Path) -> None:
    probability = np.full((60, 80), 1, np.uint8)
    probability[10:40, 20:60] = 255
    grid = Grid(CRS.from_epsg(32633), Affine(0.5, 0, 5e5, 0, -0.5, 5e6), probability.shape)
    house = ClassInfo(2, "building", (200, 66, 46))
    source = {"software": "geoseg", "version": "0", "model": None, "input": []}
    for method, fitted in (("regular", True), ("contour", False)):
        path = tmp_path / f"{method}.gpkg"
        found = extract_footprints(probability, grid, FootprintRules(method=method))
        rows = [buildings_batch(found, crs=grid.crs, target=house)]
        table = ClassMap((house,))
        write_buildings(path, rows, fitted=fitted, crs=grid.crs, target=house, classes=table, provenance=source)
        row = pyogrio.read_dataframe(path, layer="buildings").iloc[0]
        assert ("status" in row) == fitted
        aliases = dict(query(path, "SELECT column_name, name FROM gpkg_data_columns"))
        assert aliases.get("deviation_m") == ("Deviation [m]" if fitted else None)
        assert row.perimeter_m == pytest.approx(70, abs=0.5)
        if fitted:
            assert row.status == "ortho"
            assert min(row.direction_deg, 90 - row.direction_deg) < 0.1  # 0 and 90 are one direction
            assert row.iou_contour > 0.99
            assert 0 < row.rms_m < row.deviation_m < 0.5
