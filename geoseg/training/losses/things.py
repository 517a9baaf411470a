"""Losses of what tells objects apart: means over what is known, of one window or of many."""

import torch
from torch import Tensor

from geoseg.training.losses.answer import Answer
from geoseg.training.losses.terms import Centre, Group, Offset


def centre(answer: Answer, _: Centre, _groups: tuple[Group, ...]) -> Tensor:
    """Return the mean squared error of bumps 0..1."""
    return _mean(answer, (torch.sigmoid(answer.values) - answer.right) ** 2)


def offset(answer: Answer, _: Offset, _groups: tuple[Group, ...]) -> Tensor:
    """Return the mean absolute error of offsets -1..1 along rows and columns."""
    return _mean(answer, (2 * torch.sigmoid(answer.values) - 1 - answer.right).abs())


def _mean(answer: Answer, cost: Tensor) -> Tensor:
    known = answer.known.float()
    return (cost * known).sum() / known.sum().clamp_min(1.0)
