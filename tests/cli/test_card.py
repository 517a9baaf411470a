"""geoseg info BUNDLE: the card of a model, as tables and as JSON; a file of a model's name is a scene."""

import json
import re
import shutil

import detect
import panoptic
import pytest
from conftest import write_bundle

from geoseg.cli import main
from geoseg.models.known import bundled_models
from geoseg.training.data_spec import LabelledScene
from geoseg.training.manifest import manifest
from geoseg.training.spec import TrainSpec
from geoseg.training.targets import BuildingTarget


@pytest.mark.parametrize("name", bundled_models())
def test_every_model_that_comes_with_geoseg_has_a_card(name, capsys):
    assert main(["info", name]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{name}\n  network ")
    for row in ("  resolution ", "  windows ", "  answers ", "  scores ", "  trained on ", "  licence "):
        assert row in text
    assert main(["info", name, "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert known["name"] == name
    assert all({"name", "wavelength_nm", "mean", "std"} <= band.keys() for band in known["bands"])
    assert all(row["color"].startswith("#") for row in known["classes"])


def test_a_card_says_what_a_bundle_was_trained_on(tmp_path, capsys):
    training = {
        "scenes": 1, "kept_epoch": 3, "validation_iou": [0.9, None], "stem": {"red": "copy of red"},
        "manifest": [{"scene": ["a.tif"], "labels": "a.gpkg", "sha256": ["0123456789abcdef", "fedcba9876543210"]}],
        "encoder": {"licence": "MIT", "weights": "lite0.safetensors"},
    }  # fmt: skip
    derived = ({"band": "green", "formula": "(nir - red) / (nir + red)"},)
    folder = write_bundle(tmp_path / "told", widths=[4, 8], training=training, derived=derived)
    assert main(["info", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "a.tif with a.gpkg (sha256 0123456789ab fedcba987654)" in text
    assert "encoder: licence MIT, weights lite0.safetensors" in text
    assert "input layer: red: copy of red" in text
    assert "validation IoU: background 0.900 (epoch 3)" in text
    assert "(nir - red) / (nir + red)" in text
    assert "bytes, 0 to 255\n" in text


def test_a_file_of_a_model_s_name_is_a_scene_and_a_damaged_bundle_is_said(
    tmp_path, tiny_scene, tiny_bundle, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny_scene, "spectral")
    assert main(["info", "spectral"]) == 0
    assert capsys.readouterr().out.startswith("scene ")
    shutil.copytree(tiny_bundle, "broken")
    (tmp_path / "broken" / "weights.safetensors").write_bytes(b"")
    assert main(["info", "broken"]) == 4
    assert "holds 0 bytes" in capsys.readouterr().err


def test_a_manifest_names_files_and_what_was_in_them(tmp_path, tiny_scene, tiny_truth):
    row = LabelledScene(scene=str(tiny_scene), labels=str(tiny_truth), use="train")
    away = LabelledScene(scene=("https://x.org/a.tif", "b.tif"), labels="c.gpkg", use="validation")
    spec = TrainSpec(name="t", data=(row, away), target=BuildingTarget(), bands="red,green,blue")
    here, there = manifest(spec.data)
    assert (here["scene"], here["labels"], len(here["sha256"])) == (["scene.tif"], "truth.gpkg", 2)
    assert there == {"scene": ["a.tif", "b.tif"], "labels": "c.gpkg", "sha256": []}


def test_card_says_which_classes_are_things(tmp_path, capsys):
    assert main(["info", str(panoptic.write_oracle(tmp_path / "m"))]) == 0
    told = capsys.readouterr().out
    assert re.search(r"task +panoptic\n", told)
    assert re.search(r"things +box, disc; objects of up to 64 px", told)
    assert re.search(r"memory +0 MB inside the network, for a call of one window; geoseg plan SCENE says", told)
    assert main(["info", str(detect.write_oracle(tmp_path / "d"))]) == 0
    told = capsys.readouterr().out
    assert re.search(r"things +even, odd; objects up to 20 px of the model's from side to side are seen whole", told)
    assert re.search(r"memory +0 MB inside the network and 131 MB of masks at most", told)  # 2000 of 256 x 256 px
