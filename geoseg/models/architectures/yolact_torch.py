"""Layers, matching and losses of YOLACT (Bolya et al., "YOLACT: Real-time Instance Segmentation", ICCV 2019).

Of boxes that overlap torchvision chooses, in place of the paper's Fast NMS, which is faster and removes a few more.
"""

from math import log
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    adaptive_max_pool2d,
    binary_cross_entropy_with_logits,
    cross_entropy,
    interpolate,
    smooth_l1_loss,
)
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.ops import batched_nms, box_iou, clip_boxes_to_image
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from geoseg.models.architectures.detector_torch import Detector, detection
from geoseg.models.architectures.pyramid_torch import RATIOS, Pyramid, anchors, listed
from geoseg.models.detecting import Detecting
from geoseg.objects.found import Detection

if TYPE_CHECKING:
    from geoseg.models.architectures.yolact import YolactOptions

LEVELS = 3  # of the encoder, from an eighth to a thirty-second of the size
POSITIVE, NEGATIVE = 0.5, 0.4  # IoU with an object from which an anchor is its, and below which it is nobody's
HARD = 3  # anchors of no object that count for each one of an object: those that are most wrong
OVERLAP = 0.5  # IoU from which two boxes of a class are one object
OF_BOXES, OF_MASKS = 1.5, 6.125  # weights of losses; those of classes and of pixels count once
RARE = 0.01  # share of anchors that are taken for objects at first


class Said(NamedTuple):
    """What the network says of B windows with A anchors."""

    sorts: Tensor
    """Logits of no object and of each class, (B, A, 1 + classes)."""
    corners: Tensor
    """Where boxes lie from their anchors, (B, A, 4)."""
    mixes: Tensor
    """How much of each prototype, -1 to 1, (B, A, P)."""
    prototypes: Tensor
    """At a quarter of the size, (B, P, h / 4, w / 4)."""
    anchors: Tensor
    """Left, top, right, bottom, (A, 4)."""


