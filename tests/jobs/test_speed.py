"""Progress: windows, speed, what is left at most, memory against the plan, and what a run waits for."""

import json
import time

import numpy as np
import pytest
from conftest import write_tif

from geoseg import predict
from geoseg.cli import main
from geoseg.executors.base import ChunkProgress, ChunkRecord
from geoseg.jobs import speed
from geoseg.jobs.speed import Meter
from geoseg.options.run import RunOptions
from geoseg.values.box import Box

NONE = np.zeros((1, 1), np.int32)


def test_what_is_left_is_counted_from_windows_that_were_run(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(speed.time, "perf_counter", lambda: now[0])
    meter = Meter(4 * 10**6, 2 * 10**9)
    assert (meter.speed().seconds_left, meter.speed().words) == (None, "")
    now[0] += 1
    meter.add(ChunkRecord("empty", Box(0, 0, 1000, 1000), 0, 50, NONE))  # no data: takes a second
    assert meter.speed().seconds_left is None
    now[0] += 9
    meter.add(ChunkProgress("b", 0.5, 10**6, 25, 0, {"read": 1.0, "network": 7.0, "write": 0.5}))
    found = meter.speed()
    assert (found.windows, found.skipped, found.windows_left) == (25, 50, 125)
    assert found.mpx_per_s == 0.15
    assert found.seconds_left == pytest.approx(10 / 25 * 125)  # not 10 / 75 * 125: empty windows cost nothing
    assert max(found.waited_s, key=found.waited_s.get) == "network"
    assert found.memory_bytes > 10**7
    assert found.words.startswith("25 windows, 0.15 Mpx/s, at most 50 s left, ")
    assert found.words.endswith(" of 2,000 MB")
    meter.add(ChunkRecord("b", Box(0, 0, 1000, 1000), 50, 0, NONE))
    assert (meter.speed().windows, meter.speed().windows_left) == (50, 100)
    meter.add(ChunkRecord("c", Box(0, 0, 1000, 1999), 0, 0, NONE))
    assert meter.speed().windows_left == 1  # of a thousand pixels


@pytest.mark.parametrize("engine", ["threads", "sync"])
def test_a_run_reports_its_windows_and_what_it_waits_for(engine, tiny_bundle, tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(1, 255, (3, 600, 700), np.uint8)
    pixels[:, :300] = 0
    scene = write_tif(tmp_path / "scene.tif", pixels, photometric="RGB", nodata=0)
    seen = []
    options = RunOptions(engine=engine, chunk_px=512)
    result = predict(scene, tiny_bundle, tmp_path / "out", options=options, listen=seen.append)
    last = [one.speed for one in seen if one.stage == "predict"][-1]
    run = result.run
    assert (last.windows, last.skipped) == (run["windows"]["run"], run["windows"]["skipped"])
    assert last.skipped > 0
    assert (last.windows_left, last.seconds_left) == (0, 0)
    assert last.planned_bytes == run["plan"]["peak_memory_bytes"]
    assert {*last.waited_s} == {"read", "network", "write"}
    assert all(seconds >= 0 for seconds in last.waited_s.values())


def test_a_slow_reader_is_what_is_waited_for(tiny_bundle, tiny_scene, tmp_path, monkeypatch, capsys):
    from geoseg.jobs import chunk

    own = chunk.read_strip
    monkeypatch.setattr(chunk, "read_strip", lambda *args: (time.sleep(0.5), own(*args))[1])
    argv = ["predict", str(tiny_scene), "-m", str(tiny_bundle), "-o", str(tmp_path / "out"), "--progress", "json"]
    assert main(argv) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    waited = [line["speed"]["waited_s"] for line in lines if line.get("stage") == "predict" and line["speed"]][-1]
    assert max(waited, key=waited.get) == "read"
