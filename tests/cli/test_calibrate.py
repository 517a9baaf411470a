"""geoseg calibrate: half of the ground is fitted to, too little ground is refused, and runs apply what is fitted."""

import logging
import shutil

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import yaml

from geoseg.cli import main, trained
from geoseg.config.load import load_config
from geoseg.errors import InputError
from geoseg.models.bundle import load_model
from geoseg.options.calibrate import CalibrateOptions
from geoseg.training import calibrate


@pytest.fixture
def config(tmp_path, tiny_scene, tiny_truth):
    content = {
        "job": "train", "name": "houses",
        "data": [{"scene": str(tiny_scene), "labels": str(tiny_truth), "use": "test"}],
        "target": {"kind": "buildings"}, "bands": "red,green,blue",
    }  # fmt: skip
    path = tmp_path / "ground.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_too_little_ground_is_refused(config, tiny_bundle, tmp_path, capsys):
    assert main(["calibrate", str(tiny_bundle), str(config), "-o", str(tmp_path / "m")]) == 3
    assert "ha of background are too little to calibrate on; 50 objects" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_what_is_fitted_is_stored_told_and_applied(config, tiny_bundle, tiny_scene, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(calibrate, "LEAST_OBJECTS", 1)
    monkeypatch.setattr(calibrate, "LEAST_HA", 0.0)
    out = tmp_path / "m"
    assert main(["calibrate", str(tiny_bundle), str(config), "-o", str(out)]) == 0
    assert "pixels show: expected calibration error" in capsys.readouterr().out
    spec = load_model(out).spec
    told = spec.training["calibration"]
    assert told["after"]["ece"] < told["before"]["ece"]
    assert (out / "reliability.png").stat().st_size > 5000
    assert main(["info", str(out)]) == 0
    assert "calibrated" in capsys.readouterr().out
    layers = ["--layers", "classes,probabilities", "--engine", "sync", "-q"]
    for name, model in (("before", tiny_bundle), ("after", out)):
        assert main(["predict", str(tiny_scene), "-m", str(model), "-o", str(tmp_path / name), *layers]) == 0
    before, after = (rasterio.open(tmp_path / name / "probabilities.tif").read() for name in ("before", "after"))
    assert (before != after).any()
    known = after[0] > 0
    assert np.abs(after.sum(0, dtype=int)[known] - 256).max() <= 2
    classes = rasterio.open(tmp_path / "after" / "classes.tif").read(1)
    assert ((classes == 2) == (after[1] >= np.ceil(1 + 254 * spec.threshold)))[known].mean() > 0.98


def test_labels_that_lie_in_few_parts_are_found(config, tiny_bundle, tmp_path, monkeypatch):
    """Two of the parts of 32 px were looked at, whatever they held; pixels were left out as if all had labels."""
    monkeypatch.setattr(calibrate, "PART_PX", 32)
    monkeypatch.setattr(calibrate, "MOST_PARTS", 2)
    monkeypatch.setattr(calibrate, "MOST_PIXELS", 400)
    drawn = shapely.box(3e5 + 70, 3.06e6 - 79, 3e5 + 90, 3.06e6 - 65)  # 40 x 28 px, of which 32 x 28 in one part
    gpd.GeoDataFrame(geometry=[drawn], crs="EPSG:32645").to_file(tmp_path / "drawn.gpkg")
    content = yaml.safe_load(config.read_text())
    content["data"][0]["area"] = str(tmp_path / "drawn.gpkg")
    config.write_text(yaml.safe_dump(content))
    bundle = load_model(tiny_bundle)
    ground = calibrate.ground_of(bundle, load_config(config).spec, ("test",))
    assert 600 < len(ground.truth) <= 40 * 28
    monkeypatch.setattr(calibrate, "LEAST_OBJECTS", 1)
    monkeypatch.setattr(calibrate, "LEAST_HA", 0.0)
    with pytest.raises(InputError, match="label ground farther apart"):
        calibrate.calibrated(bundle, ground, CalibrateOptions())


@pytest.mark.parametrize("thresholds", ["keep", "f1"])
def test_a_training_fits_thresholds_only_where_it_is_asked(
    thresholds, config, tiny_bundle, tmp_path, capsys, monkeypatch, caplog
):
    caplog.set_level(logging.INFO, "geoseg")  # as a command that is not quiet
    monkeypatch.setattr(calibrate, "LEAST_OBJECTS", 1)
    monkeypatch.setattr(calibrate, "LEAST_HA", 0.0)
    entry = {**yaml.safe_load(config.read_text()), "thresholds": thresholds}
    entry["data"] = [entry["data"][0] | {"use": "validation"}]
    config.write_text(yaml.safe_dump(entry))
    made = trained.calibrated_bundle(
        load_model(shutil.copytree(tiny_bundle, tmp_path / "m")), load_config(config).spec, plan=None
    )
    assert made.spec.calibration is not None
    assert (made.spec.threshold == 0.5) == (thresholds == "keep")
    assert ("thresholds stay: fitted ones suit" in capsys.readouterr().out) == (thresholds == "keep")
