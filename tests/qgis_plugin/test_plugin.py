"""The plugin in the system's QGIS, without a window: how it is installed, runs geoseg, and keeps a review."""

import ast
import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from make_outputs import CLASSES, GRID, finished_folder
from sam_folders import write_sam_folder

from geoseg.cli import main
from geoseg.errors import ConfigError
from geoseg.jobs.review import Doubt
from geoseg.jobs.review import review as write_windows
from geoseg.qgis.install import NAME, PLUGIN, install, write_zip
from geoseg.training.data_spec import LabelledScene
from geoseg.training.labels import open_labels
from geoseg.training.targets import IGNORE, ClassTarget

HERE = Path(__file__).parent
PYTHON, PROCESS = "/usr/bin/python3", "/usr/bin/qgis_process.bin"


def _needs_qgis() -> None:
    command = [PYTHON, "-c", "import qgis.core"]
    if not Path(PYTHON).exists() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip(f"{PYTHON} has no QGIS: apt-get install --no-install-recommends qgis python3-qgis qgis-providers")


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QGIS_CUSTOM_CONFIG_PATH", str(tmp_path / "qgis"))
    return tmp_path / "qgis/profiles/default"


def test_a_profile_gets_the_plugin_and_keeps_its_settings(profile: Path) -> None:
    with pytest.raises(ConfigError, match="no profile 'work'"):
        install("work")
    ini = profile / "QGIS/QGIS3.ini"
    ini.parent.mkdir(parents=True)
    ini.write_text("[PythonPlugins]\nother=true\ngeoseg_qgis=false\n\n[Qgis]\nx=@Rect(0 0 1 1)\n")
    folder = install()
    assert folder == profile / "python/plugins" / NAME
    assert {p.name for p in folder.iterdir()} >= {"__init__.py", "metadata.txt", "LICENSE", "command.txt", "dock.py"}
    assert ini.read_text() == "[PythonPlugins]\ngeoseg_qgis=true\nother=true\n\n[Qgis]\nx=@Rect(0 0 1 1)\n"
    assert install() == folder


def test_the_zip_is_one_that_the_plugin_repository_takes(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "plugin.zip")
    assert path.read_bytes() == write_zip(tmp_path / "again.zip").read_bytes()
    assert path.stat().st_size < 25e6
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
        about = file.read(f"{NAME}/metadata.txt").decode()
    assert all(name.startswith(f"{NAME}/") for name in names)
    assert {Path(name).suffix for name in names} <= {".py", ".txt", ".svg", ""}  # no binaries
    assert f"{NAME}/LICENSE" in names
    wanted = [
        "name",
        "description",
        "about",
        "version",
        "qgisMinimumVersion",
        "author",
        "email",
        "repository",
        "tracker",
    ]
    assert [key for key in wanted if f"\n{key}=" not in about] == []
    lines = sum(len(p.read_text().splitlines()) for p in PLUGIN.parent.rglob("*.py"))
    assert lines <= 1200
    assert not any("import torch" in p.read_text() or "import geoseg" in p.read_text() for p in PLUGIN.glob("*.py"))


