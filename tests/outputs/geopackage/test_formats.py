"""Polygons in every format that is written: what comes back, and what is told."""

import json
import logging
import zipfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from make_outputs import CLASSES, GRID, PROVENANCE, finished_folder, houses, restate

from geoseg.disk.places import VECTOR_DRIVERS, vector_target
from geoseg.errors import ConfigError, OutputError
from geoseg.outputs import geoparquet
from geoseg.outputs.check import check_outputs
from geoseg.outputs.geopackage.footprints import buildings_batch, write_buildings
from geoseg.outputs.geopackage.tables import FIXED_TIME
from geoseg.scenes.polygons import read_layer
from geoseg.scenes.vectors import open_vectors

BUILDING = CLASSES.by_name("building")
SUFFIXES = [suffix for suffix in VECTOR_DRIVERS if suffix != ".json"]


def roofs(count: int) -> pa.RecordBatch:
    return buildings_batch(houses(GRID, count), crs=GRID.crs, target=BUILDING)


def write(path: Path, count: int, *, rows: int = 1000) -> None:
    write_rows(path, roofs(count), rows=rows)


def write_rows(path: Path, made: pa.RecordBatch, *, rows: int = 1000) -> None:
    batches = (made.slice(start, rows) for start in range(0, len(made), rows))
    write_buildings(path, batches, fitted=False, crs=GRID.crs, target=BUILDING, classes=CLASSES, provenance=PROVENANCE)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_format_holds_the_same_polygons_and_their_style(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"roofs{suffix}", 30)
    read = read_layer(tmp_path / f"roofs{suffix}").to_crs(32633)
    given = houses(GRID, 30).geometries
    nearest = shapely.STRtree(given).nearest(shapely.centroid(read.geometry.array))
    assert sorted(nearest) == list(range(30))
    assert shapely.area(shapely.symmetric_difference(read.geometry.array, given[nearest])).max() < 0.02
    assert np.allclose(read["area_m2"], shapely.area(given[nearest]), rtol=1e-3)
    style = tmp_path / "roofs.qml"
    assert style.exists() == (suffix != ".gpkg")
    assert suffix == ".gpkg" or f'label="{BUILDING.name}"' in style.read_text()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_is_an_empty_layer_with_a_style(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"none{suffix}", 0)
    layer = open_vectors(tmp_path / f"none{suffix}")
    assert sum(len(rows) for _, rows in layer.batches()) == 0
    assert layer.crs.to_epsg() == (4326 if suffix == ".geojson" else 32633)
    assert (tmp_path / "none.qml").exists() == (suffix != ".gpkg")


def test_geoparquet_lies_along_a_curve_with_boxes_whatever_the_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(geoparquet, "GROUP_ROWS", 64)
    for name, rows in (("one", 1000), ("many", 7)):
        write(tmp_path / f"{name}.parquet", 500, rows=rows)
    one, many = (tmp_path / f"{name}.parquet" for name in ("one", "many"))
    assert one.read_bytes() == many.read_bytes()
    file = pq.ParquetFile(one)
    geo = json.loads(file.metadata.metadata[b"geo"])
    column = geo["columns"]["geom"]
    assert (geo["version"], column["encoding"], column["geometry_types"]) == ("1.1.0", "WKB", ["MultiPolygon"])
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 32633}
    assert json.loads(file.metadata.metadata[b"urn:geoseg:provenance"]) == PROVENANCE
    assert file.num_row_groups == 8
    whole = gpd.read_parquet(one)
    assert np.allclose(whole.total_bounds, column["bbox"])
    spread = [
        shapely.box(*part.total_bounds).area / shapely.box(*whole.total_bounds).area
        for part in (whole[i : i + 64] for i in range(0, 500, 64))
    ]
    assert np.mean(spread) < 0.3  # those of a scattered order: nearly 1
    west, south, east, north = whole.total_bounds
    box = (west, south, (west + east) / 2, (south + north) / 2)
    assert len(gpd.read_parquet(one, bbox=box)) == shapely.intersects(whole.geometry.array, shapely.box(*box)).sum()


def test_geojson_is_that_of_the_rfc(tmp_path: Path) -> None:
    write(tmp_path / "roofs.geojson", 3)
    content = json.loads((tmp_path / "roofs.geojson").read_text())
    assert "crs" not in content
    first = shapely.from_geojson(json.dumps(content["features"][0]["geometry"]))
    west, south, east, north = first.bounds
    assert 14.9 < west < east < 15.1
    assert 48 < south < north < 49
    assert shapely.is_ccw(shapely.get_exterior_ring(first.geoms[0]))


def test_losses_of_a_shapefile_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        write(tmp_path / "roofs.shp", 3)
    assert "perimeter_m is perimeter_" in caplog.text
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".cpg", ".dbf", ".prj", ".qml", ".shp", ".shx"]
    assert pyogrio.read_info(tmp_path / "roofs.shp")["encoding"] == "UTF-8"


def test_an_archive_of_a_shapefile_holds_no_time(tmp_path: Path) -> None:
    write(tmp_path / "roofs.shz", 3)
    with zipfile.ZipFile(tmp_path / "roofs.shz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        table = next(name for name in archive.namelist() if name.endswith(".dbf"))
        year, month, day = archive.read(table)[1:4]
    assert f"{1900 + year:04d}-{month:02d}-{day:02d}" == FIXED_TIME[:10]


def test_a_suffix_says_the_format(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"roofs\.kml: cannot write \.kml; choose \.gpkg, \.parquet, \.fgb") as error:
        vector_target(tmp_path / "roofs.kml", overwrite=False, inputs=())
    assert error.value.exit_code == 2
    with pytest.raises(ConfigError, match=r"roofs\.fgb: --vector-format parquet has another suffix"):
        vector_target(tmp_path / "roofs.fgb", vector_format="parquet", overwrite=False, inputs=())
    named = vector_target(tmp_path / "roofs", vector_format="parquet", overwrite=False, inputs=())
    assert named == tmp_path / "roofs.parquet"
    (tmp_path / "roofs.dbf").write_text("of somebody")
    with pytest.raises(OutputError, match=r"roofs\.dbf: exists already"):
        vector_target(tmp_path / "roofs.shp", overwrite=False, inputs=())


def test_a_style_of_somebody_stays(tmp_path: Path) -> None:
    write(tmp_path / "roofs.fgb", 3)
    own = (tmp_path / "roofs.qml").read_text()
    (tmp_path / "roofs.qml").write_text(own + " ")
    write(tmp_path / "roofs.fgb", 3)
    assert (tmp_path / "roofs.qml").read_text() == own
    (tmp_path / "roofs.qml").write_text("of somebody")
    write(tmp_path / "roofs.geojson", 3)
    assert (tmp_path / "roofs.qml").read_text() == "of somebody"


def test_check_reads_polygons_of_other_formats(tmp_path: Path) -> None:
    out = finished_folder(tmp_path / "out", count=12)
    (out / "buildings.gpkg").unlink()
    for suffix in SUFFIXES[1:]:
        write(out / f"buildings{suffix}", 12)
        restate(out, polygons={"file": f"buildings{suffix}", "count": 12})
        assert [f.name for f in check_outputs(out) if not f.ok] == []
        restate(out, polygons={"file": f"buildings{suffix}", "count": 13})
        assert [f.name for f in check_outputs(out) if not f.ok] == [
            f"buildings{suffix}: as many features as in run.json"
        ]
        for file in out.glob("buildings*"):
            file.unlink()
