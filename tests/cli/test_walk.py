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
    """Six epochs; validation says of its blocks what a run says of them, scored by evaluate: to within 0.02 IoU."""
    demo = resources.files("geoseg") / "demo"
    data, config, model = tmp_path / "data", tmp_path / "town.yaml", tmp_path / "model"
    data.mkdir()
    (data / "town.tif").symlink_to(str(demo / "scene.tif"))
    (data / "town.gpkg").symlink_to(str(demo / "buildings_truth.gpkg"))
    assert main(["autoconfig", str(data), "--target", "buildings", "--minutes", "0.25", "-o", str(config)]) == 0
    # How many epochs fit depends on the machine; after two all is near 0.5, and the arithmetic of a machine decides.
    config.write_text(re.sub(r"epochs: \d+", "epochs: 6", config.read_text()))
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
    assert ious["validation"] == pytest.approx(spec.training["validation_iou"][1], abs=0.02)
    assert ious["test"] > useless["test"] + 0.03
