"""Values of a scene that are not a model's: refused before a pixel is computed, or stretched, whatever the chunks."""

import json

import numpy as np
import pytest
from conftest import write_bundle, write_tif

from geoseg import RunOptions, predict
from geoseg.cli import main
from geoseg.errors import InputError


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """(3, 560, 600) numbers of twelve bits, darker to the east."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(300, 2500, (3, 560, 600)) + np.linspace(1500, 0, 600).astype(int)
    return write_tif(tmp_path_factory.mktemp("wide") / "wide.tif", pixels.astype(np.uint16), photometric="RGB")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(write_bundle(tmp_path_factory.mktemp("model") / "m", widths=[4, 8]))


def test_a_stretch_is_the_scene_s_and_no_chunk_s(tmp_path, wide, model):
    runs = {
        px: predict(wide, model, tmp_path / str(px), options=RunOptions(chunk_px=px, stretch=(2, 98)))
        for px in (512, 1024)
    }
    assert [run.run["plan"]["chunks"] for run in runs.values()] == [4, 1]
    small, whole = ((tmp_path / str(px) / "classes.tif").read_bytes() for px in runs)
    assert small == whole
    assert any("percentiles 2 and 98" in note for note in runs[512].run["plan"]["notes"])
    assert main(["run", str(tmp_path / "512" / "run.json"), "-o", str(tmp_path / "again"), "-q"]) == 0
    assert (tmp_path / "again" / "classes.tif").read_bytes() == small
    identities = [json.loads((tmp_path / str(px) / "run.json").read_text())["identity"]["bands"] for px in runs]
    assert identities[0] == identities[1]
    assert "(0.0, 255.0)" in identities[0][0]


def test_without_one_it_is_refused_before_anything_is_written(tmp_path, wide, model, capsys):
    with pytest.raises(InputError, match=r"run from 556.1 to \d+ \(uint16\), .*--scale.*--stretch 2,98"):
        predict(wide, model, tmp_path / "out")
    assert main(["predict", str(wide), "-m", model, "-o", str(tmp_path / "out"), "-q"]) == 3
    assert "--stretch 2,98" in capsys.readouterr().err
    assert not (tmp_path / "out" / "classes.tif").exists()


@pytest.mark.parametrize("given", ["98,2", "2", "a,b", "-1,98"])
def test_percentiles_that_make_no_sense(tmp_path, wide, model, given, capsys):
    assert main(["predict", str(wide), "-m", model, "-o", str(tmp_path / "out"), f"--stretch={given}"]) == 2
    assert "two percentiles" in capsys.readouterr().err


def test_what_training_saw_is_recorded_beside_what_the_scene_holds_and_warned_of(tmp_path, tiny_scene, model, caplog):
    from geoseg.models.bundle import load_model

    spec = load_model(model).spec
    rows = tuple(tuple(float(v) for v in (200, 210, 220, 230, 240)) for _ in spec.bands)
    values = {"shares": (0.01, 0.25, 0.5, 0.75, 0.99), "quantiles": rows, "bytes_alone": True}
    told = write_bundle(tmp_path / "told", widths=[4, 8], values=values)
    run = predict(tiny_scene, str(told), tmp_path / "out").run
    assert [row["band"] for row in run["plan"]["values"]] == ["red", "green", "blue"]
    assert all(row["outside"] > 0.5 for row in run["plan"]["values"])
    assert any("beyond training's" in note for note in run["plan"]["notes"])
    assert [r.levelname for r in caplog.records if "beyond training's" in r.getMessage()] == ["WARNING"]
