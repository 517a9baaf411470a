"""Detectors as others publish them: `geoseg import` makes bundles that run untrained and answer what theirs answer."""

import json

import numpy as np
import pytest
import torch
from conftest import write_tif
from networks import TINY
from safetensors.torch import save_file

from geoseg import predict
from geoseg.cli import main
from geoseg.models.architectures import build_network
from geoseg.models.backends import library
from geoseg.models.bundle import load_model
from geoseg.models.spec import Architecture
from geoseg.scenes.open import open_scene

SMALL = '{"encoder_name": "resnet18"}'  # published are ResNet-50s
SEEN = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "rescale_factor": 1 / 255}


def torchvision_network(classes=91, hidden=48):
    """Return torchvision's Mask R-CNN on a ResNet-18, with answers that are many."""
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor

    torch.manual_seed(1)
    heads = {"box_head": TwoMLPHead(256 * 49, hidden), "box_predictor": FastRCNNPredictor(hidden, classes)}
    heads["mask_predictor"] = MaskRCNNPredictor(256, 256, classes)
    backbone = resnet_fpn_backbone(backbone_name="resnet18", weights=None)
    network = MaskRCNN(backbone, None, box_score_thresh=0.0, box_detections_per_img=20, **heads).eval()
    with torch.no_grad():
        network.roi_heads.box_predictor.cls_score.weight.mul_(40)
        none = [i for i, name in enumerate(coco()) if name == "N/A"] if classes == len(coco()) else []
        network.roi_heads.box_predictor.cls_score.bias[none] = -1e4  # as one that never saw them
    return network


def coco():
    from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

    return MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]


def old_name(name):
    """Return what torchvision called a tensor when it published maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth."""
    if "fpn." in name:
        return name.replace(".0.weight", ".weight").replace(".0.bias", ".bias")
    if "mask_head" in name:
        head, _, tail = name.partition("mask_head.")
        number, _, rest = tail.partition(".0.")
        return f"{head}mask_head.mask_fcn{int(number) + 1}.{rest}"
    return name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")


