"""Networks of objects on 3,000 x 3,000 px: chunks, tiles, engines, shards and kills in every stage change no byte."""

import numpy as np
import onnx
import panoptic
import pytest
import rasterio
import torch
import walks
from onnx_nets import yolo_net
from rasterio.windows import Window
from test_detectors import DETECTORS, MANY
from test_mask_rcnn import toys

from geoseg.cli import main
from geoseg.models.architectures import NETWORKS, build_network
from geoseg.models.backends import library
from geoseg.models.bundle import backends_of, load_model, save_model
from geoseg.models.detecting import Detecting
from geoseg.models.spec import Architecture, ModelSpec, Normalisation
from geoseg.training.things import bumps_and_offsets
from geoseg.values.bands import Band
from geoseg.values.layers import FIRST_OBJECT

STEPS = 200  # of a training
RGB = tuple(Band(name) for name in ("red", "green", "blue"))
SEEN = Normalisation(mean=(walks.MEAN,) * 3, std=(walks.STD,) * 3)
WINDOWS = {"window_px": 256, "margin_px": 32, "multiple_px": 32, "ramp_px": 0}
OTHER = {
    "rf-detr-seg": {"window_px": 240, "margin_px": 24, "multiple_px": 24, "ramp_px": 0},
    "solov2": {**WINDOWS, "window_px": 160},  # it learns where in a window a pixel lies, as a share
}
SIZE = {"solov2": 160}  # of the windows of toys, else 96
THINGS = ("box", "disc")
EASY = MANY.model_copy(update={"things": THINGS})  # what random weights say counts
USUAL = Detecting(things=THINGS, least_score=0.1, per_window=200)
FAINT = EASY.model_copy(update={"least_mask": 0.15})  # what RF-DETR's masks reach after STEPS
# STEPS teach them little, and random masks of theirs fill whole windows: pieces of one object, that nobody would cut.
QUERIES = {"mask2former-objects": EASY, "rf-detr-seg": FAINT}
DENSE = Architecture(name="compact-unet", options={"widths": [12, 24, 40]})
BOTH = {"predict", "number", "outline"}
STAGES = {"objects": BOTH | {"merge", "paint"}, "dense": BOTH | {"group"}, "areas": BOTH | {"borders", "group"}}
CASES = [
    *((name, "spoilt" if name in QUERIES else "random") for name in DETECTORS),
    *((name, "trained") for name in DETECTORS),
    *[("yolo-seg", "random"), ("dense", "spoilt"), ("dense", "trained"), ("areas", "trained")],
]


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    return walks.write_scene(tmp_path_factory.mktemp("walk") / "scene.tif")


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "how"), CASES)
def test_every_way_to_run_it_gives_the_same_bytes(name, how, ground, tmp_path, monkeypatch):
    scene, _, ids = ground
    WRITERS.get(name, write_detector)(model := tmp_path / "m", name, how)
    if detects := load_model(model).spec.objects is not None:
        assert_many_overlap(model, scene)
    first, *ways = walks.WAYS[how == "trained"]
    wanted, steps = walks.walk(first, scene, model, tmp_path / "first", monkeypatch)
    assert main(["check", str(tmp_path / "first")]) == 0
    with rasterio.open(tmp_path / "first" / "panoptic.tif") as src:
        found = src.read(1)
    count, share = len(np.unique(found[found >= FIRST_OBJECT])), panoptic.found_of(ids, found)[0].mean()
    print(f"{name}, {how}: {count} objects where {ids.max()} are, {share:.2f} of them found")
    assert count > 200
    assert share > 0.5 or how != "trained" or name in QUERIES
    stages = [stage for stage, total in steps.items() if total >= walks.MANY and stage != "finish"]
    assert set(stages) == STAGES["objects" if detects else name]
    for way in ways:
        assert walks.walk(way, scene, model, tmp_path / way.engine, monkeypatch, stages)[0] == wanted, way


def assert_many_overlap(model, scene):
    """Assert that a detector's candidates are many in four windows that meet in the middle of a scene, and overlap."""
    bundle = load_model(model)
    spec, (kind,) = bundle.spec, backends_of([bundle])
    backend, px = library(kind).open_backend(bundle, device="cpu", precision="fp32"), spec.window_px
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (spec.normalisation.mean, spec.normalisation.std))
    stride = px - 2 * spec.margin_px - spec.ramp_px
    middle, count = walks.SIDE // 2 // stride * stride, []
    painted = np.zeros((px + stride, px + stride), np.int32)
    for row, col in ((0, 0), (0, stride), (stride, 0), (stride, stride)):
        with rasterio.open(scene) as src:
            pixels = src.read(window=Window(middle + col, middle + row, px, px))
        (said,) = backend(((pixels - mean) / std)[None]).objects
        for one in said:
            box = one.box.shifted(row, col)
            painted[box.row0 : box.row1, box.col0 : box.col1] += one.mask
        count.append(len(said))
    print(f"candidates of four windows: {count}, on several lie {(painted > 1).mean():.3f} of their pixels")
    assert np.mean(count) > 15
    assert (painted > 1).mean() > 0.01


