"""The walks of docs/design.md are those of a run: each file takes part, and none that hands over is left out."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import write_tif

PAGE = Path(__file__).resolve().parent.parent / "docs" / "design.md"
# Where a thing has come to on its walk: a function, below which file of the walk it is called, and the walk.
MOMENTS = {
    ("scenes/reading", "read"): ("jobs/chunk", "a window"),
    ("tiling/normalise", "normalise"): ("jobs/chunk", "a window"),
    ("models/backends/torch", "__call__"): ("jobs/run", "a window"),
    ("tiling/blend", "accumulate"): ("jobs/chunk", "a window"),
    ("vector/pixels/subpixel", "trace_rings"): ("vector/tiles/tile_task", "a polygon"),
    ("vector/fit/rectangles", "best_rectangles"): ("vector/fit/polygons", "a polygon"),
    ("vector/footprints/least", "without_small"): ("vector/footprints/extract", "a polygon"),
    ("outputs/geopackage/writer", "_write_features"): ("vector/tiles/draw", "a polygon"),
}
BEFORE = {  # what hands over to the first file of a walk
    "a window": {"cli/__init__", "cli/options"},
    "a polygon": {"cli/__init__", "cli/options", "cli/predict", "pipelines/buildings", "jobs/predict"},
}
TRACED = """
import json, sys
from itertools import groupby
from pathlib import Path

import geoseg
from geoseg.cli import main

target, moments, *arguments = sys.argv[1:]
moments = {tuple(moment) for moment in json.loads(moments)}
package, monitoring = Path(geoseg.__file__).parent, sys.monitoring
recipes = Path(__import__("geoseg.pipelines").pipelines.__file__).resolve().parent
starts = {package.resolve(): package.resolve(), recipes: recipes.parent}  # of a folder: what its files are named from
ran, stacks, names = {}, [], {}

def name(file):
    if file not in names:
        path = Path(file).resolve()
        inside = [str(path.relative_to(start)) for folder, start in starts.items() if folder in path.parents]
        names[file] = inside[0].removesuffix(".py") if inside and path.suffix == ".py" else None
    return names[file]

def started(code, _):
    file = name(code.co_filename)
    if file is None or code.co_name == "<module>":
        return monitoring.DISABLE
    ran[file] = True
    if (file, code.co_name) not in moments:
        return monitoring.DISABLE
    frame, stack = sys._getframe(1), []
    while frame is not None:
        stack.append(name(frame.f_code.co_filename))
        frame = frame.f_back
    stacks.append([file, code.co_name, [one for one, _ in groupby(reversed(stack)) if one]])

monitoring.use_tool_id(monitoring.PROFILER_ID, "walks")
monitoring.register_callback(monitoring.PROFILER_ID, monitoring.events.PY_START, started)
monitoring.set_events(monitoring.PROFILER_ID, monitoring.events.PY_START)
code = main(arguments)
monitoring.set_events(monitoring.PROFILER_ID, 0)
Path(target).write_text(json.dumps({"ran": sorted(ran), "stacks": stacks}))
sys.exit(code)
"""


def walks():
    """Return the files of each walk, by its name."""
    text = PAGE.read_text(encoding="utf-8").partition("## Walks")[2]
    rows = re.findall(r"^\| (an? [^|]+?) \| (.+) \|$", text, re.MULTILINE)
    return {what: re.findall(r"`([\w/]+)`", files) for what, files in rows}


def test_the_page_counts_its_files():
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    window, polygon = (walks()[name] for name in ("a window", "a polygon"))
    alone = polygon[: polygon.index("vector/adjacent/split")]
    assert f"a window passes {len(window)} files and the polygon of a house that stands alone {len(alone)}" in text


@pytest.mark.nightly
def test_a_run_walks_through_the_files_that_are_named_and_no_other(tmp_path, tiny_bundle):
    pixels = np.random.default_rng(0).integers(40, 90, (3, 96, 96), np.uint8)
    pixels[:, 10:30, 10:34] += 120
    pixels[:, 50:70, 40:60] += 120
    scene, told = write_tif(tmp_path / "scene.tif", pixels, photometric="RGB"), tmp_path / "told.json"
    run = ["buildings", scene, "-m", tiny_bundle, "-o", tmp_path / "o", "--engine", "sync", "--device", "cpu", "-q"]
    command = [sys.executable, "-c", TRACED, told, json.dumps([*MOMENTS]), *run]
    whole = os.environ | {"NUMBA_DISABLE_JIT": "1"}  # functions that are compiled start unseen
    done = subprocess.run([*map(str, command)], env=whole, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(told.read_text())
    named, ran = walks(), set(found["ran"])
    for what in ("a window", "a probability", "a polygon", "a class table", "an option"):
        assert [file for file in named[what] if file not in ran] == [], what
    seen = set()
    for file, function, stack in found["stacks"]:
        below, what = MOMENTS[file, function]
        if below in stack and "vector/tiles/warmup" not in stack:  # it draws a house of its own
            seen.add((file, function))
            assert set(stack) <= {*named[what], *BEFORE[what]}, (file, function, stack)
    assert seen == {*MOMENTS}
