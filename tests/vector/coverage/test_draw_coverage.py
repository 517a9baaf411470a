"""Coverages of files: what the GeoPackage tells, that strips do not show, what is refused."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from conftest import write_tif
from scipy import ndimage

from geoseg.cli import main
from geoseg.errors import ConfigError, InputError, MemoryBudgetError, OutputError
from geoseg.outputs.geopackage import side_files
from geoseg.values.grid import Grid
from geoseg.vector.coverage import draw as engine
from geoseg.vector.coverage.coverage import Coverage, CoverageRules
from geoseg.vector.coverage.draw import draw_coverage

RULES = CoverageRules(min_area_m2=600, tolerance_m=10)
FLAT = Affine(10, 0, 5e5, 0, -10, 5e6)


def land(shape=(211, 173), seed=0) -> np.ndarray:
    """Classes 1, 2 and 4 in patches of all sizes, 0 in a corner."""
    surface = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 2)
    classes = np.array([1, 2, 4], np.uint8)[np.digitize(surface, [-0.05, 0.1])]
    classes[:30, :50] = 0
    return classes


@pytest.fixture
def raster(tmp_path) -> Path:
    path = write_tif(tmp_path / "classes.tif", land()[None], transform=FLAT, nodata=0, blockysize=4)
    with rasterio.open(path, "r+") as dst:
        dst.update_tags(1, CLASS_1="water", CLASS_2="field", CLASS_4="road & rail")
        dst.update_tags(GEOSEG_MODEL="land", GEOSEG_MODEL_SHA256="ab")
    return path


def test_layer_has_names_areas_style_and_provenance(raster, tmp_path):
    made = draw_coverage(raster, tmp_path / "a.gpkg")
    read = pyogrio.read_dataframe(tmp_path / "a.gpkg", layer="coverage")
    assert list(read.columns) == ["class_id", "class_name", "area_m2", "geometry"]
    assert set(zip(read["class_id"], read["class_name"], strict=True)) == {
        (1, "water"),
        (2, "field"),
        (4, "road & rail"),
    }
    assert len(read) == made["count"] == sum(c["polygons"] for c in made["classes"])
    geometries = read.geometry.to_numpy()
    assert shapely.coverage_is_valid(shapely.get_parts(geometries))
    classes = land()
    with rasterio.open(raster) as src:
        row_m2 = Grid(src.crs, src.transform, src.shape).row_areas_m2()
    for c in made["classes"]:
        of_class = read["class_id"] == c["id"]
        assert shapely.area(geometries[of_class]).sum() == 100 * (classes == c["id"]).sum()
        true = float(((classes == c["id"]).sum(1) * row_m2).sum())
        assert read["area_m2"][of_class].sum() == pytest.approx(true, rel=1e-5)
        assert c["area_m2"] == pytest.approx(true, rel=1e-5)
    with closing(sqlite3.connect(tmp_path / "a.gpkg")) as db:
        ((qml, default),) = db.execute("SELECT styleQML, useAsDefault FROM layer_styles").fetchall()
        ((text,),) = db.execute("SELECT metadata FROM gpkg_metadata").fetchall()
        domain = dict(db.execute("SELECT value, description FROM gpkg_data_column_constraints").fetchall())
    assert (default, qml.count("<category ")) == (1, 3)
    assert domain == {"1": "water", "2": "field", "4": "road & rail"}
    assert json.loads(text)["model"] == {"name": "land", "sha256": "ab"}
    assert json.loads(text)["input"] == ["classes.tif"]


@pytest.mark.parametrize("rules", [CoverageRules(), RULES])
def test_strips_and_batches_do_not_show(raster, tmp_path, monkeypatch, rules):
    made = []
    for strip_px, batch in ((2**24, 2**18), (1, 64), (4000, 1000)):
        monkeypatch.setattr(engine, "STRIP_PX", strip_px)
        monkeypatch.setattr(Coverage.batches, "__defaults__", (batch,))
        path = tmp_path / f"{strip_px}" / "a.gpkg"
        path.parent.mkdir()
        draw_coverage(raster, path, rules=rules)
        made.append(path.read_bytes())
    assert made[0] == made[1] == made[2]


def test_small_patches_are_gone_and_the_valid_ground_stays(raster, tmp_path):
    draw_coverage(raster, tmp_path / "a.gpkg", rules=CoverageRules(min_area_m2=3000))
    read = pyogrio.read_dataframe(tmp_path / "a.gpkg", layer="coverage")
    assert read["area_m2"].min() >= 2990
    assert shapely.area(read.geometry.to_numpy()).sum() == 100 * (land() > 0).sum()


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_areas_are_true_in_degrees_and_in_web_mercator(tmp_path, crs):
    """A scene so wide that the geodesic between its corners is far from the parallel."""
    transform = Affine(0.03, 0, 0, 0, -0.03, 60) if crs == "EPSG:4326" else Affine(3e3, 0, 0, 0, -3e3, 8e6)
    classes = np.ones((1, 80, 200), np.uint8)
    classes[0, 30:50, 60:90] = 2
    path = write_tif(tmp_path / "c.tif", classes, crs=crs, transform=transform)
    made = draw_coverage(path, tmp_path / "c.gpkg")
    with rasterio.open(path) as src:
        row_m2 = Grid(src.crs, src.transform, src.shape).row_areas_m2()
    for c in made["classes"]:
        assert c["area_m2"] == pytest.approx(float(((classes[0] == c["id"]).sum(1) * row_m2).sum()), rel=2e-5)


def test_all_nodata_gives_an_empty_styled_layer(tmp_path):
    path = write_tif(tmp_path / "n.tif", np.zeros((1, 5, 5), np.uint8), nodata=0)
    assert draw_coverage(path, tmp_path / "n.gpkg")["count"] == 0
    assert len(pyogrio.read_dataframe(tmp_path / "n.gpkg", layer="coverage")) == 0


def test_what_is_refused_leaves_nothing_behind(tmp_path, monkeypatch):
    out = tmp_path / "out.gpkg"
    floats = write_tif(tmp_path / "f.tif", np.zeros((1, 5, 5), np.float32))
    two = write_tif(tmp_path / "two.tif", np.zeros((2, 5, 5), np.uint8))
    lost = write_tif(tmp_path / "lost.tif", np.zeros((1, 5, 5), np.uint8), crs=None)
    noise = write_tif(tmp_path / "noise.tif", np.random.default_rng(0).integers(0, 9, (1, 300, 300), np.uint8))
    for path, error, told in (
        (floats, InputError, "float32 values are no classes"),
        (two, ConfigError, "2 bands; name one with --band"),
        (lost, InputError, "no CRS"),
        (tmp_path / "none.tif", InputError, "no such file"),
    ):
        with pytest.raises(error, match=told):
            draw_coverage(path, out)
    with pytest.raises(MemoryBudgetError, match=r"need \d+ MiB, but 450 MiB are allowed; allow more with --memory"):
        draw_coverage(noise, out, memory_bytes=450 * 2**20)
    assert draw_coverage(two, out, band=2)["count"] == 1
    before = out.read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        draw_coverage(two, out, band=1)
    monkeypatch.setattr(side_files.time, "sleep", lambda _: None)
    out.with_name("out.gpkg-wal").write_bytes(b"")
    with pytest.raises(OutputError, match=r"out\.gpkg-wal"):
        draw_coverage(two, out, band=1, overwrite=True)
    assert out.read_bytes() == before


def test_a_damaged_raster_is_one_line(raster, tmp_path):
    data = bytearray(raster.read_bytes())
    raster.write_bytes(bytes(data[: len(data) // 2]))
    with pytest.raises(InputError, match=r"classes\.tif"):
        draw_coverage(raster, tmp_path / "a.gpkg")
    assert not (tmp_path / "a.gpkg").exists()


def test_command_line(raster, tmp_path, capsys):
    out = tmp_path / "a.gpkg"
    command = ["vectorize", str(raster), "--kind", "coverage", "-o", str(out)]
    assert main([*command, "--min-area-m2", "600", "--tolerance-m", "10", "--memory", "2GB"]) == 0
    told = capsys.readouterr().out
    assert "road & rail" in told
    assert str(out) in told
    plain = len(pyogrio.read_dataframe(out, layer="coverage"))
    assert main(command) == 5
    assert main([*command, "--overwrite"]) == 0
    exact = len(pyogrio.read_dataframe(out, layer="coverage"))
    assert plain < exact
    assert exact == draw_coverage(raster, tmp_path / "b.gpkg")["count"]  # the buildings' least area is not its default
    assert main([*command, "--overwrite", "--threshold", "0.4"]) == 2
    assert "--threshold means nothing to --kind coverage" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--workers", "2"]) == 2
    assert "--workers means nothing to --kind coverage" in capsys.readouterr().err


DRAW = """
import json, sys
from geoseg.vector.coverage import draw
from geoseg.vector.coverage.coverage import CoverageRules
raster, out, strip_px, min_area_m2, tolerance_m = sys.argv[1:]
draw.STRIP_PX = int(strip_px)
rules = CoverageRules(min_area_m2=float(min_area_m2), tolerance_m=float(tolerance_m))
made = draw.draw_coverage(raster, out, rules=rules)
peak, = (int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"peak": peak, "planned": made["planned_memory_bytes"], "count": made["count"]}))
"""


def measured(
    raster: Path, out: Path, *, strip_px: int = engine.STRIP_PX, min_area_m2: float = 0, tolerance_m: float = 0
) -> dict[str, int]:
    command = [sys.executable, "-c", DRAW, *map(str, (raster, out, strip_px, min_area_m2, tolerance_m))]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.memory
@pytest.mark.parametrize(
    "rules",
    [{}, {"min_area_m2": 1000, "tolerance_m": 20}, pytest.param({"tolerance_m": 20}, marks=pytest.mark.nightly)],
)
def test_peak_memory_is_planned_for_noise_and_for_patches(tmp_path, rules):
    noise = np.random.default_rng(0).integers(0, 4, (1, 600, 600), np.uint8)
    for name, classes in (("noise", noise), ("patches", np.tile(land((500, 500)), (4, 4))[None])):
        raster = write_tif(tmp_path / f"{name}.tif", classes, transform=FLAT)
        found = measured(raster, tmp_path / f"{name}.gpkg", **rules)
        assert found["count"] > 1000
        assert found["peak"] <= found["planned"], (name, found)


@pytest.mark.memory
def test_peak_memory_does_not_grow_with_the_pixels(tmp_path):
    found = {}
    for size in (3000, 6000):
        classes = np.kron(land((300, 300)), np.ones((size // 300, size // 300), np.uint8))[None]
        raster = write_tif(tmp_path / f"{size}.tif", classes, transform=FLAT, compress="deflate", tiled=True)
        found[size] = measured(raster, tmp_path / f"{size}.gpkg", strip_px=2**22)  # both are several strips
    assert found[3000]["count"] == found[6000]["count"]
    assert found[6000]["peak"] <= 1.25 * found[3000]["peak"], found
