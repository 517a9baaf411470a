"""Whole numbers that stand for reflectance are read as what they stand for, unless somebody says how."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from geoseg.scenes.open import open_scene
from geoseg.scenes.reading import read
from geoseg.scenes.reflectance import CODINGS, coding_of
from geoseg.scenes.reflectance import as_reflectance as by_sample
from geoseg.scenes.sample import sample

NAMES = ("blue", "green", "red", "nir", "swir16")


def ground(shape=(40, 50)):
    """Return (5, h, w) reflectance: soil, and a tenth of it black water."""
    values = np.full((5, *shape), 0.3, np.float32)
    values[:, :, : shape[1] // 10] = 0.002
    return values


def scene_of(path, values, dtype, **opened):
    with rasterio.open(
        path, "w", driver="GTiff", width=values.shape[2], height=values.shape[1], count=5, dtype=dtype,
        crs="EPSG:32633", transform=Affine(10, 0, 5e5, 0, -10, 5e6),
    ) as out:  # fmt: skip
        out.write(values.astype(dtype))
        out.descriptions = NAMES
    return open_scene(path, **opened)


def as_reflectance(scene):
    return by_sample(scene, sample(scene))


def physical(scene):
    return scene.physical(read(scene, scene.grid.box).data.astype(np.float32))


@pytest.mark.parametrize("coding", CODINGS, ids=lambda c: c.name)
def test_a_scene_of_a_known_coding_is_read_as_reflectance_and_says_so(tmp_path, coding):
    stored = np.round((ground() - coding.offset) / coding.scale)
    found = as_reflectance(scene_of(tmp_path / "s.tif", stored, "uint16"))
    np.testing.assert_allclose(physical(found), ground(), atol=1e-4)
    assert coding.name in found.notes[-1]
    assert coding.flags in found.notes[-1]


def test_zeros_in_every_band_are_no_dark_ground(tmp_path):
    stored = ground() * 10000 + 1000
    stored[:, :10] = 0
    found = as_reflectance(scene_of(tmp_path / "s.tif", stored, "uint16"))
    assert found.sources[0].offset == -0.1


@pytest.mark.parametrize("told", [{"scale": 1e-4}, {"scale": 1e-4, "offset": -0.1}, {"offset": -100.0}])
def test_a_scale_or_an_offset_that_is_given_is_believed(tmp_path, told):
    scene = scene_of(tmp_path / "s.tif", ground() * 10000 + 1000, "uint16", **told)
    assert as_reflectance(scene) == scene
    assert (scene.sources[0].scale, scene.sources[0].offset) == (told.get("scale", 1), told.get("offset", 0))


@pytest.mark.parametrize(
    ("values", "dtype"), [(ground(), "float32"), (ground() * 250, "uint8"), (ground() * 0, "int16")]
)
def test_reflectance_itself_and_other_units_stay(tmp_path, values, dtype):
    scene = scene_of(tmp_path / "s.tif", values, dtype)
    assert as_reflectance(scene) == scene


def test_reflectance_that_is_nowhere_dark_is_told(tmp_path):
    scene = scene_of(tmp_path / "s.tif", ground() + 0.1, "float32")
    found = as_reflectance(scene)
    assert found.sources == scene.sources
    assert "pass --offset -0.1" in found.notes[-1]


def test_numbers_below_every_coding_have_none():
    assert coding_of(-5000, 3000) is None
