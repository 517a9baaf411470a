"""Losses of single pixels: a mean over those whose true channel is judged, weighted pixel by pixel."""

import torch
from torch import Tensor
from torch.nn import functional

from geoseg.training.losses.answer import Answer
from geoseg.training.losses.terms import BinaryCrossEntropy, CrossEntropy, Focal, Group, Huber


def cross_entropy(answer: Answer, term: CrossEntropy, groups: tuple[Group, ...]) -> Tensor:
    """Return the mean of -log p of the true channel."""
    cost = -answer.log_p.gather(1, answer.target[:, None])[:, 0]
    if term.smoothing:
        cost = (1 - term.smoothing) * cost - term.smoothing * answer.log_p.mean(1)
    return _mean(answer, cost, groups)


def focal(answer: Answer, term: Focal, groups: tuple[Group, ...]) -> Tensor:
    """Return the mean of -(1 - p)^gamma log p of the true channel."""
    log_p = answer.log_p.gather(1, answer.target[:, None])[:, 0]
    wrong = (1 - log_p.exp()).clamp_min(1e-6)  # at 0 a root has no slope
    return _mean(answer, -(wrong**term.gamma) * log_p, groups)


def binary_cross_entropy(answer: Answer, _: BinaryCrossEntropy, groups: tuple[Group, ...]) -> Tensor:
    """Return the mean over pixels and judged channels of the cross entropy of sigmoids; of numbers where known."""
    if answer.truth.is_floating_point():
        right = torch.where(answer.known, answer.truth, torch.zeros_like(answer.truth)).float()
        cost = functional.binary_cross_entropy_with_logits(answer.values, right, reduction="none")
        return (cost * answer.known).sum() / answer.known.sum().clamp_min(1)
    channels = list(_channels(groups))
    hot = functional.one_hot(answer.target, answer.values.shape[1]).movedim(-1, 1)[:, channels].float()
    cost = functional.binary_cross_entropy_with_logits(answer.values[:, channels], hot, reduction="none")
    return (cost.mean(1) * answer.pixel).sum() / answer.pixel.sum().clamp_min(1.0)


def huber(answer: Answer, term: Huber, _: tuple[Group, ...]) -> Tensor:
    """Return the mean over known numbers of the Huber loss."""
    cost = functional.huber_loss(answer.values, answer.right, reduction="none", delta=term.delta)
    pixel = answer.known.float() if answer.weights is None else answer.known.float() * answer.weights[:, None]
    return (cost * pixel).sum() / pixel.sum().clamp_min(1.0)


def _mean(answer: Answer, cost: Tensor, groups: tuple[Group, ...]) -> Tensor:
    """Return the weighted mean of ``cost`` (B, H, W) over pixels whose true channel is in one of the groups."""
    pixel, channels = answer.pixel, _channels(groups)
    if len(channels) < answer.values.shape[1]:
        pixel = pixel * torch.isin(answer.target, torch.tensor(channels, device=answer.target.device))
    return (cost * pixel).sum() / pixel.sum().clamp_min(1.0)


def _channels(groups: tuple[Group, ...]) -> Group:
    return tuple(sorted({channel for group in groups for channel in group}))
