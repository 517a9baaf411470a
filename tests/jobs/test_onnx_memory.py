"""What a run with an ONNX file holds at its peak is what its plan says."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import write_tif
from onnx_nets import write_net

from geoseg.models.imports.run import import_model
from geoseg.options.exchange import ImportOptions, parse_classes

RUN = """
import json, sys
from geoseg import RunOptions, predict
scene, model, out = sys.argv[1:]
run = predict(scene, model, out, options=RunOptions(chunk_px=1024, lanes=2)).run
print(json.dumps([run["run"]["peak_memory_bytes"], run["plan"]["peak_memory_bytes"]]))
"""


@pytest.mark.memory
def test_peak_memory_of_an_onnx_file_is_planned(tmp_path):
    options = ImportOptions(
        bands="red,green,blue", classes=parse_classes("a,b,c"), normalises=True, gsd_m=0.5, window_px=1024
    )
    made = import_model(write_net(tmp_path / "net.onnx", width=256), tmp_path / "net", options)
    scene = write_tif(tmp_path / "scene.tif", np.random.default_rng(0).integers(0, 255, (3, 900, 1100), np.uint8))
    command = [sys.executable, "-c", RUN, str(scene), made.bundle.path, str(tmp_path / "out")]
    peak, planned = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert peak <= planned <= 3 * peak, (peak, planned, made.bundle.spec.arch.options)
