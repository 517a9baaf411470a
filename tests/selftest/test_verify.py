"""verify: probes come back exact, an interrupted run like an undisturbed one, and each kind of fault is found."""

import json
import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
import rasterio
import shapely
from affine import Affine
from conftest import write_tif

from geoseg.cli import main
from geoseg.cli.stopping import terminable
from geoseg.errors import TryAgainError
from geoseg.executors.peak import peak_memory_bytes
from geoseg.models.bundle import load_model
from geoseg.options.run import RunOptions
from geoseg.outputs.check import Finding
from geoseg.scenes.open import open_scene
from geoseg.scenes.reading import read
from geoseg.selftest import isolated_run as trial
from geoseg.selftest import verify
from geoseg.selftest.isolated_run import PeakWatch, Ran, Trial, run_here
from geoseg.selftest.judge import PROBES, deviation_steps, full_range, see
from geoseg.values.box import Box

CPU = RunOptions(device="cpu", chunk_px=512, probabilities=True, lanes=2)
NAMES = {probe.name: probe for probe in PROBES}


@pytest.fixture(scope="module")
def wide_scene(tmp_path_factory):
    """150 x 1100 px of int16 with scale, offset and a hole: three chunks, dozens of windows."""
    pixels = np.random.default_rng(2).integers(-300, 1200, (3, 150, 1100), np.int16)
    pixels[:, 40:90, 480:700] = -999
    path = write_tif(tmp_path_factory.mktemp("wide") / "wide.tif", pixels, nodata=-999)
    with rasterio.open(path, "r+") as dst:
        dst.descriptions, dst.scales, dst.offsets = ("red", "green", "blue"), (0.1, 0.1, 0.2), (5.0, 0.0, 0.0)
    return path


def judge(probe, scene_file, bundle, tmp_path, options=CPU):
    """Run a probe in this process; returns what verify finds."""
    spec = load_model(bundle).spec
    scene = open_scene(scene_file).select(spec.band_set)
    seen = see(scene, read(scene, scene.grid.box), spec)
    path = probe.bundle(tmp_path / "probe", spec, full_range(seen)).path
    asked = Trial(network=probe.name, models=(path,), options=options)
    ran = run_here(scene, asked, tmp_path / "out")
    assert ran.error is None
    return verify._judged_probe(asked, tmp_path / "out", seen), seen


@pytest.mark.parametrize("name", NAMES)
def test_probes_come_back_exact(name, wide_scene, tiny_bundle, tmp_path):
    found, seen = judge(NAMES[name], wide_scene, tiny_bundle, tmp_path)
    assert found.ok, found
    assert seen.windows.count > 20
    assert not seen.raster.valid.all()


@pytest.mark.parametrize("name", NAMES)
def test_probes_of_a_single_coarse_pixel_come_back_exact(name, tiny_bundle, tmp_path):
    file = write_tif(tmp_path / "a.tif", np.full((3, 1, 1), 7, np.uint8), transform=Affine(2, 0, 3e5, 0, -2, 3e6))
    found, _ = judge(NAMES[name], file, tiny_bundle, tmp_path)
    assert found.ok, found


def test_the_constant_probe_passes_through_another_resolution(tiny_bundle, tmp_path):
    pixels = np.random.default_rng(0).integers(1, 255, (3, 61, 90), np.uint8)
    pixels[:, 5:20, 5:20] = 0
    file = write_tif(tmp_path / "a.tif", pixels, transform=Affine(1.7, 0, 3e5, 0, -1.7, 3e6), nodata=0)
    found, _ = judge(NAMES["constant"], file, tiny_bundle, tmp_path)
    assert found.ok, found


def test_a_byte_that_is_off_and_a_pixel_that_is_lost_are_found(wide_scene, tiny_bundle, tmp_path):
    _, seen = judge(NAMES["ramp"], wide_scene, tiny_bundle, tmp_path)
    asked = Trial(network="ramp", models=(), options=CPU)
    file = tmp_path / "out/probabilities.tif"
    with rasterio.open(file) as src:
        sound, profile = src.read(), src.profile
    for change, words in ((lambda byte: byte + 1, "off by"), (lambda byte: 0, "1 pixels are masked")):
        damaged = sound.copy()
        damaged[1, 100, 37] = change(damaged[1, 100, 37])
        with rasterio.open(tmp_path / "damaged.tif", "w", **{**profile, "driver": "GTiff"}) as dst:
            dst.write(damaged)
        (tmp_path / "damaged.tif").replace(file)
        found = verify._judged_probe(asked, tmp_path / "out", seen)
        assert not found.ok
        assert words in found.detail


