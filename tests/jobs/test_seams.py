"""Windows at borders of chunks are run once, and the map is the same to the byte; plain functions are the networks."""

import os
from contextlib import nullcontext
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import shapely
import torch
from conftest import largest_file
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_kernel import Memory, blur, make_job, scene_file  # noqa: F401  # the last one is a fixture

from geoseg.device.ready import Ready
from geoseg.errors import OutputError
from geoseg.executors.base import ChunkFailure, ChunkRecord
from geoseg.executors.threads import SyncEngine, ThreadsEngine
from geoseg.jobs import chunk
from geoseg.jobs.chunk import ChunkTask
from geoseg.jobs.on_device import OnDevice
from geoseg.jobs.plan import Plan
from geoseg.jobs.seams import most_seam_bytes, open_seams
from geoseg.models.backends.base import Answer
from geoseg.scenes.aoi import Area
from geoseg.tiling.windows import redundancy

AREA = Area(shapely.to_wkb(shapely.Polygon([(10.3, 5), (160.5, 12.25), (140, 90.7), (32, 60)])))


def by_member(member, windows):
    return Answer(blur(windows if member == 0 else 1 - windows))


def run(job, folder, *, only=None, engine=None, forward=by_member, seams=True, store=None, tries=1):
    """Return the layers, the records and the failures, try by try, of ``only`` some chunks."""
    store, records, failed = store or Memory(job), [], []
    todo = list(job.chunks()) if only is None else only
    handed = open_seams(job, [box for _, box in todo], folder) if seams else nullcontext()
    with handed as held:
        task = ChunkTask(job, lambda _job: forward, store, held)
        for _ in range(tries):
            ended = list((engine or SyncEngine()).run(task, todo))
            records += [one for one in ended if isinstance(one, ChunkRecord)]
            failed.append([one for one in ended if isinstance(one, ChunkFailure)])
            todo = [(one.id, one.box) for one in failed[-1]]
        if held is not None:
            assert os.fstat(held._file.fileno()).st_size <= most_seam_bytes(job)
    assert list(folder.iterdir()) == []
    return store.layers, records, failed


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "job").mkdir()
    return tmp_path / "job"


@pytest.mark.parametrize(
    ("chunk_px", "how"),
    [
        (64, {}),
        (100, {}),
        (37, {"working": (75, 116), "tta": "flip"}),
        (100, {"working": (301, 470), "margin": 16, "ramp": 0}),
        (64, {"working": (75, 470), "area": AREA}),
        (100, {"members": 2, "tta": "flip@0.5,1", "margin": 16, "ramp": 0}),
        (37, {"area": AREA}),
    ],
    ids=str,
)
def test_each_window_is_run_once_and_the_map_is_the_same(scene_file, folder, chunk_px, how):  # noqa: F811
    path, _ = scene_file
    calls = []

    def counted(member, windows):
        calls.append(member)
        return by_member(member, windows)

    whole, alone, _ = run(make_job(path, chunk_px=512, **how), folder)
    job = make_job(path, chunk_px=chunk_px, batch=1, **how)
    engine = SyncEngine() if chunk_px == 64 else ThreadsEngine(lanes=2)
    found, records, failed = run(job, folder, engine=engine, forward=counted)
    for name, layer in whole.items():
        np.testing.assert_array_equal(found[name], layer, err_msg=name)
    assert failed == [[]]
    assert sum(record.windows for record in records) == alone[0].windows > 0
    assert len(calls) == alone[0].windows * len(job.views) * len(job.bundles)


def test_a_chunk_that_fails_hands_nothing_on(scene_file, folder):  # noqa: F811
    path, _ = scene_file
    job = make_job(path, chunk_px=64, batch=1)
    whole, (alone,), _ = run(make_job(path, chunk_px=512), folder)
    for fatal in range(0, alone.windows, 4):
        calls = iter(range(10**6))

        def breaks(member, windows, fatal=fatal, calls=calls):
            if next(calls) == fatal:
                raise ValueError("once")
            return by_member(member, windows)

        found, records, failed = run(job, folder, forward=breaks, tries=2)
        assert list(map(len, failed)) == [1, 0]
        assert len(records) == len(list(job.chunks()))
        assert next(calls) > sum(record.windows for record in records) == alone.windows
        for name, layer in whole.items():
            np.testing.assert_array_equal(found[name], layer, err_msg=f"{name}, call {fatal}")


def test_what_a_device_has_said_is_handed_on_and_taken_there(scene_file, folder, monkeypatch):  # noqa: F811
    path, _ = scene_file
    how = {"working": (75, 116), "tta": "flip"}
    whole, (alone,), _ = run(make_job(path, chunk_px=512, **how), folder)
    monkeypatch.setattr(chunk, "arithmetic_of", lambda _job: OnDevice("cpu"))

    def there(member, windows):
        said = by_member(member, windows.tensor.numpy()).values
        return Answer(Ready.of(torch.from_numpy(said)))

    found, records, failed = run(make_job(path, chunk_px=64, **how), folder, forward=there)
    assert failed == [[]]
    assert sum(record.windows for record in records) == alone.windows
    for name, layer in whole.items():
        np.testing.assert_array_equal(found[name], layer, err_msg=name)


