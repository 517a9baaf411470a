"""Weights that others publish of whole detectors: all but heads of other classes arrive, the stem by wavelength."""

import pytest
import torch
from networks import TINY
from safetensors.torch import save_file

from geoseg.models.architectures import build_network, check_architecture
from geoseg.models.spec import Architecture
from geoseg.training.encoder import read_encoder, start_encoder
from geoseg.training.spec import EncoderStart
from geoseg.values.bands import BandSet

BANDS = BandSet.parse("blue,green,red,nir")
NORMAL = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}  # torchvision's, of red, green and blue
HEADS_OF_TORCHVISION = {
    "roi_heads.box_predictor.cls_score", "roi_heads.box_predictor.bbox_pred",
    "roi_heads.mask_predictor.mask_fcn_logits",
}  # fmt: skip


def started(path, arch):
    """Start a network of four bands and two classes from a file, and return what it has of it, and its tensors."""
    network = build_network(arch, in_channels=4, out_channels=2)
    size_px = check_architecture(arch).window_from(64)
    own = start_encoder(
        network, read_encoder(EncoderStart(weights=str(path), **NORMAL)), BANDS, source="file", size_px=size_px
    )
    return own, network.state_dict()


def assert_stem(own, stem, given):
    """Assert that red and blue changed places, and that near infrared is made of red, the nearest."""
    assert {o.band: o.how for o in own.stem} == {
        "blue": "copy of blue", "green": "copy of green", "red": "copy of red", "nir": "neighbours red"
    }  # fmt: skip
    for ours, theirs in ((0, 2), (1, 1), (2, 0)):
        both = torch.stack([stem[:, ours].ravel(), given[:, theirs].ravel()])
        assert torch.corrcoef(both)[0, 1] > 0.95  # each filter is scaled for what a fourth band adds


def assert_rest(state, given, own, stem, prefix=""):
    """Assert that every tensor arrived that does not start anew."""
    every = [name for name in state if not name.endswith("num_batches_tracked")]
    same = [name for name in every if name not in {*own.anew, stem}]
    assert len(same) > 0.8 * len(every)
    assert all(torch.equal(state[name], given[name.removeprefix(prefix)]) for name in same)


def test_a_mask_r_cnn_of_other_classes_and_bands_starts_from_a_whole_one(tmp_path, caplog):
    torch.manual_seed(0)
    arch = Architecture(name="mask-rcnn", options=TINY["mask-rcnn"])
    given = build_network(arch, in_channels=3, out_channels=90).state_dict()
    save_file({k: v.clone() for k, v in given.items()}, tmp_path / "all.safetensors")
    with caplog.at_level("INFO", logger="geoseg"):
        own, state = started(tmp_path / "all.safetensors", arch)
    assert {name.rpartition(".")[0] for name in own.anew} == HEADS_OF_TORCHVISION
    stem = "backbone.body.conv1.weight"
    assert_stem(own, state[stem], given[stem])
    assert_rest(state, given, own, stem)
    assert "nir: neighbours red" in caplog.text
    assert "these start anew: roi_heads.box_predictor.cls_score.weight, " in caplog.text


@pytest.mark.nightly
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_torchvision_s_own_file_of_91_classes_starts_ours(tmp_path, version):
    from torchvision.models import detection

    theirs = {"v1": detection.maskrcnn_resnet50_fpn, "v2": detection.maskrcnn_resnet50_fpn_v2}[version]
    given = theirs(weights=None, weights_backbone=None).state_dict()
    assert given["roi_heads.box_predictor.cls_score.weight"].shape[0] == 91
    torch.save(given, tmp_path / "maskrcnn.pth")
    own, state = started(tmp_path / "maskrcnn.pth", Architecture(name="mask-rcnn", options={"heads": version}))
    assert {name.rpartition(".")[0] for name in own.anew} == HEADS_OF_TORCHVISION
    stem = "backbone.body.conv1.weight"
    assert_stem(own, state[stem], given[stem])
    assert_rest(state, given, own, stem)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("mask2former-objects", {"network.class_predictor.weight", "network.class_predictor.bias"}),
        ("rf-detr-seg", {"network.model.class_embed.weight", "network.model.class_embed.bias"}),
    ],
)
def test_a_folder_of_transformers_starts_ours(tmp_path, name, heads):
    torch.manual_seed(0)
    arch = Architecture(name=name, options=TINY[name])
    theirs = build_network(arch, in_channels=3, out_channels=80).network
    theirs.save_pretrained(tmp_path / "folder")
    own, state = started(tmp_path / "folder", arch)
    assert heads <= set(own.anew)
    assert len(own.anew) <= 6
    stem = next(n for n in state if n.endswith("patch_embeddings.projection.weight"))
    assert_stem(own, state[stem], theirs.state_dict()[stem.removeprefix("network.")])
    assert_rest(state, theirs.state_dict(), own, stem, "network.")