def test_deviation_allows_rounding_and_no_more():
    expected = np.linspace(0, 1, 4001)[None]
    exact = np.rint(1 + 254 * expected).astype(np.uint8)
    everywhere = np.ones(expected.shape, bool)
    assert deviation_steps(exact, expected, everywhere) == 0
    assert deviation_steps(exact, expected + 1e-4, everywhere) > 0
    assert deviation_steps(exact, expected + 1e-4, ~everywhere) == 0


def test_an_interrupted_run_ends_like_an_undisturbed_one(wide_scene, tiny_bundle, tmp_path):
    asked = Trial(network="model", models=(str(tiny_bundle),), options=CPU)
    whole = run_here(open_scene(wide_scene), asked, tmp_path / "whole")
    resumed = run_here(open_scene(wide_scene), replace(asked, interrupted=True), tmp_path / "resumed")
    assert (whole.error, whole.resumed, whole.chunks) == (None, 0, 3)
    assert 0 < resumed.resumed <= 3
    assert resumed.hashes == whole.hashes
    assert (resumed.trial.way, resumed.missing) == ("threads, resumed", ())


def test_an_error_is_what_a_trial_has_found(tiny_scene, tmp_path):
    asked = Trial(network="model", models=(str(tmp_path / "none"),), options=CPU)
    assert "no model bundle" in run_here(open_scene(tiny_scene), asked, tmp_path / "out").error


def die(*_args):
    os._exit(9)


def test_a_process_that_is_killed_is_found(tiny_scene, tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "run_here", die)
    ran = trial.run_apart(open_scene(tiny_scene), Trial(network="model", models=(), options=CPU), tmp_path)
    assert "killed" in ran.error


def linger(_scene, _trial, folder):
    folder.mkdir()
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(100)


def test_told_to_stop_it_ends_its_processes_and_removes_its_folder(tiny_scene, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "run_here", linger)
    pids = []

    def terminate():
        while not (said := [text for file in tmp_path.glob("*/out/pid") if (text := file.read_text())]):
            time.sleep(0.05)
        pids.append(int(said[0]))
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate, daemon=True).start()
    with pytest.raises(TryAgainError, match="terminated"), terminable():
        verify.verify(open_scene(tiny_scene), tiny_bundle, options=RunOptions(device="cpu"), scratch=tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
    assert list(tmp_path.iterdir()) == []


def test_the_high_water_mark_stays():
    with PeakWatch() as watch:
        block = np.ones(200 * 2**20, np.uint8)
        del block
    assert watch.peak_bytes >= 200 * 2**20
    with pytest.raises(psutil.NoSuchProcess):
        peak_memory_bytes(2**22 + 1)  # beyond the largest process id there is


def sound_runs():
    asked = Trial(network="model", models=("m",), options=CPU)
    hashes = dict.fromkeys(("classes.tif", "confidence.tif", "probabilities.tif", "buildings.gpkg"), "a" * 64)
    ran = Ran(trial=asked, hashes=hashes, chunks=4, peak_bytes=900, planned_bytes=1000, seconds=2.0)
    return [ran, replace(ran, trial=replace(asked, interrupted=True), resumed=1)]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({}, None),
        ({"peak_bytes": None}, None),
        ({"error": "RuntimeError: no"}, "model: every run ends"),
        ({"hashes": {**sound_runs()[0].hashes, "classes.tif": "b" * 64}}, "model: bytes agree"),
        ({"hashes": {**sound_runs()[0].hashes, "buildings.gpkg": "b" * 64}}, "model: bytes agree"),
        ({"missing": ("r00000_c00001",)}, "model: no chunk is missing"),
        ({"resumed": 0}, "model: an interrupted run goes on"),
        ({"peak_bytes": 1001}, "model: memory holds"),
    ],
)
def test_every_kind_of_fault_is_found(change, name):
    first, second = sound_runs()
    faults = [f for f in verify.judged([first, replace(second, **change)]) if not f.ok]
    assert [f.name for f in faults] == ([] if name is None else [name])
    assert all(f.detail for f in faults)


def without_workers(ways):
    return lambda *args: [way for way in ways(*args) if way.engine in ("threads", "sync")]


@pytest.fixture
def in_this_process(monkeypatch):
    """verify without processes of its own: what is patched here is patched in its runs."""
    monkeypatch.setattr(verify, "run_apart", run_here)
    monkeypatch.setattr(verify, "_ways", without_workers(verify._ways))


