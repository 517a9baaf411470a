"""What stock QGIS shows of our files. tests/qgis_probe.py does the looking, run by the Python that QGIS belongs to."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import panoptic
import pytest
from make_outputs import CLASSES, finished_folder, sql

from geoseg import predict

PYTHON = "/usr/bin/python3"
PROBE = Path(__file__).parents[1] / "qgis_probe.py"
pytestmark = pytest.mark.qgis


@pytest.fixture(scope="module", autouse=True)
def _qgis() -> None:
    command = [PYTHON, "-c", "import qgis.core"]
    found = Path(PYTHON).exists() and subprocess.run(command, check=False, capture_output=True).returncode == 0
    if not found:
        pytest.skip(f"{PYTHON} has no QGIS: apt-get install --no-install-recommends qgis python3-qgis qgis-providers")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_folder(tmp_path_factory.mktemp("qgis") / "out")


def probe(folder: Path, *, count: int = 40) -> dict[str, list]:
    """Return {what: [ok, detail]} as QGIS sees the folder."""
    expected = {
        "gpkg": str(folder / "buildings.gpkg"),
        "layer": "buildings",
        "raster": str(folder / "classes.tif"),
        "crs": "EPSG:32633",
        "classes": {c.id: [c.name, c.hex] for c in CLASSES},
        "polygon_classes": [4],
        "count": count,
        "png": str(folder.parent / "map.png"),
    }
    return looked(expected, folder.parent / "expected.json")


def looked(expected: dict, path: Path) -> dict[str, list]:
    """Return what QGIS sees of what is expected, which is written to a file."""
    path.write_text(json.dumps(expected))
    command = [PYTHON, "-W", "ignore", str(PROBE), str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def wrong(findings: dict[str, list]) -> list[str]:
    return [what for what, (ok, _) in findings.items() if not ok]


def test_everything_is_there_without_a_click(sound: Path) -> None:
    before = sorted(p.name for p in sound.iterdir())
    findings = probe(sound)
    assert {what: found for what, found in findings.items() if not found[0]} == {}
    assert len(findings) >= 23
    assert sorted(p.name for p in sound.iterdir()) == before  # QGIS leaves no sidecars behind


def test_empty_layer_opens_with_its_style(tmp_path: Path) -> None:
    assert wrong(probe(finished_folder(tmp_path / "out", count=0), count=0)) == []


@pytest.mark.nightly
def test_objects_their_classes_and_their_raster_open_styled(tmp_path: Path) -> None:
    scene = panoptic.write_scene(tmp_path / "scene.tif", *panoptic.truth_of((600, 600)))
    run = predict(scene, panoptic.write_oracle(tmp_path / "m"), tmp_path / "out")
    frame, things = run.objects(), (3, 4)
    names = {int(i): f"{name} {i}" for i, name in zip(frame["segment_id"], frame["class_name"], strict=True)}
    names |= {c.id: c.name for c in panoptic.CLASSES if c.id not in things}
    expected = {
        "gpkg": str(run.paths["instances.gpkg"]),
        "layer": "instances",
        "raster": str(run.paths["classes.tif"]),
        "crs": "EPSG:32645",
        "classes": {c.id: [c.name, c.hex] for c in panoptic.CLASSES},
        "polygon_classes": things,
        "count": len(frame),
        "ids": str(run.paths["panoptic.tif"]),
        "names": names,
    }
    findings = looked(expected, tmp_path / "expected.json")
    assert {what: found for what, found in findings.items() if not found[0]} == {}
    assert len(findings) >= 22
    assert len(frame) > 30


def _lose_names(out: Path) -> None:
    (out / "classes.tif.aux.xml").unlink()


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (
            sql("DROP TABLE layer_styles", "DELETE FROM gpkg_contents WHERE table_name = 'layer_styles'"),
            ["polygons: default style applied", "polygons: legend", "polygons: every value styled"],
        ),
        (sql("UPDATE buildings SET area_m2 = area_m2 * 1.0016 WHERE fid = 7"), ["polygons: areas"]),
        (sql("UPDATE buildings SET class_id = 2 WHERE fid = 7"), ["polygons: every value styled"]),
        (sql("UPDATE gpkg_ogr_contents SET feature_count = 39 WHERE table_name = 'buildings'"), ["polygons: count"]),
        (_lose_names, ["raster: every class named and coloured", "raster: no junk rows"]),
    ],
)
def test_probe_sees_each_damage(
    sound: Path, tmp_path: Path, damage: Callable[[Path], None], expected: list[str]
) -> None:
    out = shutil.copytree(sound, tmp_path / "out")
    damage(out)
    seen = wrong(probe(out))
    assert [what for what in seen if what != "polygons: aliases"] == expected  # QGIS 3.22 has them from the style only
