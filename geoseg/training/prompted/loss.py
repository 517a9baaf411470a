"""The loss of a promptable network: of the best of its masks, and of what it says of all of them."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.ops import sigmoid_focal_loss

FOCAL = 20.0  # against dice, as in Kirillov et al. 2023


def prompt_loss(logits: Tensor, iou: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Return focal loss and dice of the best mask of each prompt, and the squared error of all predicted IoUs.

    logits: (B, K, h / 4, w / 4), brought to full size as answers are; iou: (B, K), predicted; truth: (B, h, w), 0 or 1;
    known: (h, w), where there is something to say. As in Kirillov et al. (2023), appendix A, without a balance of the
    focal loss: with it, small objects vanish at first.
    """
    logits = interpolate(logits, size=truth.shape[1:], mode="bilinear", align_corners=False)
    target, seen = truth[:, None].expand_as(logits), known.to(logits.dtype)
    of_pixels = sigmoid_focal_loss(logits, target, alpha=-1, reduction="none") * seen
    focal = of_pixels.sum((2, 3)) / seen.sum().clamp_min(1)
    p = torch.sigmoid(logits) * seen
    dice = 1 - (2 * (p * target).sum((2, 3)) + 1) / (p.sum((2, 3)) + (target * seen).sum((2, 3)) + 1)
    best = (FOCAL * focal + dice).min(1).values
    return best.mean() + ((iou - true_iou(logits, target, seen)) ** 2).mean()


def true_iou(logits: Tensor, truth: Tensor, seen: Tensor) -> Tensor:
    """Return the IoU (B, K) of masks with the truth, without a gradient."""
    masks, own = (logits.detach() > 0) & (seen > 0), (truth > 0.5) & (seen > 0)
    return (masks & own).sum((2, 3)) / (masks | own).sum((2, 3)).clamp_min(1)
