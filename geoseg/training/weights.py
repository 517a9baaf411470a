"""What each pixel counts: more near borders, and where its class is rare."""

import logging
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoseg.training.areas import LabelledArea
from geoseg.training.losses.terms import Balance
from geoseg.training.spec import TrainSpec
from geoseg.training.targets import IGNORE, BuildingTarget, ClassTarget

log = logging.getLogger(__name__)
LEAST, MOST = 0.2, 10.0  # of a class's weight


def pixel_weights(labels: Tensor, spec: TrainSpec) -> Tensor | None:
    """Return what each pixel (B, H, W) counts in losses of pixels; None where all count the same."""
    plan, border = spec.schedule, spec.target.border
    weights = None
    if border is not None and plan.border_weight > 1:
        weights = border_weights(labels, border=border, weight=plan.border_weight)
    if plan.class_weights:
        assert not isinstance(plan.class_weights, str)  # with_numbers has counted
        per_class = class_weights(labels, [plan.class_weights.get(c.name, 1.0) for c in spec.target.channels])
        weights = per_class if weights is None else weights * per_class
    return weights


def border_weights(labels: Tensor, *, border: int, weight: float, reach_px: int = 3) -> Tensor:
    """Return weights (B, H, W): ``weight`` on and within ``reach_px`` of the channel ``border``, else 1."""
    border_px = (labels == border).float()[:, None]
    near = torch.nn.functional.max_pool2d(border_px, 2 * reach_px + 1, stride=1, padding=reach_px)[:, 0]
    return 1 + (weight - 1) * near


def class_weights(labels: Tensor, weights: Sequence[float]) -> Tensor:
    """Return (B, H, W) ``weights`` of the channel that each label is; of no account where labels are ignored."""
    table = torch.ones(IGNORE + 1, device=labels.device)
    table[: len(weights)] = torch.tensor(weights)
    return table[labels.long()]


def label_counts(areas: Iterable[LabelledArea], target: BuildingTarget | ClassTarget) -> NDArray[np.int64]:
    """Return how many pixels of the areas are of each channel, (K,); void is none."""
    counts = np.zeros(len(target.channels), np.int64)
    for area in areas:
        counts += area.cells(target).sum((0, 1), dtype=np.int64)
    return counts


def balanced(counts: NDArray[np.int64], how: Balance) -> tuple[float, ...]:
    """Return a weight of each channel: the median frequency over its own, or the root of it; 1 where there is none.

    >>> balanced(np.array([400, 100, 1, 0]), "auto"), balanced(np.array([400, 100, 1, 0]), "inverse")
    ((0.5, 1.0, 10.0, 1.0), (0.25, 1.0, 10.0, 1.0))
    """
    there = counts > 0
    ratio = np.median(counts[there]) / np.where(there, counts, 1)
    weight = np.clip(np.sqrt(ratio) if how == "auto" else ratio, LEAST, MOST)
    return tuple(float(f"{w:.4g}") for w in np.where(there, weight, 1.0))


def with_numbers(spec: TrainSpec, areas: Iterable[LabelledArea]) -> TrainSpec:
    """Return the same run with numbers for weights of classes that the labels of its training areas decide."""
    how = spec.schedule.class_weights
    if not isinstance(how, str):
        return spec
    weights = balanced(label_counts(areas, spec.target), how)
    named = {c.name: w for c, w in zip(spec.target.channels, weights, strict=True)}
    log.info("class_weights %s: %s", how, ", ".join(f"{name} {w:g}" for name, w in named.items()))
    return spec.model_copy(update={"schedule": spec.schedule.model_copy(update={"class_weights": named})})
