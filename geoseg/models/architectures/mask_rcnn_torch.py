"""Layers of Mask R-CNN: torchvision's, on encoders of segmentation-models-pytorch and timm."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from segmentation_models_pytorch.decoders.fpn.decoder import SegmentationBlock
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from geoseg.models.architectures.detector_torch import Detector
from geoseg.models.architectures.pyramid_torch import RATIOS, Pyramid, anchors, listed
from geoseg.models.detecting import Detecting
from geoseg.objects.found import SCORES, Detection
from geoseg.values.box import Box

if TYPE_CHECKING:
    from geoseg.models.architectures.mask_rcnn import MaskRcnnOptions, PanopticFpnOptions

LEVELS = 4  # of the encoder, from a quarter to a thirty-second of the size; a fifth is pooled


class MaskRcnn(Detector, MaskRCNN):
    """torchvision's network; windows keep their size and their values, and masks are pasted one by one."""

    backbone: Callable[[Tensor], dict[str, Tensor]]
    rpn: Callable[..., Any]
    roi_heads: Any

    def detect(self, x: Tensor, rules: Detecting) -> list[Detection]:
        """See ``Detector``."""
        return self.found(x, self.backbone(x), rules)

    def found(self, x: Tensor, features: dict[str, Tensor], rules: Detecting) -> list[Detection]:
        """Return the objects of a window (1, C, h, w) whose pyramid is known."""
        heads, images = self.roi_heads, listed(x)
        heads.score_thresh, heads.detections_per_img = rules.least_score, rules.per_window
        (said,), _ = heads(features, self.rpn(images, features)[0], images.image_sizes)
        said = {key: value.detach().float().cpu() for key, value in said.items()}
        out = []
        for box, label, score, mask in zip(said["boxes"], said["labels"], said["scores"], said["masks"], strict=True):
            place, own = _pasted(box, mask, images.image_sizes[0], rules.least_mask)
            if own.any():
                out.append(Detection(place, own, int(label) - 1, int(np.rint(float(score) * SCORES))))
        return out

    def loss(self, images: Tensor, objects: list[dict[str, Tensor]]) -> Tensor:
        """See ``Detector``: of proposals, their classes, their boxes and their masks (He et al. 2017)."""
        return self.judged(images, self.backbone(images), objects)

    def judged(self, images: Tensor, features: dict[str, Tensor], objects: list[dict[str, Tensor]]) -> Tensor:
        """Return the loss of images whose pyramid is known, see ``loss``."""
        each = listed(images)
        proposals, looking = self.rpn(each, features, objects)
        _, judging = self.roi_heads(features, proposals, each.image_sizes, objects)
        return torch.stack([*looking.values(), *judging.values()]).sum()


class ClassHead(nn.Module):
    """Classes of pixels from a pyramid: its levels are brought to a quarter of the size, added, and brought up."""

    def __init__(self, pyramid: int, width: int, classes: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(SegmentationBlock(pyramid, width, n_upsamples=i) for i in range(LEVELS))
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """(B, pyramid, h / 4, w / 4) and so on -> logits (B, classes, h, w)."""
        added = torch.stack([level(features[str(i)]) for i, level in enumerate(self.levels)]).sum(0)
        return interpolate(self.last(added), scale_factor=4.0, mode="bilinear", align_corners=False)


class PanopticFpn(MaskRcnn):
    """Mask R-CNN with a head of classes."""

    semantic: ClassHead
    blends = True

    def both(self, x: Tensor, rules: Detecting) -> tuple[Tensor, list[Detection]]:
        """Return the logits (1, classes, h, w) and the objects of a window (1, C, h, w)."""
        features = self.backbone(x)
        return self.semantic(features), self.found(x, features, rules)

    def loss_and_classes(self, images: Tensor, objects: list[dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
        """See ``Detector``."""
        features = self.backbone(images)
        return self.judged(images, features, objects), self.semantic(features)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> logits (B, classes, h, w)."""
        logits: Tensor = self.semantic(self.backbone(x))
        return logits


def _pasted(corners: Tensor, mask: Tensor, shape: tuple[int, int], least: float) -> tuple[Box, NDArray[np.bool_]]:
    """Return a mask (1, 28, 28) brought to the pixels of its box."""
    left, top = (max(int(v), 0) for v in corners[:2].floor() - 1)
    right, bottom = (min(int(v), n) for v, n in zip(corners[2:].ceil() + 2, reversed(shape), strict=True))
    own = paste_masks_in_image(mask[None], corners[None], shape)[0, 0, top:bottom, left:right] >= least
    return Box(top, left, bottom, right), own.numpy()


def panoptic_fpn(in_channels: int, classes: int, options: "PanopticFpnOptions") -> MaskRcnn:
    """Return the network with random weights."""
    network = mask_rcnn(in_channels, classes, options, PanopticFpn)
    network.semantic = ClassHead(options.pyramid_channels, options.segmentation_channels, classes)
    return network


def mask_rcnn(in_channels: int, classes: int, options: "MaskRcnnOptions", kind: type[MaskRcnn] = MaskRcnn) -> MaskRcnn:
    """Return the network with random weights."""
    width, hidden, second = options.pyramid_channels, options.hidden, options.heads == "v2"
    conv = partial(FastRCNNConvFCHead, (width, 7, 7), [width] * 4, [hidden], norm_layer=nn.BatchNorm2d)
    norm = nn.BatchNorm2d if second else None
    network = kind(
        Pyramid(in_channels, options.encoder_name, width, levels=LEVELS, beyond=LastLevelMaxPool(), norm=norm),
        rpn_anchor_generator=anchors(options.anchor_px),
        rpn_head=RPNHead(width, len(RATIOS), conv_depth=2 if second else 1),
        box_head=conv() if second else TwoMLPHead(width * 7**2, hidden),
        box_predictor=FastRCNNPredictor(hidden, 1 + classes),
        mask_head=MaskRCNNHeads(width, (width,) * 4, 1, norm_layer=norm),
        mask_predictor=MaskRCNNPredictor(width, width, 1 + classes),
        rpn_pre_nms_top_n_train=2 * options.proposals,
        rpn_post_nms_top_n_train=options.proposals,
        rpn_pre_nms_top_n_test=options.proposals,
        rpn_post_nms_top_n_test=options.proposals,
    )
    network.classes = classes
    return network
