"""What an older geoseg has left: its bundles load, its run.json runs, its unfinished jobs are refused with the way on.

tests/data/c8002e3 was made by that commit: ``geoseg predict scene.tif -m bundle -o finished --chunk-px 512``, and the
same ``-o unfinished --shard 0/2``. Paths in it start at /data/c8002e3.
"""

import json
import shutil
from pathlib import Path

import pytest

from geoseg.cli import main
from geoseg.models.bundle import load_model

THERE = "/data/c8002e3"
DATA = Path(__file__).parent / THERE.lstrip("/")


@pytest.fixture
def old(tmp_path):
    """A copy of what the older version left, as if it had been made where the copy lies."""
    copy = shutil.copytree(DATA, tmp_path / "old")
    for path in (copy / "finished" / "run.json", copy / "unfinished" / ".job" / "plan.json"):
        path.write_text(path.read_text(encoding="utf-8").replace(THERE, str(copy)), encoding="utf-8")
    return copy


def test_a_bundle_keeps_its_digest(old):
    stated = json.loads((old / "finished" / "run.json").read_text(encoding="utf-8"))["model"]["sha256"]
    assert load_model(old / "bundle").digest == stated


def test_a_run_json_runs_again(old):
    assert main(["run", str(old / "finished" / "run.json"), "-o", str(old / "again"), "-q"]) == 0
    before, after = (json.loads((old / f / "run.json").read_text(encoding="utf-8")) for f in ("finished", "again"))
    assert after["grid"] == before["grid"]
    assert [c["name"] for c in after["classes"]] == [c["name"] for c in before["classes"]]
    assert {main(["check", str(old / f)]) for f in ("finished", "again")} == {0}


@pytest.mark.parametrize("verb", ["predict", "finish"])
def test_an_unfinished_job_is_refused_with_the_way_on(old, capsys, verb):
    out = str(old / "unfinished")
    scene = [str(old / "scene.tif"), "-m", str(old / "bundle"), "-o", out, "--chunk-px", "512", "--device", "cpu", "-q"]
    parts = sorted((old / "unfinished").rglob("*.tif"))
    assert len(parts) == 1
    assert main([verb, *(scene if verb == "predict" else [out])]) == 5
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert "unfinished job of another plan" in told
    assert "--fresh" in told
    assert sorted((old / "unfinished").rglob("*.tif")) == parts
