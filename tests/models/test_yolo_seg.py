"""YOLO networks of masks: imported as a user would, run as detectors, and what is none of them is refused."""

import re
from itertools import pairwise

import numpy as np
import onnx
import pytest
import torch
from conftest import write_tif
from onnx_nets import tiny_net, yolo_net
from panoptic import contents

from geoseg import RunOptions, finish, predict
from geoseg.cli import main
from geoseg.models.architectures import check_architecture
from geoseg.models.backends import library
from geoseg.models.backends.yolo_seg import candidates, mask_of
from geoseg.models.bundle import load_model
from geoseg.models.imports.yolo_seg import _examined
from geoseg.values.box import Box

NAMES = {"task": "segment", "names": "{0: 'house', 1: 'tree'}", "imgsz": "[128, 128]", "stride": "32"}


def imported(folder, *flags, **how):
    file = folder / "net.onnx"
    onnx.save(yolo_net(**{"metadata": NAMES} | how), str(file))
    told = ["import", str(file), "--family", "yolo-seg", "-o", str(folder / "m"), "--gsd-m", "any", *flags]
    return main(told), folder / "m"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    code, bundle = imported(tmp_path_factory.mktemp("yolo"), "--margin-px", "32", "--least-score", "0.3")
    assert code == 0
    return bundle


def scene_of(folder, shape, seed=1):
    coarse = np.random.default_rng(seed).integers(0, 256, (3, shape[0] // 6 + 1, shape[1] // 6 + 1), np.uint8)
    return write_tif(folder / "scene.tif", coarse.repeat(6, 1).repeat(6, 2)[:, : shape[0], : shape[1]])


def test_a_file_says_its_classes_and_windows(model):
    spec = load_model(model).spec
    assert [c.name for c in spec.classes] == ["house", "tree", "ground"]
    assert (spec.task, spec.window_px, spec.margin_px, spec.ramp_px) == ("objects", 128, 32, 0)
    assert spec.things == (1, 2)
    assert (spec.objects.least_score, spec.objects.per_window) == (0.3, 300)
    assert spec.normalisation.std == (255.0,) * 3
    assert spec.arch.options["head"] == "anchors"
    assert spec.arch.options["fixed_px"] == 128


def test_candidates_overlap_and_chunks_change_no_byte(tmp_path, model):
    bundle = load_model(model)
    window = np.random.default_rng(0).random((1, 3, 16, 16), np.float32).repeat(8, 2).repeat(8, 3)
    backend = library("onnx").open_backend(bundle, device="cpu", precision="fp32")
    (said,) = backend(window).objects
    boxes = np.array([(d.box.row0, d.box.col0, d.box.row1, d.box.col1) for d in said])
    low, high = np.maximum(boxes[:, None, :2], boxes[None, :, :2]), np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    assert len(said) > 60
    assert (high > low).all(2).sum() > 4 * len(said)  # each meets three others or more
    assert {d.class_id for d in said} == {1, 2}
    assert all(a.score >= b.score for a, b in pairwise(said))
    scene = scene_of(tmp_path, (530, 128))
    runs = [predict(scene, model, tmp_path / str(px), options=RunOptions(chunk_px=px)) for px in (512, 1024)]
    assert [r.run["plan"]["chunks"] for r in runs] == [2, 1]
    assert runs[0].run["instances"]["count"] > 60
    assert contents(runs[0]) == contents(runs[1])
    for i in (2, 1):
        predict(scene, model, tmp_path / "shards", options=RunOptions(chunk_px=512, shard=(i, 2)))
    assert contents(finish(scene, model, tmp_path / "shards")) == contents(runs[0])  # by the library of the shards


def test_masks_are_brought_up_as_torch_does():
    random = np.random.default_rng(0)
    maps, weights = random.standard_normal((8, 32, 32)).astype("f4"), random.standard_normal(8).astype("f4")
    whole = torch.from_numpy(np.tensordot(weights, maps, 1))[None, None]
    wanted = torch.nn.functional.interpolate(whole, size=(128, 128), mode="bilinear")[0, 0].numpy()
    for box in (Box(0, 0, 128, 128), Box(37, 5, 61, 90), Box(0, 120, 3, 128), Box(126, 0, 128, 1)):
        found = mask_of(weights, maps, box, 128)
        np.testing.assert_allclose(found, wanted[box.row0 : box.row1, box.col0 : box.col1], atol=1e-5)


def test_both_heads_choose_alike(model):
    spec = load_model(model).spec
    options = check_architecture(spec.arch)
    random = np.random.default_rng(0)
    centres = (20 * np.arange(12) + 9).astype("f4")  # boxes of 10 px that do not meet
    boxes = np.stack([centres, centres, np.full(12, 10), np.full(12, 10)])
    shares = random.random((2, 12)).astype("f4")
    masks = random.random((8, 12)).astype("f4")
    one = candidates(np.concatenate([boxes, shares, masks]).astype("f4"), 8, options, spec.objects)
    corners = np.stack([centres - 5, centres - 5, centres + 5, centres + 5])
    rows = np.concatenate([corners, shares.max(0)[None], shares.argmax(0)[None], masks]).T.astype("f4")
    other = candidates(rows, 8, options.model_copy(update={"head": "end-to-end"}), spec.objects)
    assert 0 < len(one.score) < 12 + 1
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (lambda: tiny_net(channels=3), "no candidates with prototypes of masks"),
        (lambda: yolo_net(metadata={**NAMES, "task": "detect"}), "the task 'detect'"),
        (lambda: yolo_net(metadata={"names": "__import__('os')"}), "metadata cannot be read"),
        (lambda: yolo_net(classes=3), "2 classes, 14 x N or N x 14 are read"),
    ],
)
def test_what_is_no_network_of_masks_is_refused(tmp_path, capsys, monkeypatch, net, words):
    monkeypatch.setattr("geoseg.models.imports.yolo_seg.isolated", lambda call, *args, where: call(*args))
    onnx.save(net(), str(tmp_path / "net.onnx"))
    flags = ["--family", "yolo-seg", "--gsd-m", "any", "--classes", "house,tree", "--window-px", "128"]
    assert main(["import", str(tmp_path / "net.onnx"), "-o", str(tmp_path / "m"), *flags]) == 4
    assert words in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_a_file_without_metadata_is_asked_for_its_classes(tmp_path, capsys):
    code, _ = imported(tmp_path, metadata={})
    assert code == 2
    assert "--classes" in capsys.readouterr().err
    assert main(["import", str(tmp_path / "net.onnx"), "-o", str(tmp_path / "m"), "--per-window", "9"]) == 2
    assert re.search(r"are of detectors; give --family .*yolo-seg", capsys.readouterr().err)


def test_the_end_to_end_head_is_known_by_its_shape():
    found, held = _examined(yolo_net(end_to_end=True).SerializeToString(), (3, 128, 128), 2, "net.onnx")
    assert (found.candidates, found.prototypes, found.head) == ("output0", "output1", "end-to-end")
    assert held > 0


@pytest.mark.nightly
@pytest.mark.parametrize("end_to_end", [False, True])
def test_chunks_engines_and_order_change_no_byte(tmp_path, end_to_end):
    code, model = imported(tmp_path, "--margin-px", "32", end_to_end=end_to_end)
    assert code == 0
    scene = scene_of(tmp_path, (1100, 1100))
    runs = [predict(scene, model, tmp_path / str(px), options=RunOptions(chunk_px=px)) for px in (512, 1024, 2048)]
    assert runs[0].run["instances"]["count"] > 600
    assert contents(runs[0]) == contents(runs[1]) == contents(runs[2])