def told(capsys, *arguments):
    code = main(["import", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out if code == 0 else said.err


def assert_same(bundle, wanted, x):
    """Assert that a bundle lists what the network of others does: classes by name, scores, and how large masks are."""
    (found,) = library().open_backend(load_model(bundle), device="cpu", precision="fp32")(x).objects
    names = {c.id: c.name for c in load_model(bundle).spec.classes}
    assert len(found) == len(wanted) >= 10
    for one, (name, score, pixels) in zip(found, wanted, strict=True):
        assert names[one.class_id] == name
        assert one.score / 65535 == pytest.approx(score, abs=1e-3)
        assert one.mask.sum() == pytest.approx(pixels, abs=2)


@pytest.mark.nightly
def test_torchvision_s_mask_r_cnn_answers_as_it_does_there(tmp_path, capsys):
    network = torchvision_network()
    given = {old_name(name): tensor for name, tensor in network.state_dict().items()}
    assert {"backbone.fpn.inner_blocks.0.weight", "rpn.head.conv.weight", "roi_heads.mask_head.mask_fcn1.bias"} < set(
        given
    )
    torch.save(given, tmp_path / "coco.pth")
    file, flags = tmp_path / "coco.pth", ("--family", "mask-rcnn", "--network-options", SMALL, "--gsd-m", "any")
    rules = ("--least-score", "0", "--per-window", "20", "--window-px", "128")
    code, said = told(capsys, file, "-o", tmp_path / "m", *flags, *rules)
    assert code == 0, said
    assert "stem: red: copy of red; green: copy of green; blue: copy of blue" in said
    assert "heads: kept as they are, 90 classes, but for 10 that have no name" in said
    spec = load_model(tmp_path / "m").spec
    assert (spec.task, len(spec.things), spec.classes[-1].name) == ("objects", 80, "ground")
    assert spec.normalisation.mean == pytest.approx([123.675, 116.28, 103.53])
    x = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        from torchvision.models.detection.image_list import ImageList

        features, images = network.backbone(x), ImageList(x, [(128, 128)])
        network.rpn._post_nms_top_n = network.rpn._pre_nms_top_n = {"training": 1000, "testing": 1000}
        (answer,), _ = network.roi_heads(features, network.rpn(images, features)[0], images.image_sizes)
    wanted = []
    for box, label, score, mask in zip(*(answer[key] for key in ("boxes", "labels", "scores", "masks")), strict=True):
        from torchvision.models.detection.roi_heads import paste_masks_in_image

        pasted = paste_masks_in_image(mask[None], box[None], (128, 128)) >= 0.5
        if pasted.any():
            wanted.append((coco()[label], float(score), int(pasted.sum())))
    assert_same(tmp_path / "m", wanted, x.numpy())
    scene = write_tif(tmp_path / "scene.tif", np.random.default_rng(0).integers(0, 255, (4, 150, 200), np.uint8))
    code, said = told(capsys, file, "-o", tmp_path / "four", *flags, *rules, "--bands", "blue,green,red,nir")
    assert "nir: neighbours red" in said
    found = predict(open_scene([str(scene)], bands="blue,green,red,nir"), tmp_path / "four", tmp_path / "out")
    assert found.run["instances"]["count"] > 0
    code, said = told(capsys, file, "-o", tmp_path / "no", *flags, "--classes", "car,truck")
    assert (code, "heads know 80 classes, and 2 are named" in said) == (2, True)


@pytest.mark.parametrize(
    ("content", "family", "code", "words"),
    [
        ({"encoder.weight": torch.zeros(3, 3)}, "mask-rcnn", 4, "has no heads of torchvision's Mask R-CNN"),
        (None, "mask-rcnn", 4, "no safetensors file and no checkpoint of weights there"),
        (None, "mask2former", 4, "a folder that transformers has saved is needed"),
    ],
)
def test_another_file_is_refused_in_a_sentence(tmp_path, capsys, content, family, code, words):
    if content is not None:
        save_file(content, tmp_path / "net.safetensors")
    flags = ("--family", family, "--gsd-m", "any")
    found, said = told(capsys, tmp_path / "net.safetensors", "-o", tmp_path / "m", *flags)
    assert (found, said.count("\n"), words in said) == (code, 1, True), said
    assert not (tmp_path / "m").exists()


def test_options_of_a_network_that_its_folder_says_are_refused(tmp_path, capsys):
    flags = ("--family", "rf-detr-seg", "--network-options", SMALL)
    code, said = told(capsys, tmp_path, "-o", tmp_path / "m", *flags)
    assert (code, "network-options: what is given with --family rf-detr-seg says them itself" in said) == (2, True)


def folder_of(tmp_path, family, **config):
    """Write the folder of transformers of a tiny network, and return it with the network."""
    name = {"mask2former": "mask2former-objects"}.get(family, family)
    torch.manual_seed(2)
    network = build_network(Architecture(name=name, options={**TINY[name], **config}), in_channels=3, out_channels=3)
    theirs = network.network.eval()
    with torch.no_grad():
        for own, weights in theirs.named_parameters():
            weights.mul_(30 if "class_embed" in own else 1)  # so that its scores differ
    theirs.config.id2label = {0: "roof", 1: "tank", 2: "tree"}
    theirs.save_pretrained(tmp_path / "folder")
    (tmp_path / "folder" / "preprocessor_config.json").write_text(json.dumps(SEEN))
    (tmp_path / "folder" / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return tmp_path / "folder", theirs


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("family", "changed"), [("mask2former", {"attention_px": 6}), ("rf-detr-seg", {"cross_heads": 8})]
)
def test_a_folder_of_transformers_answers_as_it_does_there(tmp_path, capsys, family, changed):
    folder, theirs = folder_of(tmp_path, family, **changed)
    flags = ("--family", family, "--gsd-m", "0.3", "--least-score", "0", "--per-window", "100")
    code, said = told(capsys, folder, "-o", tmp_path / "m", *flags, "--window-px", "192")
    assert code == 0, said
    assert "heads: kept as they are, 3 classes" in said
    spec = load_model(tmp_path / "m").spec
    assert [c.name for c in spec.classes] == ["roof", "tank", "tree", "ground"]
    assert spec.licence == "apache-2.0"
    assert spec.normalisation.mean == pytest.approx([123.675, 116.28, 103.53])
    x = torch.randn(1, 3, 192, 192)
    more = {} if family == "mask2former" else {"pixel_mask": torch.ones(1, 192, 192, dtype=torch.long)}
    with torch.inference_mode():
        answer = type(theirs).from_pretrained(folder).eval()(pixel_values=x, **more)
    if family == "mask2former":
        shares, masks = answer.class_queries_logits[0].softmax(-1)[:, :-1], answer.masks_queries_logits
    else:
        shares, masks = answer.logits[0].sigmoid(), answer.pred_masks
    masks = torch.nn.functional.interpolate(masks, size=x.shape[-2:], mode="bilinear")[0].sigmoid()
    sure, label = shares.max(-1)
    inside = [mask[mask >= 0.5] for mask in masks]
    rows = [
        (theirs.config.id2label[int(c)], float(p) * float(own.mean()), len(own))
        for p, c, own in zip(sure, label, inside, strict=True)
        if len(own)
    ]
    assert_same(tmp_path / "m", sorted(rows, key=lambda row: -row[1]), x.numpy())
    scene = write_tif(tmp_path / "scene.tif", np.random.default_rng(0).integers(0, 255, (4, 200, 300), np.uint8))
    code, said = told(
        capsys, folder, "-o", tmp_path / "four", *flags, "--window-px", "192", "--bands", "nir,red,green,blue"
    )
    assert (code, "nir: neighbours red" in said) == (0, True)
    found = predict(open_scene([str(scene)], bands="nir,red,green,blue"), tmp_path / "four", tmp_path / "out")
    assert main(["check", str(found.folder)]) == 0


@pytest.mark.nightly
def test_a_folder_of_other_layers_is_refused_by_the_key(tmp_path, capsys):
    folder, _ = folder_of(tmp_path, "mask2former")
    capsys.readouterr()  # the library shows how far it has come in saving
    config = json.loads((folder / "config.json").read_text())
    for key, value, words in (
        ("common_stride", 8, "config.json: common_stride 8: geoseg runs 4"),
        ("num_queries", "many", "queries: 'many' is no whole number"),
        ("hidden_dim", 64, "its tensors have other sizes than config.json says"),
        ("id2label", {"0": "roof", "1": "tank", "3": "tree"}, "has to number its classes from 0 on"),
        ("model_type", "detr", "config.json says 'detr', and mask2former is asked for"),
    ):
        (folder / "config.json").write_text(json.dumps({**config, key: value}))
        code, said = told(capsys, folder, "-o", tmp_path / "m", "--family", "mask2former", "--gsd-m", "any")
        assert (code, said.count("\n"), words in said) == (4, 1, True), said
        assert not (tmp_path / "m").exists()