def not_of_qt6(source: str) -> list[str]:
    """Return what Qt 6 has not: imports past qgis.PyQt, members of enums without their enum's name, exec_."""
    tree = ast.parse(source)
    bases = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    bases |= {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found += [name.name for name in names if name.name.startswith(("PyQt", "PySide", "sip"))]
            case ast.ImportFrom(module=str(module)) if module.startswith(("PyQt", "PySide", "sip")):
                found.append(module)
            case ast.Attribute(value=ast.Name(id=name), attr=member) if name.startswith("Q") and id(node) not in bases:
                found += [f"{name}.{member}"] if member[0].isupper() else []
            case ast.Attribute(attr="exec_"):
                found.append("exec_")
    return found


def test_the_plugin_names_enums_and_modules_as_qt6_does() -> None:
    assert {p.name: found for p in PLUGIN.glob("*.py") if (found := not_of_qt6(p.read_text()))} == {}
    old = "from PyQt5.QtCore import Qt\nimport sip\nx = Qt.LeftDockWidgetArea, QVariant.Bool, Qt.Key.Key_A\nbox.exec_()"
    assert sorted(not_of_qt6(old)) == ["PyQt5.QtCore", "QVariant.Bool", "Qt.LeftDockWidgetArea", "exec_", "sip"]


@pytest.mark.qgis
def test_command_and_review_in_qgis(tmp_path: Path) -> None:
    _needs_qgis()
    out = finished_folder(tmp_path / "out", count=8)
    shutil.copytree(PLUGIN, tmp_path / NAME)
    stand_in = tmp_path / "geoseg"
    stand_in.write_text(f"#!{sys.executable}\n{(HERE / 'stand_in.py').read_text()}")
    stand_in.chmod(0o755)
    windows = tmp_path / "review.gpkg"
    picked = write_windows(out, windows, count=3, side_px=100)
    probe = [HERE / "probe_plugin.py", tmp_path, stand_in, out / "buildings.gpkg", windows]
    command = [PYTHON, "-W", "ignore", *probe]
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["printed"] == "class  ha\n"
    assert found["said"][:2] == ["predict scene.tif", "PYTHONHOME None"]
    assert found["progress"] == [25, 50, 75]
    assert found["error"] == "roofs.gpkg: no CRS; set it with ogr2ogr -a_srs"
    assert found["cancelled"]
    assert found["group"] == [
        ["buildings.gpkg", "categorizedSymbol"],
        ["classes.tif", "paletted"],
        ["confidence.tif", "singlebandgray"],
    ]
    assert found["order"] == sorted(found["order"])
    assert found["review"] == ["accepted", "rejected", "edited", "edited"]
    assert found["edited_m2"] == pytest.approx(100, rel=1e-3)
    assert found["alone"] == "No polygon touches this one; select those to merge it with"
    assert found["count"] == 7
    ground = gpd.read_file(out / "buildings_done.gpkg")
    assert ground["done"].tolist() == [True]
    assert ground.area.tolist() == [40_000]
    assert_windows_train(found, windows, picked)


def assert_windows_train(found: dict[str, Any], windows: Path, picked: tuple[Doubt, ...]) -> None:
    """What the dock wrote of windows is what training reads: the first is done, but for one patch as it was mapped."""
    assert found["windows"]
    assert found["ranks"] == [1, 2, 3]
    assert found["none_selected"] == "Select the polygons of this window that are of another class"
    assert found["stays"] == 1
    at, name = found["wrong"]
    assert name == "building"
    first, second, third = found["of_windows"]
    assert first[at] == "edited"
    assert set(first) == {"edited", "accepted"}
    assert first.count("edited") == 1
    assert second == ["edited", "rejected", *["accepted"] * (len(second) - 2)]
    assert set(third) == {"unseen"}
    assert found["seen"] == 2
    done = str(windows.with_name("review_done.gpkg"))
    data = LabelledScene(scene="scene.tif", labels=str(windows), area=done)
    target = ClassTarget(column="class", classes=CLASSES)
    labels = target.labels(open_labels(data, target, GRID)(GRID.box), gsd_m=0.5)
    box = picked[0].box
    known = np.zeros(GRID.shape, bool)
    known[box.row0 : box.row1, box.col0 : box.col1] = True
    assert (labels[known] != IGNORE).all()
    assert (labels[~known] == IGNORE).all()


@pytest.mark.qgis
def test_algorithms_run_geoseg_from_qgis_process(profile: Path, tmp_path: Path) -> None:
    _needs_qgis()
    out = finished_folder(tmp_path / "out", count=3)
    (install() / "command.txt").write_text(str(Path(sys.executable).with_name("geoseg")))
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(tmp_path)}

    def run(algorithm: str, **given: object) -> subprocess.CompletedProcess[str]:
        words = [f"{name}={value}" for name, value in given.items()]
        command = [PROCESS, "run", f"geoseg:{algorithm}", "--", *words]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=900, env=environment)

    drawn = tmp_path / "drawn.gpkg"
    done = run("vectorize", INPUT=out / "classes.tif", CLASS=4, MIN_AREA=5, OUTPUT=drawn)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(gpd.read_file(drawn, layer="buildings")) > 40
    failed = run("regularize", INPUT=out / "buildings.gpkg", OUTPUT=tmp_path / "no.kml")
    assert failed.returncode != 0
    assert "cannot write .kml; choose .gpkg" in failed.stdout + failed.stderr
    assert "Traceback" not in failed.stdout + failed.stderr


