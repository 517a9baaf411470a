"""Groups of channels beside the softmax come out as rasters of their own, the same bytes for any chunks."""

import json

import numpy as np
import pytest
import rasterio
import torch
from conftest import write_bundle, write_tif

import geoseg
from geoseg import RunOptions, predict
from geoseg.cli import main
from geoseg.errors import ConfigError, OutputError
from geoseg.models.bundle import load_model
from geoseg.models.outputs import Channel, Output

CLASSES = Output(channels=tuple(Channel(name=n, class_id=i) for n, i in (("background", 1), ("building", 2))))
ROADS = Output(name="roads", activation="sigmoid", channels=(Channel(name="road"), Channel(name="rail")))
OFFSET = Output(name="offset", activation="signed", channels=(Channel(name="row"), Channel(name="col")), range_px=9)
HEIGHT = Output(name="height", activation="linear", channels=(Channel(name="height"),), range=(-1, 1), unit="m")


def bundle(folder, outputs=(ROADS, CLASSES, HEIGHT), window_px=256, **more):
    return write_bundle(folder, widths=[4, 8], window_px=window_px, margin_px=0, ramp_px=64, outputs=outputs, **more)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    pixels = np.random.default_rng(0).integers(20, 200, (3, 200, 600), np.uint8)
    pixels[:, :40, :50] = 0
    return write_tif(tmp_path_factory.mktemp("groups") / "scene.tif", pixels, photometric="RGB", nodata=0)


def test_groups_are_rasters_of_their_own(tmp_path, scene, capsys):
    model = bundle(tmp_path / "m")
    runs = [predict(scene, model, tmp_path / str(n), options=RunOptions(chunk_px=n)) for n in (512, 1024)]
    for name in ("roads.tif", "height.tif", "classes.tif"):
        assert len({(run.folder / name).read_bytes() for run in runs}) == 1
    with rasterio.open(runs[0].paths["roads.tif"]) as roads, rasterio.open(runs[0].paths["height.tif"]) as height:
        assert (roads.descriptions, roads.dtypes) == (("roads_road", "roads_rail"), ("uint8", "uint8"))
        assert (height.descriptions, height.dtypes, height.units) == (("height",), ("float32",), ("m",))
        known = height.read(1)[100:]
        assert np.isnan(height.read(1)[:40, :50]).all()
        assert (roads.read()[:, :40, :50] == 0).all()
        assert -1 <= known.min() < known.max() <= 1
    assert main(["check", str(runs[0].folder)]) == 0


def test_groups_are_what_the_network_says(tmp_path):
    pixels = np.random.default_rng(1).integers(20, 200, (3, 128, 128), np.uint8)
    scene = write_tif(tmp_path / "s.tif", pixels, photometric="RGB")
    run = predict(scene, bundle(tmp_path / "m", window_px=256), tmp_path / "out")
    with torch.no_grad():
        logits = load_model(tmp_path / "m").network()((torch.from_numpy(pixels[None].astype("f4")) - 80) / 40)[0]
    read = {name: rasterio.open(run.paths[f"{name}.tif"]).read() for name in ("roads", "height", "classes")}
    np.testing.assert_allclose((read["roads"] - 1.0) / 254, torch.sigmoid(logits[:2]), atol=0.02)
    np.testing.assert_allclose(read["height"][0], logits[4].clamp(-1, 1), atol=0.05)
    told = {layer["name"]: layer for layer in json.loads((run.folder / "run.json").read_text())["layers"]}
    assert told["height"]["unit"] == "m"


def test_rasters_of_groups_replace_what_a_run_has_written_and_nothing_else(tmp_path, scene):
    model = bundle(tmp_path / "m")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "height.tif").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"height\.tif: lies there already"):
        predict(scene, model, tmp_path / "out")
    (tmp_path / "out" / "height.tif").unlink()
    predict(scene, model, tmp_path / "out")
    plain = write_bundle(tmp_path / "plain", widths=[4, 8])
    predict(scene, plain, tmp_path / "out", options=RunOptions(overwrite=True))
    assert not (tmp_path / "out" / "height.tif").exists()
    assert main(["check", str(tmp_path / "out")]) == 0


def test_vectors_and_words_are_rasters_of_uint16_that_views_turn(tmp_path, scene):
    centre = Output(name="centre", activation="sigmoid", channels=(Channel(name="centre"),), bits=16)
    model = bundle(tmp_path / "m", (CLASSES, centre, OFFSET))
    options = [
        RunOptions(chunk_px=512),
        RunOptions(chunk_px=512, tta="rotate@0.5,1"),
        RunOptions(chunk_px=1024, tta="rotate@0.5,1"),
    ]
    plain, few, many = (predict(scene, model, tmp_path / str(n), options=o) for n, o in enumerate(options))
    for name in ("centre.tif", "offset.tif"):
        assert few.paths[name].read_bytes() == many.paths[name].read_bytes() != plain.paths[name].read_bytes()
    with rasterio.open(plain.paths["offset.tif"]) as offset, rasterio.open(plain.paths["centre.tif"]) as words:
        assert (offset.descriptions, offset.dtypes, offset.units) == (
            ("offset_row", "offset_col"),
            ("uint16",) * 2,
            ("px",) * 2,
        )
        assert (words.descriptions, words.dtypes, words.nodata) == (("centre",), ("uint16",), 0)
        np.testing.assert_allclose(
            np.array([1, 32768, 65535]) * offset.scales[0] + offset.offsets[0], (-9, 0, 9), atol=1e-9
        )
        assert (offset.read()[:, :40, :50] == 0).all()
        assert (offset.read()[:, 100:] > 0).all()
    assert main(["check", str(few.folder)]) == 0


def test_a_vector_has_two_parts(tmp_path):
    with pytest.raises(ValueError, match="offset is signed: its channels are row and col, a vector"):
        Output(name="offset", activation="signed", channels=(Channel(name="x"), Channel(name="y")), range_px=9)


def test_a_model_of_quantities_alone_writes_these_and_nothing_of_classes(tmp_path, scene, capsys):
    model = bundle(tmp_path / "m", (HEIGHT,), classes=(), polygon_class=None)
    few, many = (predict(scene, model, tmp_path / str(n), options=RunOptions(chunk_px=n)) for n in (512, 1024))
    assert set(few.paths) == {"height.tif", "run.json"}
    assert few.paths["height.tif"].read_bytes() == many.paths["height.tif"].read_bytes()
    assert few.run["valid_px"] == many.run["valid_px"] == 200 * 600 - 40 * 50
    assert main(["check", str(few.folder)]) == 0
    assert main(["info", str(model)]) == 0
    assert main(["evaluate", str(few.folder), "--truth", str(scene)]) == 3
    assert "height.tif hold no classes; --numbers" in capsys.readouterr().err
    numbers = ["evaluate", str(few.folder), "--truth", str(many.paths["height.tif"]), "--numbers", "--json", "-"]
    assert main(numbers) == 0
    scores = json.loads(capsys.readouterr().out)
    assert (scores["pixels"], scores["rmse"], scores["mae"], scores["bias"]) == (few.run["valid_px"], 0, 0, 0)
    lazy = geoseg.lazy_map(scene, model, layer="height")
    np.testing.assert_array_equal(lazy.values, rasterio.open(few.paths["height.tif"]).read(1))
    with pytest.raises(ConfigError, match="layer 'classes': choose height"):
        geoseg.lazy_map(scene, model)
    assert main(["export", str(model), "-o", str(tmp_path / "x"), "--to", "onnx", "--calibrate", str(scene)]) == 2
