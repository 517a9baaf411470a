"""A look at a scene before a run: holes that nothing masks, and values that are not those of the model."""

import numpy as np
import pytest
from conftest import write_tif

from geoseg.errors import InputError
from geoseg.models.bundle import load_model
from geoseg.models.fitness import refuse_unfit
from geoseg.models.spec import Normalisation
from geoseg.scenes.open import open_scene
from geoseg.scenes.sample import empty_areas, sample
from geoseg.values.bands import BandSet

RNG = np.random.default_rng(0)
GROUND = RNG.integers(20, 230, (3, 320, 300), np.uint8)
LARGE = RNG.integers(20, 230, (3, 1500, 1450), np.uint8)


def warnings_of(path, pixels, **how):
    nodata = how.pop("nodata", None)
    scene = open_scene(write_tif(path, pixels, photometric="RGB", **how), nodata=nodata)
    return empty_areas(scene, sample(scene))


def with_collar(pixels, value, share=0.1):
    out = pixels.copy()
    out[:, : round(share * out.shape[1])] = value
    return out


TILED = {"tiled": True, "blockxsize": 256, "blockysize": 256}


@pytest.mark.parametrize(
    ("ground", "value", "stored"), [(GROUND, 0, {}), (GROUND, 255, TILED), (LARGE, 255, {}), (LARGE, 0, TILED)]
)
def test_a_collar_is_told_with_its_share_and_the_flag(tmp_path, ground, value, stored):
    (said,) = warnings_of(tmp_path / "a.tif", with_collar(ground, value), **stored)
    assert f"% of the pixels are {value} in all bands" in said
    assert f"--nodata {value} " in said
    share = int(said.split("about ")[1].split("%")[0])
    assert share == pytest.approx(10, abs=4)
    assert not warnings_of(tmp_path / "b.tif", with_collar(ground, value), nodata=value, **stored)


def test_a_hole_of_another_type_is_told(tmp_path):
    assert "are 65535 in" in warnings_of(tmp_path / "a.tif", with_collar(GROUND.astype(np.uint16) * 9, 65535))[0]
    assert "are -9999 in" in warnings_of(tmp_path / "b.tif", with_collar(GROUND.astype(np.float32), -9999))[0]


def test_ordinary_ground_is_silent(tmp_path):
    assert not warnings_of(tmp_path / "a.tif", GROUND)
    roofs = GROUND.copy()
    roofs[:, 64:96, 64:96] = 255  # one bright roof
    roofs[0, 100:200, 100:200] = 0  # no blue, or no red
    assert not warnings_of(tmp_path / "b.tif", roofs)
    assert not warnings_of(tmp_path / "c.tif", np.where(RNG.random(GROUND.shape) < 0.5, 255, GROUND).astype(np.uint8))


def look(path, pixels, normal=None):
    spec = load_model("buildings").spec
    if normal is not None:
        plain = Normalisation(mean=(normal[0],) * 3, std=(normal[1],) * 3)
        spec = spec.model_copy(update={"normalisation": plain, "values": None})  # a bundle that does not say more
    scene = open_scene(write_tif(path, pixels, photometric="RGB")).select(BandSet.parse("red,green,blue"))
    refuse_unfit(scene, spec, sample(scene))


@pytest.mark.parametrize(
    ("pixels", "normal", "said"),
    [
        (GROUND.astype(np.uint16) * 257, None, r"values run from .* to .*\(uint16\).*trained on values of 0 to 255"),
        (GROUND.astype(np.uint16) * 8, None, "0 to 255"),
        (GROUND.astype(np.uint16) * 2, None, "0 to 255"),
        ((GROUND / 255).astype(np.float32), None, r"\(float32\).*0 to 255"),
        ((GROUND / 255).astype(np.float32), (1200.0, 700.0), "mean 1200 and spread 700"),
        (GROUND, (0.4, 0.2), "mean 0.4"),
    ],
)
def test_values_of_another_unit_are_refused_with_the_figures(tmp_path, pixels, normal, said):
    with pytest.raises(InputError, match=said) as caught:
        look(tmp_path / "a.tif", pixels, normal)
    assert "\n" not in str(caught.value)
    assert "--scale and --offset" in str(caught.value)


@pytest.mark.parametrize(
    ("pixels", "normal"),
    [
        (GROUND, None),
        (GROUND.astype(np.uint16), None),
        (GROUND.astype(np.float32), None),
        (GROUND // 20, None),  # a dark scene
        (np.zeros_like(GROUND), None),
        (GROUND.astype(np.uint16) * 257, (0.0, 255.0)),  # a mean of 0 says nothing
        (GROUND.astype(np.uint16) * 40, (1200.0, 700.0)),  # clouds over a model of reflectance
    ],
)
def test_values_that_fit_are_taken_in_silence(tmp_path, pixels, normal):
    look(tmp_path / "a.tif", pixels, normal)


def test_a_damaged_block_is_left_to_the_run(tmp_path):
    path = write_tif(tmp_path / "a.tif", LARGE, **TILED, compress="deflate")
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half : half + half // 2] = bytes(half // 2)
    path.write_bytes(content)
    assert 0 < len(sample(open_scene(path)).data) < 64


def test_patches_come_in_the_same_order_however_many_threads_read(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(1, 255, (3, 1600, 1500), np.uint8)
    scene = open_scene(write_tif(tmp_path / "a.tif", pixels, tiled=True, blockxsize=256, blockysize=256))
    several = sample(scene)
    monkeypatch.setattr("geoseg.scenes.sample.READERS", 1)
    alone = sample(scene)
    np.testing.assert_array_equal(several.data, alone.data)
    np.testing.assert_array_equal(several.data[0].reshape(3, 32, 32), pixels[:, :32, :32])
    np.testing.assert_array_equal(several.data[-1].reshape(3, 32, 32), pixels[:, -32:, -32:])
