"""Many scenes in one go: one fault never stops the others, what is complete stays, and the log tells all of it."""

import errno
import json
import os
import shutil
import signal

import detect
import numpy as np
import panoptic
import pytest
import rasterio
import yaml
from conftest import write_tif

from geoseg import RunOptions, predict
from geoseg.cli import main
from geoseg.errors import IncompleteError
from geoseg.jobs import targets
from geoseg.outputs.run_json import RunJson

RASTERS = ("classes.tif", "confidence.tif")


def write_scenes(folder, names, *, size=(96, 700)):
    """Scenes of two chunks of 512 px each; returns their folder."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(1, 255, (3, *size), np.uint8)
        write_tif(folder / f"{name}.tif", pixels, photometric="RGB", tiled=True, blockxsize=256, blockysize=256)
    return folder


def cut(path):
    path.write_bytes(path.read_bytes()[:300])


@pytest.fixture
def config(tmp_path, tiny_bundle):
    """Write a batch of land cover over ``in/*.tif`` into ``out``; returns a function that does it with other keys."""

    def write(*, options=None, each=None, **keys):
        own = {"job": "land_cover", "model": str(tiny_bundle), "options": {"chunk_px": 512, **(options or {})}}
        content = {"job": "batch", "scenes": "in/*.tif", "out": "out", "each": {**own, **(each or {})}, **keys}
        path = tmp_path / "batch.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.fixture
def batch(capsys):
    """Run ``geoseg batch`` in this process; returns (exit code, stdout, stderr)."""

    def call(*argv):
        capsys.readouterr()
        code = main(["batch", *map(str, argv), "-q"])
        return code, *capsys.readouterr()

    return call


def events(out):
    return [json.loads(line) for line in (out / "batch.log.jsonl").read_text().splitlines()]


def states(out):
    summary = json.loads((out / "summary.json").read_text())
    return summary["code"], {row["scene"]: (row["state"], row["code"]) for row in summary["scenes"]}


def bytes_of(out, names):
    return {(name, file): (out / name / file).read_bytes() for name in names for file in RASTERS}


def test_a_damaged_scene_fails_and_the_others_do_not(tmp_path, config, batch, tiny_bundle):
    cut(write_scenes(tmp_path / "in", "cab") / "b.tif")
    code, out, err = batch(config())
    assert code == 7
    assert states(tmp_path / "out") == (7, {"a": ("done", 0), "b": ("failed", 3), "c": ("done", 0)})
    assert [line.split()[:3] for line in out.splitlines()[1:4]] == [
        ["a", "done", "0"],
        ["b", "failed", "3"],
        ["c", "done", "0"],
    ]
    assert "3 scenes: 2 done, 1 failed" in out
    assert "b failed: " in err
    assert err.splitlines()[-1].startswith("error: ")
    assert [(e["event"], e.get("scene")) for e in events(tmp_path / "out")] == [
        ("batch started", None), ("scene started", "a"), ("scene", "a"), ("scene started", "b"), ("scene", "b"),
        ("scene started", "c"), ("scene", "c"), ("batch ended", None),
    ]  # fmt: skip
    assert main(["predict", str(tmp_path / "in/a.tif"), "-m", str(tiny_bundle), "-o", str(tmp_path / "one"), "-q"]) == 0
    assert bytes_of(tmp_path / "out", "a") == {("a", f): (tmp_path / "one" / f).read_bytes() for f in RASTERS}


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_full_disk_stops_a_batch_and_leaves_the_rest_for_later(tmp_path, config, batch, monkeypatch, wrapped):
    write_scenes(tmp_path / "in", "abc")

    def full(*_args, **_kwargs):
        error = OSError(errno.ENOSPC, "No space left on device", "part.tif")
        if wrapped:
            raise IncompleteError("1 of 2 chunks failed") from error
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("geoseg.jobs.batch_maps.predict", full)
        code, _, err = batch(config())
    assert code == 5
    assert "the disk is full, so the rest is not tried" in err.splitlines()[-1]
    left = {"b": ("not tried", 0), "c": ("not tried", 0)}
    assert states(tmp_path / "out") == (5, {"a": ("failed", 7 if wrapped else 5), **left})
    assert batch(config())[0] == 0


def test_what_is_complete_is_skipped_and_only_the_rest_is_tried_again(tmp_path, config, batch):
    scenes = write_scenes(tmp_path / "in", "abc")
    good = (scenes / "b.tif").read_bytes()
    cut(scenes / "b.tif")
    assert batch(config())[0] == 7
    before = (tmp_path / "out/a/run.json").read_bytes()
    (scenes / "b.tif").write_bytes(good)
    assert batch(config(options={"chunk_px": 1024}))[0] == 0  # where and in which steps it ran does not count
    assert states(tmp_path / "out")[1] == {"a": ("skipped", 0), "b": ("done", 0), "c": ("skipped", 0)}
    assert (tmp_path / "out/a/run.json").read_bytes() == before
    (tmp_path / "out/c/confidence.tif").unlink()
    assert batch(config())[0] == 0
    assert states(tmp_path / "out")[1] == {"a": ("skipped", 0), "b": ("skipped", 0), "c": ("done", 0)}
    assert (tmp_path / "out/c/confidence.tif").exists()
    assert sum(e["event"] == "batch started" for e in events(tmp_path / "out")) == 3


def test_outputs_of_another_job_are_left_alone_unless_told(tmp_path, config, batch):
    scenes = write_scenes(tmp_path / "in", "ab")
    assert batch(config())[0] == 0
    write_tif(scenes / "b.tif", np.full((3, 80, 90), 7, np.uint8), photometric="RGB")
    code, out, _ = batch(config())
    assert (code, states(tmp_path / "out")[1]) == (7, {"a": ("skipped", 0), "b": ("failed", 5)})
    assert "b: " in out
    assert "another job (source b.tif, grid" in out
    code, out, _ = batch(config(options={"threshold": 0.4}))
    assert states(tmp_path / "out")[1]["a"] == ("failed", 5)
    assert "(threshold changed)" in out
    assert batch(config(), "--overwrite")[0] == 0
    assert states(tmp_path / "out")[1] == {"a": ("skipped", 0), "b": ("done", 0)}


def test_polygons_asked_for_otherwise_are_another_job(tmp_path, config, batch):
    write_scenes(tmp_path / "in", "a")
    buildings = {"job": "buildings", "polygons": {"split": "none"}}
    assert batch(config(each=buildings))[0] == 0
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    run = json.loads((tmp_path / "out/a/run.json").read_text())
    assert summary["scenes"][0]["polygons"] == run["polygons"]["count"]
    assert batch(config(each=buildings))[0] == 0
    assert states(tmp_path / "out")[1] == {"a": ("skipped", 0)}
    code, out, _ = batch(config(each={**buildings, "polygons": {"split": "none", "min_area_m2": 9}}))
    assert code == 7
    assert "(polygons changed)" in out


def test_more_failures_than_allowed_leave_the_rest_alone(tmp_path, config, batch):
    scenes = write_scenes(tmp_path / "in", "abcd")
    for name in "ab":
        cut(scenes / f"{name}.tif")
    assert batch(config(), "--max-failures", 1)[0] == 7
    assert [state for state, _ in states(tmp_path / "out")[1].values()] == [
        "failed",
        "failed",
        "not tried",
        "not tried",
    ]
    assert batch(config(max_failures=2))[0] == 7
    assert [state for state, _ in states(tmp_path / "out")[1].values()] == ["failed", "failed", "done", "done"]


def test_an_unforeseen_error_of_one_scene_is_told_with_its_traceback(tmp_path, config, batch, monkeypatch):
    from geoseg.jobs import batch_maps as module

    write_scenes(tmp_path / "in", "ab")
    real = module.predict

    def odd(scene, models, out, **more):
        if out.name == "a":
            raise KeyError("inside")
        return real(scene, models, out, **more)

    monkeypatch.setattr(module, "predict", odd)
    assert batch(config())[0] == 7
    assert states(tmp_path / "out")[1] == {"a": ("failed", 1), "b": ("done", 0)}
    (told,) = [e for e in events(tmp_path / "out") if e.get("code") == 1]
    assert told["told"] == "unexpected KeyError: 'inside'"
    assert any("odd" in line for line in told["traceback"])


def test_one_engine_is_opened_for_all_and_none_where_nothing_is_to_do(tmp_path, config, batch, monkeypatch):
    from geoseg.jobs import batch as module

    opened, real = [], module.open_engine
    monkeypatch.setattr(module, "open_engine", lambda options: opened.append(options) or real(options))
    write_scenes(tmp_path / "in", "ab")
    assert batch(config())[0] == 0
    assert len(opened) == 1
    assert batch(config())[0] == 0
    assert len(opened) == 1


def test_a_batch_whose_time_is_over_is_75_and_goes_on(tmp_path, config, batch):
    write_scenes(tmp_path / "in", "ab")
    code, out, err = batch(config(), "--max-runtime", "0.001s")
    assert code == 75
    assert "1 not tried" in out or "2 not tried" in out  # the first may have begun
    assert "the same command goes on" in err
    assert states(tmp_path / "out")[0] == 75
    assert batch(config())[0] == 0


def test_an_interrupt_is_130_and_written_down(tmp_path, config, batch, monkeypatch):
    from geoseg.jobs import batch_maps as module

    def stopped(*_args, **_more):
        raise KeyboardInterrupt

    write_scenes(tmp_path / "in", "a")
    monkeypatch.setattr(module, "predict", stopped)
    assert batch(config())[0] == 130
    assert states(tmp_path / "out") == (130, {"a": ("not tried", 0)})
    assert events(tmp_path / "out")[-1]["code"] == 130


def test_two_batches_in_one_folder_are_refused(tmp_path, config, batch):
    from geoseg.disk.files import locked

    write_scenes(tmp_path / "in", "a")
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out/.lock", of=tmp_path / "out"):
        code, _, err = batch(config())
    assert code == 5
    assert "another run is writing there" in err
    assert not (tmp_path / "out/summary.json").exists()


def test_faults_of_the_batch_itself_are_found_before_any_scene(tmp_path, config, batch):
    write_scenes(tmp_path / "in", "a")
    assert batch(config(scenes="in/*.jp2"))[0] == 3
    assert batch(config(scenes=["in/a.tif", "in/*.tif"]))[0] == 3
    assert batch(config(each={"model": "nowhere"}))[0] == 4
    assert batch(config(options={"shard": "1/2"}))[0] == 2
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"job": "buildings", "scene": "in/a.tif", "out": "o"}))
    assert batch(tmp_path / "run.yaml")[0] == 2
    assert not (tmp_path / "out").exists()


def test_a_dry_run_plans_every_scene_and_writes_nothing(tmp_path, config, batch, monkeypatch):
    scenes = write_scenes(tmp_path / "in", "ab")
    (scenes / "c.tif").write_text("no raster")
    code, out, _ = batch(config(), "-n")
    assert code == 0
    plan = json.loads(out)
    assert plan["sums"]["scenes"] == {"to run": 2, "refused": 1}
    a, b, c = plan["scenes"]
    assert plan["sums"]["windows"] == a["plan"]["windows"] + b["plan"]["windows"] > 0
    assert plan["sums"]["estimated_seconds"] >= 0
    assert "not a raster" in c["told"]
    assert not (tmp_path / "out").exists()
    (scenes / "c.tif").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(targets.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**30, 2**30, 1000))
        short = json.loads(batch(config(), "-n")[1])["scenes"]
    assert [row["told"].partition("; ")[2].partition(",")[0] for row in short] == ["free space there"] * 2
    assert batch(config())[0] == 0
    assert json.loads(batch(config(), "-n")[1])["sums"]["scenes"] == {"complete": 2}


def test_a_table_and_stac_items_name_the_folders(tmp_path, config, batch):
    write_scenes(tmp_path / "in", "ab")
    (tmp_path / "in/list.csv").write_text("scene,name\na.tif,first\n")
    items = [{"id": "second", "assets": {"data": {"href": "b.tif"}}}, {"id": "third", "assets": {}}]
    (tmp_path / "in/items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    assert batch(config(scenes=["in/list.csv", "in/items.json"]))[0] == 7
    assert states(tmp_path / "out")[1] == {"first": ("done", 0), "second": ("done", 0), "third": ("failed", 3)}


def test_run_takes_a_batch_as_well(tmp_path, config):
    write_scenes(tmp_path / "in", "a")
    assert main(["run", str(config()), "-q"]) == 0
    assert states(tmp_path / "out")[1] == {"a": ("done", 0)}


def test_a_terminated_batch_is_75_and_goes_on_to_the_same_bytes(tmp_path, config, batch, monkeypatch):
    """SIGTERM comes when the first of the two chunks of the second scene is done."""
    from geoseg.jobs import batch_maps as module

    real, sent = module.predict, []

    def terminated(scene, models, out, *, listen, **more):
        def tell(progress):
            listen(progress)
            if (out.name, progress.stage, progress.done, sent) == ("b", "predict", 1, []):
                sent.append(progress)
                os.kill(os.getpid(), signal.SIGTERM)

        return real(scene, models, out, listen=tell, **more)

    write_scenes(tmp_path / "in", "abc")
    path = config(options={"engine": "sync"})
    with monkeypatch.context() as patch:
        patch.setattr(module, "predict", terminated)
        code, out, _ = batch(path)
    assert code == 75
    assert "3 scenes: 1 done, 1 stopped, 1 not tried" in out
    assert states(tmp_path / "out") == (75, {"a": ("done", 0), "b": ("stopped", 75), "c": ("not tried", 0)})
    first = (tmp_path / "out/a/run.json").read_bytes()
    assert batch(path)[0] == 0
    assert (tmp_path / "out/a/run.json").read_bytes() == first
    interrupted = bytes_of(tmp_path / "out", "abc")
    shutil.rmtree(tmp_path / "out")
    assert batch(path)[0] == 0
    assert bytes_of(tmp_path / "out", "abc") == interrupted


@pytest.mark.parametrize("task", ["objects", pytest.param("panoptic", marks=pytest.mark.nightly)])
def test_a_batch_tells_objects_apart_in_every_scene(tmp_path, config, batch, task):
    (tmp_path / "in").mkdir()
    for seed in range(3):
        path = tmp_path / "in" / f"s{seed}.tif"
        if task == "objects":
            detect.write_scene(path, detect.truth_of((150, 130), large=(), many=40, most=20, seed=seed))
        else:
            panoptic.write_scene(path, *panoptic.truth_of((150, 130), seed=seed))
    model = (detect if task == "objects" else panoptic).write_oracle(tmp_path / "oracle")
    path = config(each={"model": str(model)})
    assert batch(path)[0] == 0
    assert states(tmp_path / "out") == (0, {f"s{seed}": ("done", 0) for seed in range(3)})
    counts = []
    for seed in range(3):
        counts.append(RunJson.read(tmp_path / "out" / f"s{seed}").facts["instances"]["count"])
        assert main(["check", str(tmp_path / "out" / f"s{seed}")]) == 0
    assert min(counts) > 8
    assert len(set(counts)) == 3
    alone = predict(tmp_path / "in" / "s2.tif", model, tmp_path / "alone", options=RunOptions(chunk_px=512))
    for file in ("panoptic.tif", "instances.gpkg", "classes.tif"):
        assert (tmp_path / "out" / "s2" / file).read_bytes() == alone.paths[file].read_bytes()
    assert batch(path)[0] == 0
    assert {state for state, _ in states(tmp_path / "out")[1].values()} == {"skipped"}


def test_a_batch_watches_its_scenes_goes_on_and_ends_with_8(tmp_path, config, batch):
    write_scenes(tmp_path / "in", "abc", size=(96, 96))
    assert batch(config())[0] == 0
    with rasterio.open(tmp_path / "in" / "b.tif", "r+") as dst:
        dst.write(dst.read() // 2)
    keys = {"against": ["out/a", "out/c"]}
    code, out, err = batch(config(out="again", monitor=keys))
    assert code == 8
    assert states(tmp_path / "again")[1] == dict.fromkeys("abc", ("done", 0))
    assert "b: red has an index of" in out
    assert "1 of 3 scenes are beyond the bounds of monitor (b)" in err
    assert batch(config(out="again", monitor=keys))[0] == 8, "what is complete is watched, too"
    assert batch(config(out="again", monitor={**keys, "psi": 30, "alert": ["building > 101 %"]}))[0] == 0
    for wrong, message in (({}, "name runs under against"), ({**keys, "alert": ["roof > 2 %"]}, "has the classes")):
        code, _, err = batch(config(out="new", monitor=wrong))
        assert code == 2
        assert message in err
    assert not (tmp_path / "new").exists()
