"""geoseg models lists what comes with geoseg and what the user has, and predict chooses of the first."""

import json
import shutil

import numpy as np
import pytest
from affine import Affine
from conftest import write_tif

from geoseg.cli import main
from geoseg.models.bundle import load_model
from geoseg.models.known import bundled_models, known_models


@pytest.fixture
def own_folder(tmp_path, monkeypatch, tiny_bundle):
    """A folder of the user's models: one sound, one that takes a name of geoseg's, one damaged."""
    folder = tmp_path / "models"
    for name in ("mine", "spectral", "broken"):
        shutil.copytree(tiny_bundle, folder / name)
    (folder / "broken" / "weights.safetensors").write_bytes(b"")
    monkeypatch.setenv("GEOSEG_MODELS", str(folder))
    return folder


def test_every_model_is_listed_with_what_it_is_for(own_folder, capsys):
    assert main(["models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert set(listed) == {*bundled_models(), "mine", "broken"}
    assert listed["spectral"]["resolution_m"] == [10, 30]
    assert listed["spectral"]["quantity"] == "reflectance"
    assert listed["spectral"]["scores"]
    assert "holds 0 bytes" in listed["broken"]["fault"]
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert "spectral\n  task        semantic: water, dense vegetation" in text
    assert "  licence     Apache-2.0" in text
    assert "red, green, blue, nir (may be lacking)\n" in text
    assert text.count(str(own_folder)) >= 2


def test_networks_are_listed_with_their_windows_and_licences(capsys):
    assert main(["models", "--networks", "--json"]) == 0
    rows = {row["network"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["pan"]["windows"] == "32 n px, 128 or more"
    assert "batches of 2 or more in training" in rows["pan"]["notes"]
    assert "one by one" in rows["oneformer"]["notes"]
    assert "geoseg[transformers]" in rows["oneformer"]["notes"]
    assert all(row["about"] and row["code"] and row["weights"] for row in rows.values())
    assert main(["models", "--networks"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(rows) + 1


def test_a_model_of_the_user_s_is_found_by_name_but_never_instead_of_geoseg_s(own_folder):
    assert load_model("mine").path == str(own_folder / "mine")
    assert known_models()["spectral"] == bundled_models()["spectral"]


def test_without_a_variable_models_lie_in_the_user_s_data_folder(tmp_path, monkeypatch, tiny_bundle):
    monkeypatch.delenv("GEOSEG_MODELS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    shutil.copytree(tiny_bundle, tmp_path / "geoseg" / "models" / "mine")
    assert known_models()["mine"] == tmp_path / "geoseg" / "models" / "mine"


def satellite(path, pixel_m):
    rng = np.random.default_rng(0)
    data = np.kron(rng.integers(50, 5000, (5, 8, 8)), np.ones((8, 8))).astype(np.uint16)
    write_tif(path, data, crs="EPSG:32633", transform=Affine(pixel_m, 0, 5e5, 0, -pixel_m, 5e6))
    return ["--bands", "blue,green,red,nir,swir16"]


def test_predict_without_a_model_takes_the_one_that_fits_and_run_json_names_it(tmp_path, capfd):
    flags = satellite(tmp_path / "s.tif", 20)
    assert main(["predict", str(tmp_path / "s.tif"), *flags, "-o", str(tmp_path / "out"), "--progress", "plain"]) == 0
    assert "model spectral, because its bands" in capfd.readouterr().err
    assert json.loads((tmp_path / "out" / "run.json").read_text())["config"]["model"] == ["spectral"]


def test_a_scene_that_no_model_is_for_is_refused_before_it_is_run(tmp_path, capfd):
    flags = satellite(tmp_path / "s.tif", 1000)
    for argv in (["predict", "-o", str(tmp_path / "out")], ["plan"]):
        assert main([argv[0], str(tmp_path / "s.tif"), *flags, *argv[1:]]) == 3
        told = capfd.readouterr().err
        assert "spectral: pixels of 1e+03 m, and it is for 10 to 30 m" in told
        assert "geoseg models lists all" in told
    assert not (tmp_path / "out").exists()
