"""Every detector: its candidates are many and overlap, chunks change no byte, and thirty steps lower its loss."""

import detect
import numpy as np
import pytest
import rasterio
import torch
from conftest import write_tif
from networks import TINY
from panoptic import contents
from test_mask_rcnn import toys

from geoseg import RunOptions, predict
from geoseg.cli import main
from geoseg.models.architectures import NETWORKS, build_network
from geoseg.models.backends import library
from geoseg.models.bundle import load_model, save_model
from geoseg.models.detecting import Detecting
from geoseg.models.outputs import Channel, Output
from geoseg.models.spec import Architecture, ModelSpec, Normalisation
from geoseg.values.bands import Band
from geoseg.values.layers import FIRST_OBJECT

FAST = "panoptic-fpn"  # the others under nightly alone: it is Mask R-CNN, and more
ANCHORS = {"anchor_px": [8, 16, 24, 32, 64]}
MORE = {"mask-rcnn": ANCHORS, "panoptic-fpn": ANCHORS, "yolact": {"anchor_px": [16, 24, 32, 48, 64]}}
DETECTORS = {name: {**TINY[name], **MORE.get(name, {})} for name, kind in NETWORKS.items() if kind.detects}
BLENDING = {
    "task": "panoptic", "margin_px": 16, "ramp_px": 32,
    "outputs": (Output(channels=tuple(Channel(name=c.name, class_id=c.id) for c in detect.CLASSES)),),
}  # fmt: skip
WINDOWS = {"window_px": 128, "margin_px": 32, "multiple_px": 32, "ramp_px": 0}
SMALLER = {"window_px": 120, "margin_px": 24, "multiple_px": 24, "ramp_px": 0}
MANY = Detecting(things=("even", "odd"), least_score=0.0, least_mask=0.5, per_window=60, same=90, inside=100)
each = pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.nightly] * (n != FAST)) for n in DETECTORS])


def network_of(name):
    torch.manual_seed(0)
    classes = 3 if NETWORKS[name].blends else 2
    return build_network(Architecture(name=name, options=DETECTORS[name]), in_channels=3, out_channels=classes)


@pytest.mark.parametrize("shape", [(530, 120), pytest.param((1100, 1100), marks=pytest.mark.nightly)])
@each
def test_candidates_overlap_and_chunks_change_no_byte(name, shape, tmp_path):
    spec = detect.spec_of(
        arch=Architecture(name=name, options=DETECTORS[name]), bands=tuple(Band(b) for b in ("red", "green", "blue")),
        normalisation=Normalisation(mean=(128.0,) * 3, std=(40.0,) * 3), objects=MANY,
        **(SMALLER if name == "rf-detr-seg" else WINDOWS),
    )  # fmt: skip
    if NETWORKS[name].blends:
        spec = ModelSpec.model_validate({**spec.model_dump(), **BLENDING})
    save_model(tmp_path / "m", network_of(name), spec=spec, half=False)
    coarse = np.random.default_rng(1).integers(0, 256, (3, shape[0] // 9 + 1, shape[1] // 9 + 1), np.uint8)
    pixels = coarse.repeat(9, 1).repeat(9, 2)[:, : shape[0], : shape[1]]
    backend = library().open_backend(load_model(tmp_path / "m"), device="cpu", precision="fp32")
    window = (pixels[None, :, : spec.window_px, :96].astype(np.float32) - 128) / 40
    (said,) = backend(window).objects
    painted = np.zeros(window.shape[2:], np.int32)
    for one in said:
        painted[one.box.row0 : one.box.row1, one.box.col0 : one.box.col1] += one.mask
    assert len(said) >= 15
    assert (painted > 1).mean() > 0.05  # of the window's pixels so many are of several
    scene = write_tif(tmp_path / "scene.tif", pixels)
    runs = [predict(scene, tmp_path / "m", tmp_path / str(px), options=RunOptions(chunk_px=px)) for px in (512, 1024)]
    assert runs[0].run["plan"]["chunks"] > runs[1].run["plan"]["chunks"]
    assert runs[0].run["instances"]["count"] > 1
    assert contents(runs[0]) == contents(runs[1])
    assert main(["check", str(runs[0].folder)]) == 0
    classes, ids = (rasterio.open(runs[0].paths[file]).read(1) for file in ("classes.tif", "panoptic.tif"))
    assert ("confidence.tif" in runs[0].paths) == NETWORKS[name].blends
    assert np.isin(classes[ids >= FIRST_OBJECT], spec.things).all()
    void = np.isin(classes, spec.things) & (ids < FIRST_OBJECT)
    assert (ids[void] == 0).all()
    assert void.any() == NETWORKS[name].blends  # things without an object


@pytest.mark.nightly
@pytest.mark.parametrize("name", DETECTORS)
def test_thirty_steps_lower_the_loss_by_a_fifth(name):
    network, learnt = network_of(name).train(), list(toys(20))
    optimiser, losses = torch.optim.AdamW(network.parameters(), 1e-3), []
    for step in range(30):
        batch = [learnt[(2 * step + i) % 20] for i in range(2)]
        loss = network.loss(torch.cat([x for x, _ in batch]), [objects for _, objects in batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["yolact", "solov2"])
def test_two_hundred_steps_teach_it_to_find_objects_that_it_has_not_seen(name):
    network, examples = network_of(name).train(), list(toys(60))
    optimiser, rng = torch.optim.AdamW(network.parameters(), 2e-3), np.random.default_rng(0)
    for step in range(200):
        optimiser.param_groups[0]["lr"] = 2e-3 * min(1, (step + 1) / 20) * (0.1 if step > 160 else 1)
        batch = [examples[i] for i in rng.integers(0, 50, 2)]
        loss = network.loss(torch.cat([x for x, _ in batch]), [objects for _, objects in batch])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    network.eval()
    rules, found = Detecting(things=("box", "disc"), least_score=0.3, per_window=100), []
    with torch.inference_mode():
        for x, objects in examples[50:]:
            said = network.detect(x, rules)
            pairs = zip(objects["masks"].numpy() > 0, objects["labels"].tolist(), strict=True)
            found += [any(one.class_id + 1 == kind and iou(one, mask) > 0.5 for one in said) for mask, kind in pairs]
    assert len(found) > 100
    assert np.mean(found) > 0.5


def iou(one, mask):
    """Return the IoU of a detection with a mask of its window."""
    own = np.zeros(mask.shape, bool)
    own[one.box.row0 : one.box.row1, one.box.col0 : one.box.col1] = one.mask
    return (own & mask).sum() / (own | mask).sum()


@pytest.mark.parametrize("name", ["mask2former-objects", "rf-detr-seg", "yolact", "solov2"])
def test_a_window_without_an_object_is_learnt(name):
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long),
               "masks": torch.zeros(0, 96, 96, dtype=torch.uint8)}  # fmt: skip
    network = network_of(name).train()
    for objects in ([nothing], [nothing, next(toys(1))[1]]):
        loss = network.loss(torch.randn(len(objects), 3, 96, 96), objects)
        loss.backward()
        assert torch.isfinite(loss)
