"""A cluster that falls apart: workers killed, paused, or of another geoseg; a scheduler that is gone."""

from functools import partial
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

import numpy as np
import psutil
import pytest
from conftest import write_tif
from scipy import ndimage

from faults.conftest import CHUNKS, outputs, parts, write_scene
from faults.patches import dask_settings, network, other_version, slow_reading, smaller_tiles
from faults.processes import wait_for

TTL = {"distributed__scheduler__worker_ttl": "2s"}  # the scheduler waits for ten heartbeats, 5 s, all the same


@pytest.fixture
def stage(slow_stage):
    return slow_stage


def test_a_killed_worker_is_not_missed(stage, job, same, tmp_path, out):
    _, address = stage.scheduler()
    (told,) = (tmp_path / "stage").glob("scheduler*.json")
    victim, _ = stage.worker(address), stage.worker(address)
    run = stage.geoseg(*job, "--scheduler-file", told, "--workers", 2)
    wait_for(lambda: parts(out), while_running=run)
    assert victim.kill() == -SIGKILL
    assert 0 < len(parts(out)) < CHUNKS
    same(run)
    assert "workers lost: " in run.log


def test_a_worker_paused_past_its_time_to_live_comes_back_to_no_harm(stage, job, same, out):
    scheduler, address = stage.scheduler([partial(dask_settings, **TTL)])
    paused, _ = stage.worker(address), stage.worker(address)
    run = stage.geoseg(*job, "--address", address, "--workers", 2)
    wait_for(lambda: parts(out), while_running=run)
    paused.send(SIGSTOP)
    wait_for(lambda: "failed to heartbeat" in scheduler.log.lower(), while_running=run)
    paused.send(SIGCONT)  # it finishes its chunk, and commits a part that another worker has made or makes too
    same(run)


def test_without_its_scheduler_a_run_says_try_again_and_goes_on(stage, job, same, out):
    scheduler, address = stage.scheduler()
    workers = [stage.worker(address) for _ in range(2)]
    run = stage.geoseg(*job, "--address", address, "--workers", 2)
    wait_for(lambda: parts(out), while_running=run)
    assert scheduler.kill() == -SIGKILL
    assert run.exit_code() == 75, run.log
    assert "the scheduler is lost" in run.log
    assert outputs(out) == {}
    for worker in workers:
        worker.process.kill()  # unless it has noticed and gone
    again = stage.geoseg(*job)  # on this machine alone: the job is the same
    same(again)
    assert again.resumed > 0


def test_killed_a_driver_goes_on_with_the_workers_that_still_run(stage, job, same, out):
    _, address = stage.scheduler()
    for _ in range(2):
        stage.worker(address)
    cluster = ["--address", address, "--workers", 2]
    run = stage.geoseg(*job, *cluster)
    wait_for(lambda: parts(out), while_running=run)
    assert run.kill() == -SIGKILL
    again = stage.geoseg(*job, *cluster)
    same(again)
    assert again.resumed > 0


def test_a_worker_of_another_version_is_refused(stage, job, out):
    _, address = stage.scheduler()
    stage.worker(address), stage.worker(address, [other_version])
    run = stage.geoseg(*job, "--address", address, "--workers", 2)
    assert run.exit_code() == 5, run.log
    assert "runs geoseg 0.0.9, the job was planned with" in run.log
    assert outputs(out) == {}


@pytest.mark.parametrize("preload", ["faults.stand_in", pytest.param("faults.slow_start", marks=pytest.mark.nightly)])
def test_a_local_worker_killed_from_outside_is_started_again(preload, stage, job, same, out):
    preload = partial(dask_settings, distributed__worker__preload=[preload])
    run = stage.geoseg(*job, "--engine", "local", "--workers", 1, patches=[preload])
    wait_for(lambda: parts(out), while_running=run)
    workers = [p for p in psutil.Process(run.process.pid).children(recursive=True) if "spawn_main" in str(p.cmdline())]
    assert workers, "no worker process was found"
    workers[-1].kill()
    same(run)


def test_no_chunk_fails_where_a_worker_with_a_queue_dies_four_times(stage, model, tmp_path, out):
    scene = write_scene(tmp_path / "wide.tif", (4 * 512 + 40, 7 * 512 + 40))  # 5 x 8 chunks
    job = ["predict", scene, "-m", model, "--chunk-px", 512, "--progress", "json", "-o"]
    alone = stage.geoseg(*job, tmp_path / "alone", patches=[partial(network, pause_s=0)])
    assert alone.exit_code() == 0, alone.log
    assert alone.chunks_run == 40
    _, address = stage.scheduler()
    worker = stage.worker(address)
    run = stage.geoseg(*job, out, "--address", address)
    for _ in range(4):
        before = len(parts(out))
        wait_for(partial(_grown, out, before + 3), while_running=run)
        worker.kill()
        worker = stage.worker(address)
    assert run.exit_code() == 0, run.log
    assert run.chunks_run == 40
    assert outputs(out) == outputs(tmp_path / "alone")


@pytest.fixture(scope="module")
def vectorized(tmp_path_factory):
    """A raster of houses in twelve tiles, and the command that draws them without a file to write."""
    houses = np.ones((1, 1500, 2000), np.uint8)
    houses[:, 30::70, 40::90] = 255
    raster = write_tif(tmp_path_factory.mktemp("houses") / "houses.tif", ndimage.maximum_filter(houses, (1, 25, 31)))
    return ["vectorize", raster, "--class-id", 255, "-o"]


@pytest.mark.parametrize("sign", [SIGKILL, SIGTERM])
def test_polygons_survive_a_worker_and_end_with_try_again_when_terminated(stage, vectorized, tmp_path, sign):
    """SIGKILL goes to a worker, SIGTERM to the command."""
    alone, out = tmp_path / "alone.gpkg", tmp_path / "out" / "houses.gpkg"
    out.parent.mkdir()
    assert stage.geoseg(*vectorized, alone).exit_code() == 0
    told = tmp_path / "told"
    tiles = partial(smaller_tiles, 512)
    _, address = stage.scheduler()
    victim, _ = (stage.worker(address, [partial(slow_reading, 0.2, told)]) for _ in range(2))
    run = stage.geoseg(*vectorized, out, "--address", address, "--workers", 2, patches=[tiles])
    wait_for(told.exists, while_running=run)
    if sign is SIGTERM:
        run.send(SIGTERM)
        assert run.exit_code() == 75, run.log
        assert "stopped; nothing is kept" in run.log
        assert list(out.parent.iterdir()) == []
    else:
        assert victim.kill() == -SIGKILL
        assert run.exit_code() == 0, run.log
        assert out.read_bytes() == alone.read_bytes()


def _grown(out, count):
    return len(parts(out)) >= count
