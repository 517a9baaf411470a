"""Networks by other libraries: the bundle's own classes, the same bytes however they are run, made once, refused below
the gate.
"""

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_bundle, write_tif

from geoseg import predict
from geoseg.cli import main
from geoseg.errors import ConfigError, ModelError
from geoseg.models import calibration
from geoseg.models.backends import asked, library
from geoseg.models.bundle import load_model
from geoseg.models.exports import cache, prepare
from geoseg.options.run import RunOptions

RUN = cache._run
STEPS = {"export": prepare.export, "measure": prepare.measure}
SMALL = {"window_px": 64, "margin_px": 8, "ramp_px": 16, "multiple_px": 2}
WAYS = [("openvino", "fp32"), ("openvino", "int8"), ("onnx", "fp32")]


@pytest.fixture(scope="module", autouse=True)
def cache_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(calibration, "LEAST_JUDGED", 2 * 64 * 64)
        patch.setattr(cache, "_run", lambda step, asked, scratch: STEPS[step](asked, Path(scratch)))  # a second each
        yield cache.networks_folder()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A tiny network with calibration windows of colours, as in the scene below."""
    folder = write_bundle(tmp_path_factory.mktemp("bundle") / "net", widths=[4, 8], **SMALL)
    made = load_model(folder)
    calibration.store(folder, np.random.default_rng(0).standard_normal((4, 3, 64, 64)).astype(np.float32), made.spec)
    return made


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    pixels = np.random.default_rng(1).integers(0, 255, (3, 130, 530), np.uint8)
    return write_tif(tmp_path_factory.mktemp("scene") / "scene.tif", pixels, photometric="RGB")


def _run(scene, bundle, out: Path, **options):
    result = predict(scene, bundle, out, options=RunOptions(**options))
    return result.run, tuple((out / f"{name}.tif").read_bytes() for name in ("classes", "confidence"))


@pytest.mark.parametrize(("backend", "precision"), WAYS)
def test_bytes_are_the_same_for_any_chunks_batch_and_engine(backend, precision, bundle, scene, tmp_path):
    found = set()
    for i, (chunk_px, batch, engine) in enumerate([(512, 1, "sync"), (1024, 3, "threads")]):
        run, bytes_ = _run(
            scene, bundle, tmp_path / str(i), backend=backend, precision=precision, chunk_px=chunk_px, batch=batch,
            engine=engine,
        )  # fmt: skip
        found.add(bytes_)
        assert (run["plan"]["backends"], run["plan"]["precision"]) == ([backend], precision)
    assert len(found) == 1
    named = {"openvino": "openvino 20", "onnx": "onnxruntime 1"}[backend]
    assert named in run["identity"]["platform"][2]
    assert any(one.startswith("torch ") for one in run["identity"]["exports"][0])
    assert any("calibration windows" in note for note in run["plan"]["notes"])


@pytest.mark.parametrize(("backend", "precision"), WAYS)
def test_answers_are_the_network_s_own_in_any_thread(backend, precision, bundle):
    windows = np.random.default_rng(2).standard_normal((3, 3, 64, 64)).astype(np.float32)
    own = library("torch").open_backend(bundle, device="cpu", precision="fp32")(windows).values
    other = library(backend).open_backend(bundle, device="cpu", precision=precision)
    found = other(windows).values
    np.testing.assert_allclose(found, own, atol=0.05 if precision == "int8" else 1e-4)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(other(windows[::-1]).values[::-1])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    for answer in answers:
        np.testing.assert_array_equal(answer, found)


def test_it_is_exported_once_and_again_where_the_file_is_damaged(bundle, cache_folder, monkeypatch):
    wanted = {"backend": "onnx", "precision": "fp32", "shape": (64, 64)}
    made = cache.cached(bundle, **wanted)
    before = made.file.stat().st_mtime_ns
    made.file.write_bytes(b"damaged")
    again = cache.cached(bundle, **wanted)
    assert again.is_sound
    assert (again.sha256, again.parity) == (made.sha256, made.parity)
    monkeypatch.setattr(cache, "_made", lambda *_: pytest.fail("it is there"))
    assert cache.cached(bundle, **wanted) == again
    assert made.file.stat().st_mtime_ns >= before
    assert [path.suffix for path in cache_folder.iterdir() if path.name.startswith(".")] == [""]  # the lock alone


def test_what_is_not_the_network_s_like_is_refused_and_auto_stays_with_the_bundle_s_own(bundle, scene, tmp_path):
    key = cache._key(bundle, backend="onnx", precision="fp32", shape=(64, 64))
    record = cache.cached(bundle, backend="onnx", precision="fp32", shape=(64, 64)).file.with_suffix(".json")
    assert record.stem == key
    told = json.loads(record.read_text())
    own = asked([bundle], RunOptions())
    assert own == ("auto", ("torch",), "auto")
    assert asked([bundle], RunOptions(backend="auto", precision="fp32")) == ("cpu", ("onnx",), "fp32")
    try:
        worse = {**told, "sha256": "", "parity": {**told["parity"], "equal_classes": 0.9989}}
        record.write_text(json.dumps(worse))
        with pytest.raises(ModelError, match=r"not run by onnxruntime \S+ in fp32: 99.890% .*99.9% is the least"):
            predict(scene, bundle, tmp_path / "out", options=RunOptions(backend="onnx"))
        assert not (tmp_path / "out" / "classes.tif").exists()
        assert asked([bundle], RunOptions(backend="auto", precision="fp32"))[1] == ("openvino",)
    finally:
        record.write_text(json.dumps(told))


def test_auto_takes_the_network_s_own_classes_before_bf16_of_its_own_library(bundle, monkeypatch):
    monkeypatch.setattr(library("torch"), "precisions", lambda _: ("bf16", "fp32"))
    monkeypatch.setattr(library("openvino"), "precisions", lambda _: ("fp32",))
    assert asked([bundle], RunOptions(backend="auto")) == ("cpu", ("onnx",), "fp32")
    assert asked([bundle], RunOptions(backend="auto", precision="bf16")) == ("cpu", ("torch",), "bf16")
    monkeypatch.setattr(library("torch"), "precisions", lambda _: ("fp32",))
    assert asked([bundle], RunOptions(backend="auto")) == ("cpu", ("onnx",), "fp32")
    with pytest.raises(ConfigError, match="precision bf16"):
        asked([bundle], RunOptions(backend="auto", precision="bf16"))


def test_8_bits_are_not_judged_by_a_few_small_windows(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(calibration, "LEAST_JUDGED", 30_000)
    land_cover = load_model("land-cover")
    with pytest.raises(ModelError, match=r"judge 8 bits by 12288 pixels, and 30000 are the least; take another --prec"):
        cache.measured(land_cover, backend="onnx", precision="int8", shape=(512, 512))
    assert main(["export", "land-cover", "-o", str(tmp_path / "out"), "--int8"]) == 2
    assert "are the least; name a scene that it suits: --calibrate SCENE" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_auto_says_why_no_backend_may_compute_in_8_bits(scene, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(calibration, "LEAST_JUDGED", 30_000)
    command = ["predict", str(scene), "-m", "land-cover", "-o", str(tmp_path / "out"), "-q"]
    assert main([*command, "--backend", "auto", "--precision", "int8"]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: precision int8: ")
    assert line.count("judge 8 bits by 12288 pixels, and 30000 are the least; take another --precision") == 1
    assert not (tmp_path / "out" / "run.json").exists()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"precision int8: .*pip install"):
        asked([load_model("land-cover")], RunOptions(backend="auto", precision="int8"))


def test_what_cannot_be_measured_or_computed_is_refused_in_one_line(bundle, tmp_path, monkeypatch):
    bare = load_model(write_bundle(tmp_path / "bare", widths=[4, 8], **SMALL))
    with pytest.raises(ModelError, match=r"holds 0 calibration windows, and 1 are the least .*; leave --backend out"):
        cache.cached(bare, backend="onnx", precision="fp32", shape=(64, 64))
    with pytest.raises(ConfigError, match="precision int8: torch computes in"):
        library_site(bundle, precision="int8")
    with pytest.raises(ConfigError, match="--backend openvino run on the CPU alone"):
        library_site(bundle, backend="openvino", device="cuda")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "openvino" else object())
    with pytest.raises(ConfigError, match=r"pip install 'geoseg\[openvino\]'"):
        library_site(bundle, backend="openvino")


def library_site(bundle, **options):
    from geoseg.executors.threads import local_site

    return local_site(*asked([bundle], RunOptions(**options)))


def test_openvino_is_loaded_without_its_telemetry():
    code = (
        "import sys, threading; from geoseg.models.backends import library; library('openvino').precisions('cpu');"
        "print('openvino' in sys.modules, 'openvino_telemetry' in sys.modules, threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "1"]


def test_the_least_recently_used_leave(tmp_path, monkeypatch):
    for i in range(3):
        for suffix in (".onnx", ".json"):
            (tmp_path / f"{i}{suffix}").write_bytes(bytes(100))
    monkeypatch.setattr(cache, "MOST_BYTES", 200)
    cache._leave(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.json", "1.onnx", "2.json", "2.onnx"]


def test_ranges_of_8_bits_are_in_the_fingerprint(bundle):
    assert cache.origin(bundle, "int8")[-1] == f"ranges of {calibration.digest(bundle.path)}"
    other = replace(bundle, path="/nowhere")
    assert cache.origin(other, "int8") != cache.origin(bundle, "int8")
    assert cache.origin(other, "fp32") == cache.origin(bundle, "fp32")


@pytest.mark.nightly
def test_it_is_exported_and_measured_by_processes_of_their_own(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_run", RUN)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = cache.cached(bundle, backend="openvino", precision="fp32", shape=(64, 64))
    assert made.held_bytes > 2**20
    bare = load_model(write_bundle(tmp_path / "bare", widths=[4, 8], **SMALL))
    with pytest.raises(ModelError, match=r"bare: holds 0 calibration windows, and 1 are the least"):
        cache.cached(bare, backend="onnx", precision="fp32", shape=(64, 64))
