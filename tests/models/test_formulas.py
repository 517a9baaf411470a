"""Derived channels: computed of what bands measure, checked when a bundle is read."""

import numpy as np
import pytest
from pydantic import ValidationError

from geoseg.errors import ConfigError
from geoseg.models.bundle import load_model
from geoseg.models.derived import Derived, source_bands, with_derived
from geoseg.training.data_spec import LabelledScene
from geoseg.training.spec import TrainSpec
from geoseg.training.targets import BuildingTarget
from geoseg.values.bands import BandSet

NDVI = Derived.parse("ndvi")
RGB_NDVI = BandSet.parse("red,green,blue,ndvi")


def test_an_index_is_a_ratio_of_differences_and_0_where_there_is_no_light():
    red, nir = np.float32([[10, 0, 5, np.nan]]), np.float32([[30, 0, 5, 1]])
    np.testing.assert_allclose(NDVI.of(nir, red), [[0.5, 0, 0, np.nan]])
    np.testing.assert_array_equal(Derived.parse("height=dsm-dtm").of(nir, red), nir - red)


def test_a_scene_needs_the_bands_of_an_index_as_well():
    assert source_bands(RGB_NDVI, (NDVI,)).names == ("red", "green", "blue", "nir")
    sentinel = BandSet((*BandSet.parse("B04,B08", sensor="sentinel-2"), *BandSet.parse("ndvi")))
    assert source_bands(sentinel, (NDVI,)).names == ("B04", "B08")
    image, channels = with_derived(np.float32([[[1]], [[3]]]), BandSet(sentinel.bands[:2]), sentinel, (NDVI,))
    assert channels == (0, 1, 2)
    assert image.ravel().tolist() == [1, 3, 0.5]


def test_what_is_derived_of_a_lacking_band_is_lacking():
    image, channels = with_derived(np.ones((3, 1, 1), np.float32), BandSet.parse("red,green,blue"), RGB_NDVI, (NDVI,))
    assert channels == (0, 1, 2)
    assert len(image) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nvdi", "no such index, did you mean nd"),
        ("x=(a-b)/(a+c)", "write name="),
        ("x=a*b", "write name="),
        ("=a-b", "write name="),
        ("x=__import__('os')", "write name="),
    ],
)
def test_other_formulas_are_refused(text, words):
    with pytest.raises(ConfigError, match=words):
        Derived.parse(text)


def test_a_bundle_derives_its_own_bands_once():
    spec = load_model("buildings-banepa").spec.model_dump() | {"values": None}
    for derived, words in (
        ([{"band": "ndvi", "formula": "nir - red"}], "derived ndvi: some, and not all, of the bands"),
        ([{"band": "red", "formula": "nir - blue"}] * 2, "each once"),
        ([{"band": "red", "formula": "nir - blue"}, {"band": "blue", "formula": "nir - red"}], "derived itself"),
    ):
        with pytest.raises(ValidationError, match=words):
            type(load_model("buildings").spec).model_validate({**spec, "derived": derived})


def test_training_names_indices_beside_its_bands():
    plain = {
        "name": "t", "data": (LabelledScene(scene="s.tif", labels="l.gpkg", use="train"),), "target": BuildingTarget(),
    }  # fmt: skip
    spec = TrainSpec(**plain, bands="red,green,blue", derived=("ndvi", "wet=(green-swir16)/(green+swir16)"))
    assert spec.band_set.names == ("red", "green", "blue", "ndvi", "wet")
    with pytest.raises(ValidationError, match="no such index"):
        TrainSpec(**plain, bands="red,green,blue", derived=("nvdi",))