@pytest.mark.nightly
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    working=st.none() | st.tuples(st.integers(40, 260), st.integers(60, 400)),
    margin_and_ramp=st.sampled_from([(8, 16), (12, 8), (16, 0), (0, 32), (0, 0)]),
    chunk_px=st.integers(30, 160),
    batch=st.integers(1, 3),
    fatal=st.none() | st.integers(0, 60),
    threads=st.booleans(),
)
def test_any_grid_gives_the_same_map_also_where_a_call_fails(
    scene_file,  # noqa: F811
    folder,
    working,
    margin_and_ramp,
    chunk_px,
    batch,
    fatal,
    threads,
):
    path, _ = scene_file
    how = {"working": working, "margin": margin_and_ramp[0], "ramp": margin_and_ramp[1], "batch": batch}
    whole, (alone,), _ = run(make_job(path, chunk_px=512, **how), folder)
    calls = count()

    def breaks(member, windows):
        if next(calls) == fatal:
            raise ValueError("once")
        return by_member(member, windows)

    engine = ThreadsEngine(lanes=2) if threads else SyncEngine()
    found, records, failed = run(
        make_job(path, chunk_px=chunk_px, **how), folder, engine=engine, forward=breaks, tries=2
    )
    assert len(failed[0]) <= 1
    assert failed[1] == []
    assert sum(record.windows for record in records) == alone.windows
    for name, layer in whole.items():
        np.testing.assert_array_equal(found[name], layer, err_msg=name)


def test_chunks_that_always_fail_are_those_whose_windows_do(scene_file, folder):  # noqa: F811
    path, pixels = scene_file
    job = make_job(path, chunk_px=64, batch=1)
    fatal = np.float32(pixels[0, 125:133, 60:68]) / 255  # of windows of four chunks

    def breaks(member, windows):
        seen = np.lib.stride_tricks.sliding_window_view(windows[0, 0], fatal.shape)
        if (seen == fatal).all((2, 3)).any():
            raise ValueError("always")
        return by_member(member, windows)

    apart, _, (expected,) = run(job, folder, forward=breaks, seams=False)
    found, _, tried = run(job, folder, forward=breaks, tries=2)
    lost = {one.id for one in expected}
    assert [{one.id for one in failed} for failed in tried] == [lost, lost]
    assert 0 < len(lost) < len(list(job.chunks())) / 2
    for chunk_id, box in job.chunks():
        part = box.within(job.scene.grid.box)
        for name, layer in apart.items():
            assert chunk_id in lost or (found[name][part] == layer[part]).all()


def test_a_run_that_was_stopped_half_way_goes_on_by_itself(scene_file, folder):  # noqa: F811
    path, _ = scene_file
    job = make_job(path, chunk_px=64)
    chunks, (whole, (alone,), _) = list(job.chunks()), run(make_job(path, chunk_px=512), folder)
    for half in (1, 5, len(chunks) - 1):
        store = Memory(job)
        _, before, _ = run(job, folder, only=chunks[:half], store=store)
        found, after, _ = run(job, folder, only=chunks[half:], store=store)
        for name, layer in whole.items():
            np.testing.assert_array_equal(found[name], layer, err_msg=f"{name}, {half} chunks first")
        assert sum(record.windows for record in before + after) > alone.windows


def test_shards_hand_on_among_their_own_chunks_and_the_plan_says_how_many_windows_they_run(scene_file, folder):  # noqa: F811
    path, _ = scene_file
    job = make_job(path, chunk_px=64)
    chunks, whole = list(job.chunks()), run(make_job(path, chunk_px=512), folder)[0]
    store, seen = Memory(job), []
    for first in range(2):
        found, records, _ = run(job, folder, only=chunks[first::2], store=store)
        seen += records
    for name, layer in whole.items():
        np.testing.assert_array_equal(found[name], layer, err_msg=name)
    plan = Plan(job, 1, SimpleNamespace(total=0), {}, (), in_order=2)
    windows = sum(record.windows + record.skipped for record in seen)
    assert 1 < plan.redundancy < replace(plan, in_order=None).redundancy
    assert replace(plan, in_order=1).redundancy == 1 == redundancy(job.windows, [[box for _, box in chunks]])
    assert windows >= plan.redundancy * job.windows.count  # what is skipped is skipped by each that it touches
    assert plan.disk_bytes > replace(plan, in_order=None).disk_bytes


def test_a_disk_that_is_full_ends_the_run(scene_file, folder):  # noqa: F811
    path, _ = scene_file
    with largest_file(100_000), pytest.raises(OutputError, match=r"job: windows at borders .* free or repair the disk"):
        run(make_job(path, chunk_px=64), folder)
    with pytest.raises(OutputError, match="gone: windows at borders"):
        run(make_job(path, chunk_px=64), folder / "gone")