@pytest.mark.nightly
@pytest.mark.qgis
def test_the_dock_is_driven_in_a_window(profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """QGIS under Xvfb: keys of the review on polygons and windows, clicks and selected features for a SAM."""
    _needs_qgis()
    if not shutil.which("xvfb-run"):
        pytest.skip("no xvfb-run: apt-get install xvfb")
    folder = tmp_path / "drive"
    folder.mkdir()
    demo = tmp_path / "demo"
    assert main(["demo", "-o", str(demo), "-q"]) == 0
    for file in (demo / "buildings.gpkg", resources.files("geoseg") / "demo" / "scene.tif"):
        shutil.copy(str(file), folder)
    write_windows(demo, folder / "review.gpkg", count=8, side_px=256)
    assert (
        main(["import", str(write_sam_folder(tmp_path / "weights")), "--family", "sam2", "-o", str(folder / "sam")])
        == 0
    )
    install()
    monkeypatch.setenv("GEOSEG_DRIVE", str(folder))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", os.defpath)  # QGIS takes its Python from the first python3 that it finds
    command = ["xvfb-run", "-a", "-s", "-screen 0 1500x1000x24", "qgis", "--nologo", "--noversioncheck", "--code"]
    subprocess.run([*command, str(HERE / "drive_dock.py")], check=False, capture_output=True, timeout=900)
    seen = json.loads((folder / "seen.json").read_text())
    assert "error" not in seen, seen["error"]
    assert (seen["merged"], seen["editing"], seen["editable_after"]) == (1, True, False)
    assert seen["classes"] == ["background", "building"]
    assert seen["still_at"] == 1
    assert seen["words"] == [["accepted", "edited"], ["accepted"], ["unseen"]]
    assert seen["windows"][:2] == [2, 8]
    assert seen["windows_after"] == 2
    assert seen["no_model"].startswith("Choose the model")
    assert seen["tool"]
    assert seen["clicks"] == [["1", 1], ["1", 0], ["2", 1]]
    assert seen["answered"].startswith("2 objects in ")
    assert seen["of_selected"].startswith("1 objects in ")
    assert seen["wrong_model"].endswith("name one of them")
    assert len(gpd.read_file(folder / "answers/prompted_1/objects.gpkg", layer="objects")) == 2
    assert (folder / "windows_end.png").stat().st_size > 50_000


@pytest.mark.nightly
@pytest.mark.qgis
def test_prompts_are_answered_from_qgis_process(profile: Path, tmp_path: Path) -> None:
    _needs_qgis()
    assert (
        main(["import", str(write_sam_folder(tmp_path / "weights")), "--family", "sam2", "-o", str(tmp_path / "sam")])
        == 0
    )
    scene = tmp_path / "scene.tif"  # beside which QGIS writes its statistics
    shutil.copy(str(resources.files("geoseg") / "demo" / "scene.tif"), scene)
    with rasterio.open(scene) as src:
        points = gpd.GeoDataFrame(
            {"label": [1]}, geometry=gpd.points_from_xy(*[[v] for v in src.xy(300, 300)]), crs=src.crs
        )
    points.to_file(tmp_path / "clicks.gpkg", layer="clicks")
    install()
    given = {"INPUT": scene, "PROMPTS": tmp_path / "clicks.gpkg", "MODEL": tmp_path / "sam", "OUTPUT": tmp_path / "out"}
    command = [PROCESS, "run", "geoseg:prompt", "--", *(f"{name}={value}" for name, value in given.items())]
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=900, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(gpd.read_file(tmp_path / "out/objects.gpkg", layer="objects")) == 1
