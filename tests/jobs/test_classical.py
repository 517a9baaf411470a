"""Classical methods fitted to a scene: their maps are the methods' own answers, pixel by pixel."""

import numpy as np
import pytest
import rasterio
from conftest import write_tif

from geoseg.cli import main
from geoseg.errors import ConfigError, InputError
from geoseg.jobs.fit import fit
from geoseg.jobs.predict import predict
from geoseg.models.bundle import load_model
from geoseg.options.fit import FitOptions, parse_count
from geoseg.options.run import RunOptions
from geoseg.scenes.open import open_scene

RNG = np.random.default_rng(3)
PIXELS = np.concatenate([RNG.normal(60, 9, (2, 40, 90)), RNG.normal(150, 20, (2, 50, 90))], 1).clip(1, 255)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "scene.tif"
    data = PIXELS.astype(np.uint8)
    data[:, :7, :5] = 0
    write_tif(path, data, nodata=0)
    return open_scene(path, bands="red,nir")


def mapped(scene, folder):
    return predict(scene, folder, options=RunOptions(device="cpu")).values


def test_otsu_parts_every_pixel_at_its_threshold(scene, tmp_path):
    bundle = fit(scene, tmp_path / "m", FitOptions(method="otsu", of="red"))
    red = rasterio.open(scene.files[0]).read(1)
    at = bundle.spec.training["threshold"]
    assert 80 < at < 120
    assert np.array_equal(mapped(scene, tmp_path / "m"), np.where(red == 0, 0, np.where(red > at, 2, 1)))


def test_otsu_looks_at_an_index_alone(scene, tmp_path):
    bundle = fit(scene, tmp_path / "m", FitOptions(method="otsu", of="ndvi", classes=parse_count("bare,green")))
    red, nir = rasterio.open(scene.files[0]).read().astype(np.float32)
    ndvi = (nir - red) / np.maximum(nir + red, 1)
    right = np.where(red + nir == 0, 0, np.where(ndvi > bundle.spec.training["threshold"], 2, 1))
    assert np.array_equal(mapped(scene, tmp_path / "m"), right)
    assert [c.name for c in bundle.spec.classes] == ["bare", "green"]


def test_kmeans_gives_pixels_to_the_nearest_centre(scene, tmp_path):
    fit(scene, tmp_path / "m", FitOptions(method="kmeans", classes=3))
    net, normal = load_model(tmp_path / "m").network(), load_model(tmp_path / "m").spec.normalisation
    data = rasterio.open(scene.files[0]).read().astype(np.float64)
    mean, std = (np.array(v)[:, None, None] for v in (normal.mean, normal.std))
    weight, bias = net.weight.detach().numpy()[:, :, 0, 0], net.bias.detach().numpy()
    precision = -(weight**2).sum(1) / (2 * bias)  # bias = -precision |centre|^2 / 2, weight = precision centre
    centres = weight / precision[:, None]
    far = (((data - mean) / std)[None] - centres[:, :, None, None]) ** 2
    right = np.where((data == 0).all(0), 0, far.sum(1).argmin(0) + 1)
    assert (mapped(scene, tmp_path / "m") == right).mean() > 0.999  # ties and single precision


def test_what_has_no_answer_is_refused(scene, tmp_path):
    flat = tmp_path / "flat.tif"
    write_tif(flat, np.full((1, 20, 20), 7, np.uint8))
    with pytest.raises(InputError, match="no threshold"):
        fit(open_scene(flat), tmp_path / "m", FitOptions(method="otsu"))
    with pytest.raises(InputError, match=r"5 clusters of 1 points .* --classes"):
        fit(open_scene(flat), tmp_path / "m", FitOptions(method="kmeans"))
    with pytest.raises(ConfigError, match="one band or index"):
        fit(scene, tmp_path / "m", FitOptions(method="otsu"))
    with pytest.raises(ConfigError, match="otsu parts values in 2"):
        FitOptions(method="otsu", classes=3)


def test_the_verb_writes_a_model_and_says_where_it_cuts(scene, tmp_path, capsys):
    given = ["fit", scene.files[0], "--bands", "red,nir", "--method", "otsu", "--of", "nir", "--classes", "low,high"]
    assert main([*given, "-o", str(tmp_path / "m")]) == 0
    assert "low up to " in capsys.readouterr().out
    assert main([*given, "-o", str(tmp_path / "m")]) == 5


@pytest.mark.parametrize("method", ["graph-cut", "random-walker", "chan-vese"])
def test_a_window_s_answer_forgives_noise(tmp_path, method):
    rng = np.random.default_rng(5)
    disc = np.hypot(*np.indices((96, 96)) - 48) < 30
    noisy = np.where(disc, 130, 100) + rng.normal(0, 16, (3, 96, 96))
    write_tif(tmp_path / "scene.tif", noisy.clip(1, 255).astype(np.uint8))
    scene = open_scene(tmp_path / "scene.tif")
    wrong = []
    for name, how in (("plain", {}), ("whole", {"window_method": method})):
        fit(scene, tmp_path / name, FitOptions(method="kmeans", classes=2, **how))
        classes = predict(scene, tmp_path / name, options=RunOptions(device="cpu")).values == 2
        wrong.append(min((classes != disc).mean(), (classes == disc).mean()))
    assert wrong[1] < wrong[0] / 3


def test_a_window_s_answer_parts_two_classes():
    assert FitOptions(method="kmeans", classes=3, window_method="random-walker").count == 3
    with pytest.raises(ConfigError, match="parts 2 classes, not 3"):
        FitOptions(method="kmeans", classes=3, window_method="graph-cut")


@pytest.mark.nightly
@pytest.mark.parametrize("method", ["graph-cut", "random-walker", "chan-vese"])
def test_chunks_and_engines_change_no_byte_of_window_methods(tmp_path, method):
    coarse = np.random.default_rng(7).integers(60, 180, (3, 80, 75)).repeat(8, 1).repeat(8, 2)
    noisy = coarse + np.random.default_rng(8).normal(0, 12, coarse.shape)
    write_tif(tmp_path / "scene.tif", noisy.clip(1, 255).astype(np.uint8))
    scene = open_scene(tmp_path / "scene.tif")
    fit(scene, tmp_path / "m", FitOptions(method="kmeans", classes=2, window_method=method))
    made = []
    for how in ({"chunk_px": 512, "engine": "sync"}, {"chunk_px": 1024, "engine": "threads", "batch": 3}):
        out = tmp_path / f"out{how['chunk_px']}"
        predict(scene, tmp_path / "m", out, options=RunOptions(device="cpu", **how))
        made.append([(out / name).read_bytes() for name in ("classes.tif", "confidence.tif")])
    assert made[0] == made[1]