def faults_of(report):
    return [f.name for f in report.faults if "memory" not in f.name]  # this process holds the test suite


def test_a_sound_engine_has_no_fault(wide_scene, tiny_bundle, in_this_process, tmp_path):
    area = tmp_path / "area.geojson"
    left, top = 3e5 + 150, 3.06e6 - 10
    shape = {"type": "Polygon", "coordinates": [[*shapely.box(left, top - 40, left + 300, top).exterior.coords]]}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32645"}}
    area.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [
        {"type": "Feature", "properties": {}, "geometry": shape}]}))  # fmt: skip
    told = []
    options = RunOptions(device="cpu", lanes=2, aoi=str(area))
    report = verify.verify(
        open_scene(wide_scene), tiny_bundle, options=options, crop_px=700, scratch=tmp_path, listen=told.append
    )
    assert faults_of(report) == []
    assert report.crop == Box(0, 200, 150, 900)
    assert {ran.trial.network for ran in report.runs} == {"model", "identity", "constant", "ramp"}
    assert {ran.trial.way for ran in report.runs} == {"threads", "threads, resumed", "sync"}
    for ran in report.runs:
        assert ("buildings.gpkg" in ran.hashes) == (ran.trial.network == "model")
    assert [p.done for p in told] == list(range(len(report.runs) + 1))
    assert [p.name for p in tmp_path.iterdir()] == [area.name]
    assert json.loads(json.dumps(report.as_json()))["runs"][0]["hashes"] == report.runs[0].hashes


def test_a_network_that_answers_differently_each_time_is_found(wide_scene, tiny_bundle, in_this_process, monkeypatch):
    from geoseg.models.backends.base import Answer
    from geoseg.models.backends.torch import TorchBackend

    answer, calls = TorchBackend.__call__, []

    def moody(self, windows):
        calls.append(1)
        return Answer(np.roll(answer(self, windows).values, len(calls) % 2, axis=1))

    monkeypatch.setattr(TorchBackend, "__call__", moody)
    report = verify.verify(open_scene(wide_scene), tiny_bundle, options=RunOptions(device="cpu", lanes=2), crop_px=700)
    assert "model: bytes agree" in faults_of(report)
    assert any(name.startswith("identity: ") and name.endswith("is exact") for name in faults_of(report))


@pytest.mark.parametrize("broken", [False, True])
def test_the_command_prints_a_table_and_exits_with_8_at_a_fault(
    broken, tiny_scene, tiny_bundle, monkeypatch, capsys
):  # fmt: skip
    found = (Finding("model: memory holds", not broken, "104% of what was planned"),)
    report = verify.Report("scene.tif", Box(0, 0, 5, 5), tuple(sound_runs()), found)
    monkeypatch.setattr(verify, "verify", lambda *_args, **_kwargs: report)
    command = ["verify", str(tiny_scene), "-m", str(tiny_bundle)]
    assert main(command) == (8 if broken else 0)
    out, err = capsys.readouterr()
    assert "threads, resumed" in out
    assert "aaaaaaaa" in out
    assert ("1 of 1 checks found a fault, first model: memory holds: 104%" in err) == broken
    assert main([*command, "--json"]) == (8 if broken else 0)
    assert json.loads(capsys.readouterr().out)["ok"] is not broken


def test_too_little_memory_is_said_before_anything_runs(tiny_scene, tiny_bundle, capsys):
    assert main(["verify", str(tiny_scene), "-m", str(tiny_bundle), "--memory", "1MB"]) == 6
    assert "--memory" in capsys.readouterr().err


@pytest.mark.memory
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.nightly)], ids=["two ways", "every"])
def test_a_scene_is_verified_in_processes_of_their_own(every, wide_scene, tiny_bundle, monkeypatch, capsys):
    """In `make test` the model alone, by workers, by threads, and interrupted; each loads torch anew."""
    if not every:
        ways = verify._ways
        monkeypatch.setattr(verify, "PROBES", ())
        monkeypatch.setattr(verify, "LOCAL_WORKERS", 1)
        monkeypatch.setattr(verify, "_ways", lambda *args: ways(*args)[:0:-2])  # local, then threads
    assert main(["verify", str(wide_scene), "-m", str(tiny_bundle), "--crop-px", "700", "-q"]) == 0
    out = capsys.readouterr().out
    assert "local" in out
    assert "threads, resumed" in out
    assert "FAULT" not in out
