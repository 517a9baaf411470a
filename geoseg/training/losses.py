"""Cross entropy plus Dice over labelled pixels, finite on batches without any."""

from collections.abc import Sequence

import torch
from torch import Tensor

from geoseg.training.targets import IGNORE


def border_weights(labels: Tensor, *, border: int, weight: float, reach_px: int = 3) -> Tensor:
    """Return weights (B, H, W): ``weight`` on and within ``reach_px`` of the channel ``border``, else 1."""
    border_px = (labels == border).float()[:, None]
    near = torch.nn.functional.max_pool2d(border_px, 2 * reach_px + 1, stride=1, padding=reach_px)[:, 0]
    return 1 + (weight - 1) * near


def class_weights(labels: Tensor, weights: Sequence[float]) -> Tensor:
    """Return (B, H, W) ``weights`` of the channel that each label is; of no account where labels are ignored."""
    table = torch.ones(IGNORE + 1)
    table[: len(weights)] = torch.tensor(weights)
    return table[labels.long()]


def cross_entropy_dice(
    logits: Tensor, labels: Tensor, *, weights: Tensor | None, groups: tuple[tuple[int, ...], ...]
) -> Tensor:
    """Return weighted cross entropy + mean soft Dice loss (Milletari et al. 2016, V-Net) as a scalar in fp32.

    logits: (B, K, H, W); labels: (B, H, W) with IGNORE; weights: (B, H, W) or None; groups: the channels whose summed
    probability each Dice term judges, e.g. ((1, 2), (2,)) for building = interior + border, and border. A group that a
    batch does not hold adds no Dice (its error still counts in the cross entropy). Zero where every pixel is ignored.
    """
    logits = logits.float()
    known = labels != IGNORE
    target = torch.where(known, labels, torch.zeros_like(labels)).long()
    pixel = known.float() if weights is None else known.float() * weights
    log_p = torch.log_softmax(logits, 1)
    nll = -log_p.gather(1, target[:, None])[:, 0]
    total = (nll * pixel).sum() / pixel.sum().clamp_min(1.0)
    probability = log_p.exp()
    terms = []
    for group in groups:
        p = probability[:, list(group)].sum(1) * known
        t = torch.isin(target, torch.tensor(group, device=target.device)).float() * known
        if t.sum() > 0:
            terms.append(1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1))
    return total + torch.stack(terms).mean() if terms else total
