"""Land cover from end to end: a short training on made-up ground, and the bundle that comes with geoseg."""

import numpy as np
import pytest
import rasterio
from conftest import write_tif

from geoseg import load_model, open_scene, predict
from geoseg.models.bundle import save_model
from geoseg.training.loop import fit
from geoseg.training.samples import load_samples
from geoseg.training.spec import TrainSpec

CLASSES = [{"id": i, "name": n, "color": "#808080"} for i, n in ((1, "tree"), (2, "low vegetation"), (3, "impervious"))]
LABELS = (2, 3, 5)  # as in the files: tree, low vegetation, impervious


def write_ground(folder, name, seed):
    """Write 128 x 160 px of 1 m: rough trees, smooth meadow in the same colours, grey roads; and their labels."""
    rng = np.random.default_rng(seed)
    kind = np.kron(rng.integers(0, 3, (4, 5)), np.ones((32, 32), int))
    colour = np.array([[60, 90, 60, 170], [60, 90, 60, 170], [160, 150, 150, 80]])[kind].transpose(2, 0, 1)
    rough = rng.normal(0, 1, kind.shape) * np.array([25, 4, 4])[kind]
    pixels = np.clip(colour + rough, 0, 255).astype(np.uint8)
    place = rasterio.Affine(1, 0, 5e5, 0, -1, 4.1e6)
    write_tif(folder / f"{name}.tif", pixels, crs="EPSG:26917", transform=place, photometric="MINISBLACK")
    labels = np.array(LABELS, np.uint8)[kind][None]
    write_tif(folder / f"{name}_lc.tif", labels, crs="EPSG:26917", transform=place)
    return kind + 1


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ground")
    return folder, [write_ground(folder, name, seed) for seed, name in enumerate("abc")]


@pytest.fixture(scope="module")
def model(ground):
    folder, _ = ground
    spec = TrainSpec(
        name="made-up",
        data=[
            {"scene": f"{name}.tif", "labels": f"{name}_lc.tif", "bands": "red,green,blue,nir", "use": use}
            for name, use in (("a", "train"), ("b", "validation"))
        ],
        target={"kind": "classes", "values": {2: 1, 3: 2, 5: 3}, "classes": CLASSES},
        bands="red,green,blue,nir",
        optional="nir",
        gsd_m=1.0,
        normalisation={"mean": [128.0] * 4, "std": [64.0] * 4},
        arch={"name": "pixel-mlp", "options": {"boxes": [3, 7], "widths": [16]}},
        augmentation={"scale": (0.9, 1.1), "rotate": False, "drop": 0.4, "erase": 0},
        schedule={"epochs": 2, "steps_per_epoch": 25, "batch": 4, "crop_px": 64, "learning_rate": 0.02, "ema": 0.8,
                  "class_weights": {"impervious": 2}},
        window_px=128,
        margin_px=16,
        ramp_px=32,
    )  # fmt: skip
    fitted = fit(spec.resolve(folder), load_samples(spec.resolve(folder)))
    save_model(folder / "model", fitted.network, spec=fitted.spec)
    return load_model(folder / "model")


@pytest.mark.parametrize("bands", ["1,2,3,4", "1,2,3"])
def test_a_short_training_maps_ground_it_has_not_seen_with_near_infrared_and_without(ground, model, bands, tmp_path):
    folder, kinds = ground
    predict(open_scene(folder / "c.tif", bands=bands), model, tmp_path / "out")
    with rasterio.open(tmp_path / "out/classes.tif") as src:
        right = src.read(1) == kinds[2]
    assert right.mean() > 0.85
    assert model.spec.optional == ("nir",)


def test_weights_of_a_class_that_is_none_and_optional_bands_that_are_all_are_refused(model):
    config = dict(model.spec.training["config"], data=[{"scene": "a.tif", "labels": "b.tif", "use": "train"}])
    with pytest.raises(ValueError, match="class_weights of roof"):
        TrainSpec.model_validate(config | {"schedule": {"class_weights": {"roof": 2}}})
    for optional in ("swir16", "red,green,blue,nir"):
        with pytest.raises(ValueError, match=r"optional .*: some, and not all, of the bands"):
            TrainSpec.model_validate(config | {"optional": optional})


def test_the_bundle_that_comes_with_geoseg_says_what_it_is_of():
    bundle = load_model("land-cover")
    assert [c.name for c in bundle.spec.classes] == ["tree", "low vegetation", "impervious"]
    assert (bundle.spec.band_set.names, bundle.spec.optional) == (("red", "green", "blue", "nir"), ("nir",))
    assert bundle.spec.gsd_m == 1.0
    assert bundle.spec.licence == "Apache-2.0"
    assert "Chesapeake Conservancy" in bundle.spec.attribution
    assert bundle.weights.bytes < 12e6
