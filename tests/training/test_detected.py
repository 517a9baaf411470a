"""Detectors learn polygons or numbers of single objects by `geoseg train`, and what is trained runs on a scene."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import panoptic
import pytest
import torch
from networks import TINY
from pydantic import ValidationError
from test_things import write_data

from geoseg import RunOptions, predict
from geoseg.cli import main
from geoseg.models.architectures import build_network
from geoseg.models.bundle import save_model
from geoseg.models.spec import Normalisation
from geoseg.training.batches import Batch
from geoseg.training.detected import ObjectsTarget, truth_of
from geoseg.training.loop import fit
from geoseg.training.memory import training_memory
from geoseg.training.objectives import Objectives
from geoseg.training.samples import load_samples
from geoseg.training.spec import TrainSpec
from geoseg.training.step import Stepper
from geoseg.training.targets import UNKNOWN

CLASSES = [{"id": c.id, "name": c.name, "color": c.hex} for c in panoptic.CLASSES if c.name != "water"]
TARGET = {"kind": "objects", "column": "kind", "elsewhere": 1, "classes": CLASSES, "detect": {"per_window": 200}}


def write_objects(folder, **told):
    """Write a scene and the polygons of its boxes and discs."""
    path = write_data(folder, **told)
    labels = next(folder.glob("labels*.gpkg"))
    frame = gpd.read_file(labels)
    frame[frame["kind"] != "water"].to_file(labels)
    return path


def spec_of(folder, **changes):
    usual = {
        "name": "toy", "bands": "red,green,blue", "target": TARGET, "window_px": 128, "margin_px": 32, "ramp_px": 0,
        "data": [{"scene": "scene0.tif", "labels": "labels0.gpkg"}],
        "split": {"validation": {"side": "east", "share": 0.25}, "buffer_px": 0},
        "arch": {"name": "mask-rcnn", "options": {**TINY["mask-rcnn"], "anchor_px": [8, 16, 24, 32, 64]}},
        "schedule": {"epochs": 1, "steps_per_epoch": 2, "batch": 1, "crop_px": 64},
    }  # fmt: skip
    return TrainSpec.model_validate(usual | changes).resolve(folder)


def test_a_window_is_its_objects_with_class_box_and_pixels():
    target = ObjectsTarget.model_validate(TARGET)
    raw = np.zeros((40, 40), np.int32)
    raw[2:8, 3:9], raw[20:30, 10:30], raw[35:, :3] = 3 * 7 + 1, 3 * 9 + 2, UNKNOWN  # seven: a box, nine: a disc
    raw[0, 30:32] = 3 * 11 + 1  # a sliver
    beside, labels = target.beside(raw), target.labels(raw, gsd_m=1)
    assert np.isnan(beside[0, 36, 1])
    model = spec_of_model()
    (found,) = truth_of(torch.from_numpy(labels)[None], torch.from_numpy(beside)[None], model)
    assert found["boxes"].tolist() == [[3, 2, 9, 8], [10, 20, 30, 30]]
    assert found["labels"].tolist() == [1, 2]
    np.testing.assert_array_equal(found["masks"][1].numpy() > 0, raw == 3 * 9 + 2)
    assert model.objects.things == ("box", "disc")
    assert model.elsewhere == 1


def spec_of_model():
    return spec_of(Path()).of_model(Normalisation(mean=(0,) * 3, std=(1,) * 3))


def with_stuff(folder, **changes):
    classes = [{"id": c.id, "name": c.name, "color": c.hex} for c in panoptic.CLASSES]
    options = {**TINY["panoptic-fpn"], "anchor_px": [8, 16, 24, 32, 64]}
    usual = {
        "target": {**TARGET, "classes": classes, "things": ["box", "disc"]}, "margin_px": 16, "ramp_px": 32,
        "arch": {"name": "panoptic-fpn", "options": options},
    }  # fmt: skip
    return spec_of(folder, **usual | changes)


def test_stuff_beside_objects_is_blended_and_objects_have_the_numbers_of_their_channels():
    spec = with_stuff(Path())
    model = spec.of_model(Normalisation(mean=(0,) * 3, std=(1,) * 3))
    assert (model.task, model.objects.things, model.elsewhere) == ("panoptic", ("box", "disc"), None)
    assert (model.out_channels, model.detected_ids) == (4, (1, 2, 3, 4))
    raw = np.zeros((40, 40), np.int32)
    raw[2:8, 3:9], raw[20:30, 10:30], raw[32:, :] = 4 * 7 + 2, 4 * 9 + 3, 1  # a box, a disc, and water
    labels, beside = spec.target.labels(raw, gsd_m=1), spec.target.beside(raw)
    (found,) = truth_of(torch.from_numpy(labels)[None], torch.from_numpy(beside)[None], model)
    assert found["labels"].tolist() == [3, 4]
    with pytest.raises(ValidationError, match="objects with things is learnt by panoptic-fpn, and by no other"):
        with_stuff(Path(), arch=spec_of(Path()).arch)
    with pytest.raises(ValidationError, match=r"objects is learnt by mask-rcnn, .*, and by no other; not panoptic-fpn"):
        spec_of(Path(), arch=spec.arch)


def test_a_step_of_objects_and_classes_runs_the_encoder_once():
    spec = with_stuff(Path())
    model = spec.of_model(Normalisation(mean=(0,) * 3, std=(1,) * 3))
    network = build_network(model.arch, in_channels=3, out_channels=4)
    calls = []
    network.backbone.body.register_forward_hook(lambda *_: calls.append(1))
    labels, numbers = torch.zeros(1, 64, 64, dtype=torch.int64), torch.zeros(1, 1, 64, 64)
    labels[:, 8:24, 8:24], numbers[..., 8:24, 8:24] = 2, 1
    batch = Batch(torch.randn(1, 3, 64, 64), labels, {}, torch.zeros(1, 0, 64, 64), beside=numbers)
    stepper = Stepper(spec, model, network, frozenset(), precision="fp32", device="cpu")
    assert np.isfinite(stepper.step(iter([batch]), Objectives.of(spec)))
    assert len(calls) == 1


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ValidationError, match="objects is learnt by mask-rcnn"):
        spec_of(Path(), arch={"name": "compact-unet", "options": {"widths": [8, 16]}})
    with pytest.raises(ValidationError, match="loss: mask-rcnn has its own"):
        spec_of(Path(), loss={"dice": 1})
    with pytest.raises(ValidationError, match=r"augmentation.mixup: it cuts objects"):
        spec_of(Path(), augmentation={"mixup": 0.5})


@pytest.mark.nightly
def test_what_is_trained_finds_the_objects_of_a_scene_it_has_not_seen(tmp_path):
    write_objects(tmp_path, shape=(800, 800))
    schedule = {"epochs": 4, "steps_per_epoch": 80, "batch": 2, "crop_px": 96, "learning_rate": 2e-3}
    spec = spec_of(tmp_path, schedule=schedule)
    assert 2**28 < training_memory(spec, "cpu").network < 2**31
    fitted = fit(spec, load_samples(spec))
    assert fitted.epochs[-1].train_loss < 0.8 * fitted.epochs[0].train_loss
    save_model(tmp_path / "m", fitted.network, spec=fitted.spec)
    (tmp_path / "other").mkdir()
    scene = write_data(tmp_path / "other", shape=(500, 500), seed=5)
    _, ids = panoptic.truth_of((500, 500), seed=5)
    runs = [
        predict(scene, tmp_path / "m", tmp_path / str(px), options=RunOptions(chunk_px=px, engine="sync"))
        for px in (512, 1024)
    ]
    assert panoptic.contents(runs[0]) == panoptic.contents(runs[1])
    found = runs[0].to_xarray("panoptic").to_numpy()
    best = [max_iou(found, ids == n) for n in range(1, ids.max() + 1)]
    print(len(best), runs[0].run["instances"], np.mean(np.array(best) > 0.5))
    assert np.mean(np.array(best) > 0.5) > 0.8
    assert runs[0].run["instances"]["count"] == pytest.approx(ids.max(), rel=0.15)


@pytest.mark.nightly
def test_a_panoptic_fpn_maps_stuff_and_finds_objects(tmp_path):
    write_data(tmp_path, shape=(800, 800))
    schedule = {"epochs": 4, "steps_per_epoch": 80, "batch": 2, "crop_px": 96, "learning_rate": 2e-3}
    spec = with_stuff(tmp_path, schedule=schedule)
    assert 2**28 < training_memory(spec, "cpu").network < 2**31
    fitted = fit(spec, load_samples(spec))
    save_model(tmp_path / "m", fitted.network, spec=fitted.spec)
    (tmp_path / "other").mkdir()
    scene = write_data(tmp_path / "other", shape=(500, 500), seed=5)
    classes, ids = panoptic.truth_of((500, 500), seed=5)
    runs = [predict(scene, tmp_path / "m", tmp_path / str(px), options=RunOptions(chunk_px=px)) for px in (512, 1024)]
    assert panoptic.contents(runs[0]) == panoptic.contents(runs[1])
    assert main(["check", str(runs[0].folder)]) == 0
    found, said = (runs[0].to_xarray(name).to_numpy() for name in ("panoptic", "classes"))
    best = [max_iou(found, ids == n) for n in range(1, ids.max() + 1)]
    print(len(best), runs[0].run["instances"], np.mean(np.array(best) > 0.5), (said == classes).mean())
    assert np.mean(np.array(best) > 0.5) > 0.8
    assert (said == classes).mean() > 0.9


def max_iou(found, mask):
    """Return the largest IoU of an object of a panoptic raster with a mask."""
    ids, common = np.unique(found[mask & (found >= 256)], return_counts=True)
    return max((c / (mask.sum() + (found == i).sum() - c) for i, c in zip(ids, common, strict=True)), default=0)
