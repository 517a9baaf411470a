"""Several runs and one job folder: shards that plan with different memory, workers of a job that was started over."""

import json
import shutil

import numpy as np
import pytest
from conftest import write_tif

from geoseg import RunOptions, finish, load_model, open_scene, predict
from geoseg.cli import main
from geoseg.disk.files import atomic
from geoseg.errors import MemoryBudgetError, OutputError
from geoseg.executors.threads import local_site
from geoseg.jobs import predict as run
from geoseg.jobs.plan import make_plan

RASTERS = ("classes.tif", "confidence.tif")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    pixels = np.random.default_rng(0).integers(1, 255, (3, 100, 2600), np.uint8)  # six chunks of 512 px
    return write_tif(tmp_path_factory.mktemp("scene") / "scene.tif", pixels, nodata=0)


@pytest.fixture(scope="module")
def memory(scene, tiny_bundle):
    """Bytes that chunks of a size need, by size."""

    def needed(chunk_px):
        options = RunOptions(chunk_px=chunk_px, device="cpu", lanes=1)
        site = local_site("cpu", lanes=1)
        return make_plan(open_scene(scene), [load_model(tiny_bundle)], site=site, options=options).memory.total

    return {chunk_px: needed(chunk_px) for chunk_px in (512, 1024, 2048)}


@pytest.fixture(autouse=True)
def nothing_is_spared(monkeypatch):
    """Plans count the same memory whatever libraries other tests have loaded into this process."""
    monkeypatch.setattr("geoseg.jobs.plan.spared", lambda *_, **__: 0)


def shard(number, memory_bytes):
    return RunOptions(device="cpu", engine="sync", shard=(number, 2), memory_bytes=memory_bytes)


@pytest.fixture(scope="module")
def whole(scene, tiny_bundle, tmp_path_factory):
    """The outputs of one run."""
    options = RunOptions(device="cpu", engine="sync", chunk_px=512)
    return predict(scene, tiny_bundle, tmp_path_factory.mktemp("whole"), options=options)


def assert_same(done, whole):
    for name in RASTERS:
        assert done.paths[name].read_bytes() == whole.paths[name].read_bytes()


def test_the_chunk_size_of_the_first_shard_rules_whatever_memory_the_others_have(
    scene, tiny_bundle, memory, whole, tmp_path
):
    assert memory[512] < memory[1024] < memory[2048]
    predict(scene, tiny_bundle, tmp_path, options=shard(1, memory[512]))
    second = predict(scene, tiny_bundle, tmp_path, options=shard(2, memory[2048]))
    assert second.run["chunks"] == 3
    assert_same(finish(scene, tiny_bundle, tmp_path, options=RunOptions(engine="sync")), whole)


def test_it_rules_also_where_another_shard_was_planning_meanwhile(
    scene, tiny_bundle, memory, whole, tmp_path, monkeypatch
):
    plan, planned = run.make_plan, []

    def overtaken(*args, **kwargs):
        made = plan(*args, **kwargs)
        if not planned:
            planned.append(made.job.chunk_px)
            predict(scene, tiny_bundle, tmp_path, options=shard(1, memory[512]))
        return made

    monkeypatch.setattr(run, "make_plan", overtaken)
    assert predict(scene, tiny_bundle, tmp_path, options=shard(2, memory[2048])).run["chunks"] == 3
    assert planned == [2048]
    assert_same(finish(scene, tiny_bundle, tmp_path, options=RunOptions(engine="sync")), whole)


def test_a_shard_with_too_little_memory_for_it_is_refused_with_the_way_out(scene, tiny_bundle, memory, tmp_path):
    predict(scene, tiny_bundle, tmp_path, options=shard(1, memory[1024]))
    with pytest.raises(MemoryBudgetError, match=r"chunks of 1024 px need .* the unfinished job has them: .*--memory"):
        predict(scene, tiny_bundle, tmp_path, options=shard(2, memory[512]))


