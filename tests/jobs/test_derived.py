"""Indices and heights beside the bands: the engine computes and joins them, with the same bytes for any chunks."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import write_bundle, write_tif

from geoseg import RunOptions, predict
from geoseg.models.spec import Normalisation
from geoseg.scenes.open import open_scene
from geoseg.training.data_spec import LabelledScene, Split
from geoseg.training.samples import load_samples
from geoseg.training.spec import TrainSpec
from geoseg.training.targets import ClassTarget
from geoseg.values.bands import Band, BandSet

SHAPE = (560, 600)
BANDS = (*BandSet.parse("red,green,blue").bands, Band("ndvi"), Band("nDSM"))
NORMAL = Normalisation(mean=(80.0, 80.0, 80.0, 0.0, 5.0), std=(40.0, 40.0, 40.0, 0.3, 5.0))


def named(path, data, names, **more):
    write_tif(path, data, **more)
    with rasterio.open(path, "r+") as out:
        out.descriptions = names
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Red, green, blue and near infrared at half a metre, heights at a metre, and both with the index on one grid."""
    folder, rng = tmp_path_factory.mktemp("place"), np.random.default_rng(0)
    rgbn = rng.integers(0, 250, (4, *SHAPE)).astype(np.uint8)
    rgbn[:, :40, :40] = 0
    heights = rng.uniform(0, 20, (1, 280, 300)).astype(np.float32)
    named(folder / "rgbn.tif", rgbn, ("red", "green", "blue", "nir"), photometric="MINISBLACK")
    write_tif(folder / "scene_nDSM.tif", heights, transform=Affine(1, 0, 3e5, 0, -1, 3.06e6))
    r, n = rgbn[[0, 3]].astype(np.float32)
    index = np.divide(n - r, n + r, out=np.zeros_like(r), where=n + r > 0)
    near = heights.repeat(2, 1).repeat(2, 2)
    joined = np.concatenate([rgbn[:3].astype(np.float32), index[None], near])
    named(folder / "joined.tif", joined, ("red", "green", "blue", "ndvi", "nDSM"), photometric="MINISBLACK")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    derived = ({"band": "ndvi", "formula": "(nir - red) / (nir + red)"},)
    return str(
        write_bundle(
            tmp_path_factory.mktemp("m") / "m", widths=[4, 8], bands=BANDS, normalisation=NORMAL, derived=derived
        )
    )


def test_an_index_and_heights_of_another_grid_give_the_bytes_of_a_scene_that_holds_them(tmp_path, place, model):
    scene = open_scene([place / "rgbn.tif", place / "scene_nDSM.tif"], resampling="nearest")
    maps = []
    for px in (512, 1024):
        predict(scene, model, tmp_path / str(px), options=RunOptions(chunk_px=px))
        maps.append((tmp_path / str(px) / "confidence.tif").read_bytes())
    assert maps[0] == maps[1]
    plain = write_bundle(tmp_path / "plain", widths=[4, 8], bands=BANDS, normalisation=NORMAL)
    predict(place / "joined.tif", str(plain), tmp_path / "joined", options=RunOptions(chunk_px=512))
    found = [rasterio.open(tmp_path / name / "confidence.tif").read(1) for name in ("512", "joined")]
    np.testing.assert_array_equal(*found)
    assert len(np.unique(found[0])) > 9


def test_training_sees_the_same_channels(place):
    labels = np.ones((1, *SHAPE), np.uint8)
    labels[:, 100:] = 2
    write_tif(place / "labels.tif", labels)
    classes = [{"id": 1, "name": "a", "color": "#102030"}, {"id": 2, "name": "b", "color": "#909090"}]
    target = ClassTarget.model_validate({"kind": "classes", "values": {1: 1, 2: 2}, "classes": classes})
    split = Split.model_validate({"validation": {"side": "east", "share": 0.2}, "buffer_px": 8})
    spec = TrainSpec(
        name="t", data=(LabelledScene(scene=str(place / "rgbn.tif"), labels=str(place / "labels.tif")),), target=target,
        bands="red,green,blue", derived=("ndvi",), split=split, augmentation={"scale": (1.0, 1.0)},
    )  # fmt: skip
    area = load_samples(spec).train[0].read()
    wanted = rasterio.open(place / "joined.tif").read(4)[:, : area.image.shape[2]]
    np.testing.assert_array_equal(area.image[3], wanted)
