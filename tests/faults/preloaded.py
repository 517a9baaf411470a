"""What is imported and done once, in the server that all processes are forked from: 15 s of a core in each otherwise.

Imported by that server alone. A small run loads what is compiled, with a stand-in for the network, as all runs have.
"""

import contextlib
import io
import tempfile
from importlib import import_module
from pathlib import Path

from faults.conftest import stand_in_bundle, write_scene
from faults.patches import network
from geoseg.cli import main

for name in ("distributed.cli.dask_scheduler", "distributed.cli.dask_worker", "geoseg.executors.dask"):
    import_module(name)

network()
with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
    place = Path(folder)
    run = [write_scene(place / "scene.tif", (800, 800)), "-m", stand_in_bundle(place / "stand-in"), "-o", place / "out"]
    assert main(["buildings", *map(str, run), "--engine", "sync", "--device", "cpu", "--memory", "4GB", "-q"]) == 0
