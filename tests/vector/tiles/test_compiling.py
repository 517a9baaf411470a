"""Compiling: it is told before it begins, only where it happens, and happens before drawing does."""

import logging
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import write_tif
from numba import njit

from geoseg.vector.tiles.warmup import compiling_told

DRAW = """
import sys
import numpy as np
from affine import Affine
from numba.core.dispatcher import Dispatcher
from scipy import ndimage
from geoseg.vector.tiles.warmup import compile_drawing
from geoseg.values.box import Box
from geoseg.vector.footprints.extract import FootprintRules, to_footprints
from geoseg.vector.ground import GroundFrame
from geoseg.vector.tiles.oversized import joined_runs
from geoseg.vector.tiles.tile_task import TileTask, draw_task

def compiled():
    ours = [module for name, module in sys.modules.items() if name.startswith("geoseg.")]
    functions = [f for module in ours for f in vars(module).values() if isinstance(f, Dispatcher)]
    return {(f.__name__, s) for f in functions for s in f.signatures}

frame = GroundFrame.of_metric(Affine(0.5, 0, 0, 0, -0.5, 0))
hills = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(300, 300)), 5)
p = np.clip(100 + 60 * hills / hills.std(), 1, 255).astype(np.uint8)
here = Box(0, 0, 300, 300)
task = TileTask(
    here, here, np.empty((0, 2), np.int64), np.empty((0, 4), np.int64), joined_runs([]), np.empty(0, object))
for rules, parted in [
    (FootprintRules(method="contour"), False), (FootprintRules(split_necks=True), False), (FootprintRules(), True)
]:
    compile_drawing(rules, frame, parted=parted)
    before = compiled()
    drawn = draw_task(p.copy(), np.maximum(p, 61) - 60 if parted else None, task, frame=frame, rules=rules)
    assert len(to_footprints(drawn.resolved, frame)) > 20
    assert len(before) >= 5
    print(*compiled() - before, sep="\\n", end="")
"""


def test_it_is_told_once_and_only_where_something_is_compiled(caplog):
    @njit
    def one_more(value):
        return value + 1

    caplog.set_level(logging.INFO, "geoseg")
    with compiling_told():
        one_more(1)
        one_more(1.0)
    assert [record.message.split(",")[0] for record in caplog.records] == ["compiling the polygon code"]
    caplog.clear()
    with compiling_told():
        one_more(1)
    assert caplog.records == []


def test_drawing_compiles_nothing_that_was_not_compiled_before():
    done = subprocess.run([sys.executable, "-c", DRAW], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.nightly
def test_a_first_run_tells_and_a_second_does_not(tmp_path):
    raster = write_tif(tmp_path / "p.tif", np.full((1, 40, 40), 200, np.uint8), nodata=0)
    flags = ["-o", tmp_path / "p.gpkg", "--overwrite", "--method", "contour", "--full-scale", "255"]
    command = [sys.executable, "-m", "geoseg", "vectorize", raster, *flags]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    told = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(2)]
    assert [run.stderr.count("\n") for run in told] == [1, 0]
    assert told[0].stderr.startswith("compiling the polygon code")
    assert told[0].stdout == told[1].stdout
