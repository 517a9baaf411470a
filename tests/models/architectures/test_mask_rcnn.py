"""Mask R-CNN learns toys, its windows do not depend on each other, and torchvision's own weights fit it."""

import numpy as np
import panoptic
import pytest
import torch
from networks import TINY

from geoseg.models.architectures import build_network
from geoseg.models.detecting import Detecting
from geoseg.models.spec import Architecture
from geoseg.models.weights import match

ANCHORS = (8, 16, 24, 32, 64)
RULES = Detecting(things=("box", "disc"), least_score=0.0, least_mask=0.05, per_window=40)


def tiny(bands=3, **options):
    torch.manual_seed(0)
    return build_network(
        Architecture(name="mask-rcnn", options={**TINY["mask-rcnn"], "anchor_px": ANCHORS, **options}),
        in_channels=bands,
        out_channels=2,
    )


@pytest.mark.parametrize("heads", ["v1", "v2"])
def test_a_window_gives_objects_within_it_the_best_first_and_always_the_same(heads):
    network = tiny(4, heads=heads).eval()
    x = torch.randn(1, 4, 96, 64)
    with torch.inference_mode():
        said, again = network.detect(x, RULES), network.detect(x, RULES)
    assert 5 < len(said) <= RULES.per_window
    assert [one.score for one in said] == sorted((one.score for one in said), reverse=True)
    for one, other in zip(said, again, strict=True):
        assert one.box == other.box
        np.testing.assert_array_equal(one.mask, other.mask)
        assert one.mask.shape == one.box.shape
        assert 0 <= one.box.row0 < one.box.row1 <= 96
        assert one.class_id in (0, 1)
    assert network(x).shape == (1, 3, 96, 64)


def toys(count=8, size=96):
    classes, ids = panoptic.truth_of((size, size * count), density=2e-3)
    rng = np.random.default_rng(0)
    image = np.stack([np.where(classes == c, 1.5, -0.5) for c in (2, 3, 4)]) + rng.normal(0, 0.1, (3, *classes.shape))
    for i in range(count):
        own, kinds = ids[:, i * size : (i + 1) * size], classes[:, i * size : (i + 1) * size]
        masks = np.stack([own == n for n in np.unique(own[own > 0])])
        spans = [(np.flatnonzero(m.any(0)), np.flatnonzero(m.any(1))) for m in masks]
        objects = {
            "boxes": torch.tensor([[x[0], y[0], x[-1] + 1, y[-1] + 1] for x, y in spans], dtype=torch.float32),
            "labels": torch.tensor([int(kinds[m][0]) - 2 for m in masks]),
            "masks": torch.from_numpy(masks.astype(np.uint8)),
        }
        yield torch.from_numpy(image[None, :, :, i * size : (i + 1) * size].astype(np.float32)), objects


@pytest.mark.nightly
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_weights_of_torchvision_fit_but_for_stem_and_classes(version):
    from torchvision.models import detection

    theirs = {"v1": detection.maskrcnn_resnet50_fpn, "v2": detection.maskrcnn_resnet50_fpn_v2}[version]
    given = theirs(weights=None, weights_backbone=None).state_dict()
    own = build_network(Architecture(name="mask-rcnn", options={"heads": version}), in_channels=3, out_channels=2)
    found = match(given, own.state_dict(), stems=["backbone.body.conv1.weight"])
    assert {name.rpartition(".")[0] for name in found.missing} == {
        "roi_heads.box_predictor.cls_score", "roi_heads.box_predictor.bbox_pred",
        "roi_heads.mask_predictor.mask_fcn_logits",
    }  # fmt: skip
