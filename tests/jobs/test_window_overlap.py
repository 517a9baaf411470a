"""--window-overlap: windows lie as far apart as asked, and chunks still change no byte."""

import json

import numpy as np
import pytest
from conftest import write_tif

from geoseg import RunOptions, predict
from geoseg.models.bundle import load_model


def test_windows_lie_as_far_apart_as_asked_and_chunks_change_no_byte(tmp_path, tiny_bundle):
    scene = tmp_path / "scene.tif"
    write_tif(scene, np.random.default_rng(2).integers(1, 255, (3, 560, 200), np.uint8), photometric="RGB")
    spec, plans, made = load_model(tiny_bundle).spec, {}, {}
    for share, chunk_px in ((None, 512), (0.25, 512), (0.25, 1024)):
        out = tmp_path / f"{share}-{chunk_px}"
        predict(scene, tiny_bundle, out, options=RunOptions(device="cpu", window_overlap=share, chunk_px=chunk_px))
        plans[share, chunk_px] = json.loads((out / "run.json").read_text())["plan"]
        made[share, chunk_px] = [(out / name).read_bytes() for name in ("classes.tif", "confidence.tif")]
    stride = plans[0.25, 512]["stride_px"][0]
    assert stride == pytest.approx(0.75 * spec.window_px)
    assert stride > plans[None, 512]["stride_px"][0]
    assert plans[0.25, 512]["windows"] < plans[None, 512]["windows"]
    assert plans[0.25, 512]["fingerprint"] != plans[None, 512]["fingerprint"]
    assert plans[0.25, 512]["chunks"] > plans[0.25, 1024]["chunks"]
    assert made[0.25, 512] == made[0.25, 1024] != made[None, 512]