def test_finish_asks_for_the_memory_of_outputs_and_not_of_a_network(
    scene, tiny_bundle, memory, whole, tmp_path, monkeypatch
):
    predict(scene, tiny_bundle, tmp_path, options=RunOptions(device="cpu", engine="sync", shard=(1, 1), chunk_px=512))
    monkeypatch.delattr("geoseg.jobs.plan_memory.call_bytes")
    with pytest.raises(MemoryBudgetError, match=r"the outputs of .* need .* --memory"):
        finish(scene, tiny_bundle, tmp_path, options=RunOptions(engine="sync", memory_bytes=100 * 2**20))
    less = RunOptions(engine="sync", memory_bytes=memory[512] * 2 // 3)
    done = finish(scene, tiny_bundle, tmp_path, options=less)
    assert done.run["plan"]["peak_memory_bytes"] < less.memory_bytes
    assert_same(done, whole)


def test_finish_draws_polygons_where_it_is_told(scene, tiny_bundle, tmp_path, capsys):
    flags = ["-m", str(tiny_bundle), "--chunk-px", "512", "-q", "-o"]
    for out, where in (("one", ["--engine", "sync"]), ("other", ["--lanes", "3", "--memory", "4GB"])):
        assert main(["buildings", str(scene), *flags, str(tmp_path / out), "--shard", "1/1"]) == 0
        assert main(["finish", str(tmp_path / out), "-q", *where]) == 0
        assert json.loads((tmp_path / out / "run.json").read_text())["plan"]["lanes"] == (3 if "3" in where else 1)
    one, other = ((tmp_path / out / "buildings.gpkg").read_bytes() for out in ("one", "other"))
    assert one == other
    assert main(["buildings", str(scene), *flags, str(tmp_path / "third"), "--shard", "1/1"]) == 0
    assert main(["finish", str(tmp_path / "third"), "-q", "--memory", "50MB"]) == 6
    assert "the outputs of" in capsys.readouterr().err


def stopped_after_one(scene, bundle, out, *, threshold=0.6):
    def stop(progress):
        if progress.stage == "predict" and progress.done:
            raise KeyboardInterrupt

    options = RunOptions(device="cpu", engine="sync", chunk_px=512, threshold=threshold)
    with pytest.raises(KeyboardInterrupt):
        predict(scene, bundle, out, options=options, listen=stop)


def test_a_part_of_another_job_is_made_anew(scene, tiny_bundle, whole, tmp_path):
    stopped_after_one(scene, tiny_bundle, tmp_path / "other")
    stopped_after_one(scene, tiny_bundle, tmp_path / "out", threshold=None)
    (other,), (part,) = ((tmp_path / name).glob(".job/parts/*/*.tif") for name in ("other", "out"))
    shutil.copyfile(other, part)
    told, options = [], RunOptions(device="cpu", engine="sync", chunk_px=512)
    assert_same(predict(scene, tiny_bundle, tmp_path / "out", options=options, listen=told.append), whole)
    assert told[0].done == 0


def test_a_worker_of_a_job_that_was_started_over_cannot_touch_the_parts_of_the_new_one(
    scene, tiny_bundle, whole, tmp_path
):
    stopped_after_one(scene, tiny_bundle, tmp_path)
    (part,) = tmp_path.glob(".job/parts/*/*.tif")
    old = part.read_bytes()

    def late_worker(progress):
        if progress.stage == "finish" and progress.done == 0:
            assert part.name in {path.name for path in tmp_path.glob(".job/parts/*/*.tif")}
            with pytest.raises(OutputError, match="could not be written"), atomic(part) as temporary:
                temporary.write_bytes(old)

    options = RunOptions(device="cpu", engine="sync", chunk_px=512, fresh=True)
    assert_same(predict(scene, tiny_bundle, tmp_path, options=options, listen=late_worker), whole)


def test_a_damaged_plan_ends_with_exit_code_5_and_fresh_starts_over(scene, tiny_bundle, tmp_path, capsys):
    stopped_after_one(scene, tiny_bundle, tmp_path)
    plan = tmp_path / ".job/plan.json"
    plan.write_text(plan.read_text()[:300])
    again = ["predict", str(scene), "-m", str(tiny_bundle), "-o", str(tmp_path), "--device", "cpu", "-q"]
    for command in (again, ["finish", str(tmp_path)]):
        assert main(command) == 5
        assert "start the job over with --fresh" in capsys.readouterr().err
    assert main([*again, "--fresh"]) == 0
