"""Discs that touch are counted without a network: Otsu's threshold, and grouping by areas of what it maps."""

import json

import geopandas as gpd
import numpy as np
from conftest import GSD_M, write_tif

from geoseg.cli import main


def test_twelve_touching_discs_under_noise_are_twelve_objects(tmp_path):
    rows, cols = np.mgrid[:100, :130]
    places = [(row, col) for row in (20, 50, 80) for col in (20, 50, 80, 110)]
    inside = np.any([(rows - row) ** 2 + (cols - col) ** 2 <= 15**2 for row, col in places], axis=0)
    noise = np.random.default_rng(0).integers(-35, 36, inside.shape)
    scene = str(write_tif(tmp_path / "scene.tif", (np.where(inside, 150, 60) + noise).astype(np.uint8)[None]))
    model, out = tmp_path / "otsu", tmp_path / "out"
    assert main(["fit", scene, "--bands", "gray", "--of", "gray", "--classes", "ground,disc", "-o", str(model)]) == 0
    told = json.loads((model / "model.json").read_text())
    grouping = {"by": "areas", "things": ["disc"], "drop_px": 1.5, "min_px": 24}
    (model / "model.json").write_text(json.dumps({**told, "task": "panoptic", "grouping": grouping}))
    assert main(["predict", scene, "--bands", "gray", "-m", str(model), "-o", str(out), "-q"]) == 0
    frame = gpd.read_file(out / "instances.gpkg", layer=0)
    assert len(frame) == 12
    assert set(frame["class_name"]) == {"disc"}
    centres = {(round((3.06e6 - p.y) / GSD_M), round((p.x - 3e5) / GSD_M)) for p in frame.geometry.centroid}
    assert all(any(abs(r - row) <= 2 and abs(c - col) <= 2 for r, c in centres) for row, col in places), centres