class Yolact(Detector):
    """One tower of convolutions over all levels says classes, boxes and mixtures; prototypes come from the finest."""

    def __init__(self, in_channels: int, classes: int, options: "YolactOptions") -> None:
        super().__init__()
        width = options.pyramid_channels
        self.classes, self.candidates = classes, options.candidates
        self.backbone = Pyramid(
            in_channels, options.encoder_name, width, levels=LEVELS, beyond=LastLevelP6P7(width, width)
        )
        self.masks = nn.Sequential(
            *(layer for _ in range(3) for layer in _convolved(width)),
            nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False),
            *_convolved(width),
            nn.Conv2d(width, options.prototypes, 1),
            nn.ReLU(),
        )
        self.tower = nn.Sequential(*_convolved(width))
        self.sorts = nn.Conv2d(width, len(RATIOS) * (1 + classes), 3, padding=1)
        self.corners = nn.Conv2d(width, len(RATIOS) * 4, 3, padding=1)
        self.mixes = nn.Conv2d(width, len(RATIOS) * options.prototypes, 3, padding=1)
        self.pixels = nn.Conv2d(width, classes, 1)  # learnt beside the rest, and not asked in a run
        self.anchors = anchors(options.anchor_px)
        self.coder = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))
        rare = torch.zeros(len(RATIOS), 1 + classes)
        rare[:, 0] = log((1 - RARE) * classes / RARE)
        self.sorts.bias = nn.Parameter(rare.ravel())

    def detect(self, x: Tensor, rules: Detecting) -> list[Detection]:
        """See ``Detector``."""
        said = self.said(x, self.backbone(x))
        sure, label = said.sorts[0].float().softmax(-1)[:, 1:].max(-1)
        best = sure.argsort(descending=True, stable=True)[: self.candidates]
        best = best[sure[best] >= rules.least_score]
        boxes = self.coder.decode_single(said.corners[0, best].float(), said.anchors[best])
        boxes = clip_boxes_to_image(boxes, (int(x.shape[2]), int(x.shape[3])))
        kept = batched_nms(boxes, sure[best], label[best], OVERLAP)[: rules.per_window]
        found = []
        for i, corners in zip(best[kept].tolist(), boxes[kept], strict=True):
            mask = torch.einsum("phw,p->hw", said.prototypes[0], said.mixes[0, i]).float().sigmoid()
            share = interpolate(mask[None, None], size=x.shape[-2:], mode="bilinear", align_corners=False)[0, 0]
            one = detection(_inside(share, corners), rules.least_mask, int(label[i]), float(sure[i]))
            if one is not None:
                found.append(one)
        return found

    def said(self, x: Tensor, features: dict[str, Tensor]) -> Said:
        """Return what the network says of windows (B, C, h, w) whose pyramid is known."""
        maps = list(features.values())
        towers = [self.tower(one) for one in maps]
        sorts, corners, mixes = (
            torch.cat([_by_anchor(head(one), head.out_channels // len(RATIOS)) for one in towers], 1)
            for head in (self.sorts, self.corners, self.mixes)
        )
        return Said(sorts, corners, mixes.tanh(), self.masks(maps[0]), self.anchors(listed(x), maps)[0])

    def loss(self, images: Tensor, objects: list[dict[str, Tensor]]) -> Tensor:
        """See ``Detector``: of classes, boxes and masks for the anchors of objects, and of the pixels' classes."""
        features = self.backbone(images)
        said = self.said(images, features)
        classes, boxes, masks = (images.new_zeros(()) for _ in range(3))
        count, matcher = 0, Matcher(POSITIVE, NEGATIVE, allow_low_quality_matches=True)
        for i, one in enumerate(objects):
            overlaps = box_iou(one["boxes"], said.anchors)
            nobody = torch.full((len(said.anchors),), -1, device=images.device)  # as the matcher says it
            owner = matcher(overlaps) if len(one["boxes"]) else nobody
            own = (owner >= 0).nonzero()[:, 0]
            of = owner[own]
            count += len(own)
            classes = classes + _of_classes(said.sorts[i].float(), owner, one["labels"])
            wanted = self.coder.encode_single(one["boxes"][of], said.anchors[own])
            boxes = boxes + smooth_l1_loss(said.corners[i, own].float(), wanted, reduction="sum")
            masks = masks + _of_masks(said.prototypes[i], said.mixes[i, own], one["boxes"][of], one["masks"], of)
        pixels = self.pixels(next(iter(features.values()))).float()
        truth = torch.stack([_painted(one, self.classes, pixels.shape[-2:]) for one in objects])
        each: Tensor = (classes + OF_BOXES * boxes + OF_MASKS * masks) / max(count, 1)
        return each + binary_cross_entropy_with_logits(pixels, truth)


def _convolved(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(width, width, 3, padding=1), nn.ReLU()


def _by_anchor(answer: Tensor, each: int) -> Tensor:
    """(B, ratios x each, h, w) -> (B, h x w x ratios, each), in the order of anchors."""
    return answer.permute(0, 2, 3, 1).reshape(len(answer), -1, each)


def _inside(share: Tensor, corners: Tensor) -> Tensor:
    """Return shares (h, w) that are nothing outside a box."""
    left, top = (max(int(v), 0) for v in corners[:2].floor())
    right, bottom = (int(v) for v in corners[2:].ceil())
    out = torch.full_like(share, -1)
    out[top:bottom, left:right] = share[top:bottom, left:right]
    return out


def _of_classes(logits: Tensor, owner: Tensor, labels: Tensor) -> Tensor:
    """Return the sum of the cross entropies of anchors of objects, and of those of none that are most wrong."""
    own = owner >= 0
    wanted = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    wanted[own] = labels[owner[own]]
    wrong = cross_entropy(logits, wanted, reduction="none")
    nobody = wrong[owner == Matcher.BELOW_LOW_THRESHOLD]
    hard = nobody.topk(min(HARD * max(int(own.sum()), 1), len(nobody))).values
    return wrong[own].sum() + hard.sum()


def _of_masks(prototypes: Tensor, mixes: Tensor, boxes: Tensor, masks: Tensor, of: Tensor) -> Tensor:
    """Return the sum of the cross entropies of masks in their boxes, each as a share of its box.

    prototypes (P, h, w); mixes (N, P) and boxes (N, 4) of anchors; masks (M, H, W) of objects, ``of`` (N,) the anchors.
    """
    height, width = prototypes.shape[-2:]
    if not len(of):
        return prototypes.sum() * 0
    small = interpolate(masks[None].float(), size=(height, width), mode="bilinear", align_corners=False)[0]
    scale = boxes.new_tensor([width, height, width, height]) / boxes.new_tensor([*masks.shape[:0:-1]] * 2)
    left, top, right, bottom = (boxes * scale)[:, :, None, None].unbind(1)
    rows = torch.arange(height, device=boxes.device)[None, :, None] + 0.5
    cols = torch.arange(width, device=boxes.device)[None, None, :] + 0.5
    inside = (rows > top) & (rows < bottom) & (cols > left) & (cols < right)
    logits = torch.einsum("phw,np->nhw", prototypes, mixes).float()
    wrong = binary_cross_entropy_with_logits(logits, (small >= 0.5).float()[of], reduction="none")
    area = ((right - left) * (bottom - top))[:, 0, 0].clamp_min(1)
    return ((wrong * inside).sum((1, 2)) / area).sum()


def _painted(one: dict[str, Tensor], classes: int, shape: torch.Size) -> Tensor:
    """Return where a window has objects of each class, (classes, h, w) of 0 and 1."""
    masks = one["masks"].float()
    own = [masks[one["labels"] == 1 + c] for c in range(classes)]
    size = (int(shape[0]), int(shape[1]))
    empty = masks.new_zeros((1, *size))
    return torch.cat([adaptive_max_pool2d(m.amax(0, keepdim=True)[None], size)[0] if len(m) else empty for m in own])
