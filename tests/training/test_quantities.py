"""Outputs beside the classes, and instead of them: rasters of numbers are learnt, and a bundle's runs write them."""

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from conftest import write_tif

from geoseg import predict
from geoseg.models.architectures import build_network
from geoseg.models.bundle import save_model
from geoseg.models.spec import Architecture, Normalisation
from geoseg.training import loop
from geoseg.training.batches import Batch
from geoseg.training.loop import fit
from geoseg.training.objectives import Objectives, Truth
from geoseg.training.samples import load_samples
from geoseg.training.spec import TrainSpec
from geoseg.training.step import Stepper

FINE = Affine(0.25, 0, 3e5, 0, -0.25, 3.06e6)
HEIGHT = {"name": "height", "activation": "linear", "range": [0, 20], "unit": "m"}
ROAD = {"name": "road", "activation": "sigmoid"}
CLASSES = {
    "kind": "classes",
    "values": {"1": 1, "2": 2},
    "classes": [{"id": 1, "name": "low", "color": "#111"}, {"id": 2, "name": "high", "color": "#eee"}],
}


@pytest.fixture(autouse=True)
def _one_precision(monkeypatch):
    """The probe that chooses between fp32 and bf16 measures time, which a busy machine changes."""
    monkeypatch.setattr(loop, "precision_of", lambda *_: "fp32")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Ground whose brightness is its height; heights are known on finer pixels, and not everywhere."""
    folder, rng = tmp_path_factory.mktemp("heights"), np.random.default_rng(0)
    height = np.kron(rng.integers(0, 20, (8, 12)), np.ones((16, 16))).astype(np.float32)
    bright = np.clip(height * 10 + rng.normal(0, 2, (3, 128, 192)), 1, 255).astype(np.uint8)
    fine = np.kron(height, np.ones((2, 2), np.float32))
    fine[:40, :40] = np.nan
    return {
        "scene": str(write_tif(folder / "scene.tif", bright, photometric="RGB")),
        "labels": str(write_tif(folder / "labels.tif", (1 + (height > 10)).astype(np.uint8)[None])),
        "truth": {
            "height": str(write_tif(folder / "height.tif", fine[None], nodata=np.nan, transform=FINE)),
            "road": str(write_tif(folder / "road.tif", (height > 15).astype(np.uint8)[None])),
        },
    }


def spec(files, outputs=(HEIGHT, ROAD), target=CLASSES, **changes):
    names = [output["name"] for output in outputs]
    entry = {**files, "truth": {n: f for n, f in files["truth"].items() if n in names}}
    if target["kind"] == "quantities":
        del entry["labels"]
    usual = {
        "name": "heights", "data": [entry], "target": target, "outputs": outputs, "bands": "red,green,blue",
        "arch": {"name": "compact-unet", "options": {"widths": [8, 16]}},
        "split": {"validation": {"side": "east", "share": 0.33}, "buffer_px": 0},
        "augmentation": {"gain": 0, "band_gain": 0, "offset": 0, "gamma": [1, 1], "noise": 0, "blur": 0},
        "schedule": {"epochs": 3, "steps_per_epoch": 20, "batch": 4, "crop_px": 32, "learning_rate": 1e-2, "ema": 0.8},
        "window_px": 128, "margin_px": 16, "ramp_px": 32,
    }  # fmt: skip
    return TrainSpec.model_validate(usual | changes)


@pytest.mark.parametrize("target", [CLASSES, {"kind": "quantities"}])
def test_numbers_are_learnt_beside_classes_and_alone(files, tmp_path, target):
    config = spec(files, target=target)
    fitted = fit(config, load_samples(config))
    first, last = fitted.epochs[0], fitted.epochs[-1]
    assert last.errors[0] < min(first.errors[0], 2.5)  # of heights up to 19 m
    assert last.errors[1] < 0.3
    assert len(last.iou) == (2 if target is CLASSES else 0)
    assert "errors" in fitted.spec.training["history"][0]
    bundle = save_model(tmp_path / "m", fitted.network, spec=fitted.spec)
    run = predict(files["scene"], bundle, tmp_path / "out")
    with rasterio.open(run.paths["height.tif"]) as said, rasterio.open(files["scene"]) as scene:
        true = scene.read().mean(0) / 10
        assert np.abs(said.read(1) - true).mean() < 4
    assert ("classes.tif" in run.paths) == (target is CLASSES)


def test_truth_follows_the_bands_of_an_area_and_says_nothing_of_them(files):
    seen = load_samples(spec(files))
    area = seen.train[0].read()
    assert area.image.shape[0] == 5
    assert np.isnan(area.image[3, :20, :20]).all()
    assert np.nanmedian(np.abs(area.image[3] - area.image[0] / 10)) < 0.5
    assert seen.survey.mean.shape == (3,)


def test_coarser_levels_learn_too(files):
    config = spec(files, arch={"name": "nnunet-plain", "options": {"widths": [4, 8, 8]}})
    model = config.of_model(Normalisation(mean=(0.0,) * 3, std=(1.0,) * 3))
    truth = torch.zeros(2, 2, 32, 32)
    batch = Batch(torch.randn(2, 3, 32, 32), torch.zeros(2, 32, 32, dtype=torch.uint8), {}, truth)
    for deep in (True, False):
        own = config.model_copy(update={"schedule": config.schedule.model_copy(update={"deep_supervision": deep})})
        network = build_network(Architecture(**config.arch.model_dump()), in_channels=3, out_channels=4)
        stepper = Stepper(own, model, network, frozenset(), precision="fp32", device="cpu")
        stepper.step(iter([batch]), Objectives.of(own))
        assert (network.heads[0].weight.grad is not None) == deep


def test_each_level_counts_half_of_the_one_before(files):
    objective = Objectives.of(spec(files, outputs=(HEIGHT,), target={"kind": "quantities"}))
    truth = Truth(torch.zeros(1, 4, 4, dtype=torch.uint8), torch.zeros(1, 1, 4, 4))
    levels = [torch.full((1, 1, 4, 4), 3.0), torch.full((1, 1, 2, 2), 9.0)]
    assert float(objective.of_levels(levels, truth)) == pytest.approx(
        (2.5 + 8.5 / 2) / 1.5
    )  # Huber beyond 1: |e| - 0.5
    nothing = truth._replace(numbers=truth.numbers * np.nan)
    assert float(objective(levels[0], nothing)) == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"outputs": ()}, "outputs: name one or more"),
        ({"outputs": [HEIGHT | {"loss": "dice"}]}, "loss: dice judges no linear output such as height"),
        ({"outputs": [HEIGHT | {"activation": "signed"}]}, "height is signed: its range_px is missing"),
        ({"schedule": {"hard_share": 0.2}, "outputs": [HEIGHT, ROAD]}, "schedule.hard_share: it is of wrong classes"),
        ({"augmentation": {"cutmix": 0.5}, "outputs": [HEIGHT, ROAD]}, "augmentation.cutmix: outputs are not mixed"),
        ({"outputs": [HEIGHT, ROAD | {"name": "rail"}]}, "truth of road; there are height, rail"),
        ({"outputs": [HEIGHT, ROAD, ROAD | {"name": "rail"}]}, "outputs: rail: no entry of data has its truth"),
    ],
)
def test_what_cannot_be_learnt_is_refused(files, changes, told):
    with pytest.raises(ValueError, match=told):
        spec(files, target={"kind": "quantities"}, data=[{"scene": files["scene"], "truth": files["truth"]}], **changes)


def test_a_raster_with_other_bands_than_channels_is_refused(files):
    config = spec({**files, "truth": {**files["truth"], "height": files["scene"]}})
    with pytest.raises(ValueError, match=r"scene\.tif: 3 bands, and height has 1 channels"):
        load_samples(config)
