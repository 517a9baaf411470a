"""The documented way on the demo's scene: autoconfig, check-labels, train, predict, evaluate."""

import json
import re
from importlib import resources

import geopandas as gpd
import pytest

from geoseg.cli import main
from geoseg.models.bundle import load_model


@pytest.mark.nightly
def test_from_polygons_to_a_calibrated_model_and_a_report(tmp_path):
    """Two epochs of small windows; validation says of its blocks nearly what a run and evaluate say of them.

    Not to the last pixel, as in test_train_cli: the temperature moves the sum of the building's two channels.
    """
    demo = resources.files("geoseg") / "demo"
    data, config, model = tmp_path / "data", tmp_path / "town.yaml", tmp_path / "model"
    data.mkdir()
    (data / "town.tif").symlink_to(str(demo / "scene.tif"))
    (data / "town.gpkg").symlink_to(str(demo / "buildings_truth.gpkg"))
    assert main(["autoconfig", str(data), "--target", "buildings", "--minutes", "0.25", "-o", str(config)]) == 0
    # How many epochs fit depends on the machine; windows of 256 px would take most of the time here.
    for key, value in {"epochs": 2, "steps_per_epoch": 50, "batch": 4, "crop_px": 128}.items():
        changed, count = re.subn(rf"\b{key}: \d+", f"{key}: {value}", config.read_text())
        assert count == 1
        config.write_text(changed)
    assert main(["check-labels", str(config), "-o", str(tmp_path / "checked")]) in (0, 8)
    assert (tmp_path / "checked" / "overlays.png").exists()
    assert main(["train", str(config), "-o", str(model), "-q"]) == 0
    spec = load_model(model).spec
    assert spec.calibration is not None
    assert spec.training["calibration"]["after"]["ece"] < 0.15
    split = gpd.read_file(model / "split.gpkg", layer="split")
    ious, useless = {}, {}
    for role, flags in (("validation", ["--threshold", "0.5"]), ("test", [])):
        split[split["role"] == role].to_file(tmp_path / f"{role}.gpkg")
        out, told, report = (tmp_path / f"{role}{end}" for end in ("", ".json", ".html"))
        ground = ["--aoi", str(tmp_path / f"{role}.gpkg")]
        assert main(["predict", str(data / "town.tif"), "-m", str(model), "-o", str(out), *ground, *flags, "-q"]) == 0
        scored = ["--truth", str(data / "town.gpkg"), *ground, "--json", str(told), "--report", str(report)]
        assert main(["evaluate", str(out), *scored]) == 0
        scores = json.loads(told.read_text())
        ious[role], useless[role] = scores["classes"][1]["iou"], scores["baseline"]["iou"]
        assert "src=" not in report.read_text().replace('src="data:', "")
    print(f"IoU {ious}, while training {spec.training['validation_iou']}")
    assert ious["validation"] == pytest.approx(spec.training["validation_iou"][1], abs=0.05)
    assert ious["test"] > useless["test"] + 0.03