def examples(size):
    """Return windows (1, 3, size, size) with their objects, and the classes (1, h, w) of their pixels from 0 on."""
    learnt = list(toys(60, size))
    classes, _ = panoptic.truth_of((size, size * len(learnt)), density=2e-3)
    labels = torch.from_numpy(classes.astype(np.int64) - 1)[None].split(size, 2)
    return [(x, objects, own) for (x, objects), own in zip(learnt, labels, strict=True)]


def train(network, loss_of, size=96):
    """Train a network for STEPS steps of two windows; loss_of: of their pixels, objects and classes."""
    learnt, rng = examples(size), np.random.default_rng(0)
    optimiser = torch.optim.AdamW(network.train().parameters(), 2e-3)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = 2e-3 * min(1, (step + 1) / 20) * (0.1 if step > 0.8 * STEPS else 1)
        x, objects, labels = zip(*(learnt[i] for i in rng.integers(0, len(learnt), 2)), strict=True)
        loss = loss_of(torch.cat(x), list(objects), torch.cat(labels))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()


def spoil(network):
    """Add noise to the weights of a network."""
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(0.2 * weights.std(correction=0) * torch.randn_like(weights))


def write_detector(folder, name, how):
    """Write a detector, with random, trained or spoilt weights; one that blends answers the ground's classes too."""
    blends, arch = NETWORKS[name].blends, Architecture(name=name, options=DETECTORS[name])
    torch.manual_seed(0)
    network = build_network(arch, in_channels=3, out_channels=4 if blends else 2)

    def plain(x, objects, _):
        return network.loss(x, objects)

    def with_classes(x, objects, labels):
        found, logits = network.loss_and_classes(x, [{**o, "labels": o["labels"] + 2} for o in objects])
        return found + torch.nn.functional.cross_entropy(logits, labels)

    if how != "random":
        train(network, with_classes if blends else plain, SIZE.get(name, 96))
    if how == "spoilt":
        spoil(network)
    usual = {
        "name": name, "task": "objects", "arch": arch, "bands": RGB, "gsd_m": None, "normalisation": SEEN,
        "outputs": (), "classes": [c for c in panoptic.CLASSES if c.name != "water"],
        "objects": USUAL if how == "trained" and name not in QUERIES else QUERIES.get(name, EASY),
        **OTHER.get(name, WINDOWS),
    }  # fmt: skip
    own = {"task": "panoptic", "ramp_px": 32, "classes": panoptic.CLASSES, "outputs": panoptic.spec_of().outputs[:1]}
    save_model(folder, network.eval(), spec=ModelSpec(**usual | (own if blends else {})), half=False)


def write_dense(folder, name, how):
    """Write a network of classes, centres and offsets, or of classes alone; spoilt: noise on its trained weights."""
    torch.manual_seed(0)
    areas = name == "areas"
    network = build_network(DENSE, in_channels=3, out_channels=4 if areas else 7)

    def loss_of(x, objects, labels):
        out = network(x)
        found = torch.nn.functional.cross_entropy(out[:, :4], labels)
        return found if areas else found + sum(of_things(*pair) for pair in zip(out, objects, strict=True))

    train(network, loss_of)
    if how == "spoilt":
        spoil(network)
    by_areas = {
        "outputs": panoptic.spec_of().outputs[:1],
        "grouping": panoptic.GROUPING.model_copy(update={"by": "areas"}),
    }
    spec = panoptic.spec_of(
        arch=DENSE, bands=RGB, normalisation=SEEN, margin_px=32, **by_areas if areas else {},
    )  # fmt: skip
    save_model(folder, network, spec=spec, half=False)


def of_things(out, objects):
    """Return the loss of the centres and offsets of a window (7, h, w)."""
    ids = sum(
        ((i + 1) * mask.int() for i, mask in enumerate(objects["masks"])), torch.zeros(out.shape[1:]).int()
    ).numpy()
    bumps, offsets = map(torch.from_numpy, bumps_and_offsets(ids, sigma_px=2))
    far = (2 * out[5:].sigmoid() - 1 - offsets / panoptic.RANGE_PX).abs().mean(0)[torch.from_numpy(ids > 0)].mean()
    return 20 * (out[4].sigmoid() - bumps).square().mean() + 8 * far


def write_yolo(folder, _name, _how):
    """Import an ONNX file of random weights."""
    file = folder.with_suffix(".onnx")
    told = {"task": "segment", "names": "{0: 'box', 1: 'disc'}", "imgsz": "[256, 256]", "stride": "32"}
    onnx.save(yolo_net(size=256, metadata=told), str(file))
    flags = ["--family", "yolo-seg", "--gsd-m", "any", "--margin-px", "32", "--least-score", "0.3"]
    assert main(["import", str(file), "-o", str(folder), *flags]) == 0


WRITERS = {"dense": write_dense, "areas": write_dense, "yolo-seg": write_yolo}
