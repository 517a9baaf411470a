"""Losses of regions: each judges the summed probability of groups of channels; the mean over those there are."""

import torch
from torch import Tensor

from geoseg.training.losses.answer import Answer
from geoseg.training.losses.terms import Boundary, Dice, FocalTversky, Group, Hausdorff, Jaccard, Lovasz, Tversky

Groups = tuple[Group, ...]


def dice(answer: Answer, _: Dice, groups: Groups) -> Tensor:
    """Return 1 - soft F1."""
    return _tversky(answer, groups, alpha=0.5, beta=0.5)


def jaccard(answer: Answer, _: Jaccard, groups: Groups) -> Tensor:
    """Return 1 - soft IoU."""
    return _tversky(answer, groups, alpha=1.0, beta=1.0)


def tversky(answer: Answer, term: Tversky, groups: Groups) -> Tensor:
    """Return 1 - TP / (TP + alpha FP + beta FN)."""
    return _tversky(answer, groups, alpha=term.alpha, beta=term.beta)


def focal_tversky(answer: Answer, term: FocalTversky, groups: Groups) -> Tensor:
    """Return the Tversky loss to the power of gamma."""
    return _tversky(answer, groups, alpha=term.alpha, beta=term.beta, gamma=term.gamma)


def lovasz(answer: Answer, _: Lovasz, groups: Groups) -> Tensor:
    """Return the Lovász extension of 1 - IoU over the batch: errors in falling order, weighted by what each costs."""
    terms = []
    for p, t, _group in answer.regions(groups):
        error, order = torch.sort((t - p).abs().ravel(), descending=True, stable=True)
        truth = t.ravel()[order]
        cost = 1 - (truth.sum() - truth.cumsum(0)) / (truth.sum() + (1 - truth).cumsum(0))
        terms.append((error * torch.diff(cost, prepend=cost.new_zeros(1))).sum())
    return _mean(answer, terms)


def boundary(answer: Answer, _: Boundary, groups: Groups) -> Tensor:
    """Return the mean over pixels of p x signed distance."""
    known = answer.known.sum().clamp_min(1)
    return _mean(answer, [(p * answer.distance(g)).sum() / known for p, _, g in answer.regions(groups)])


def hausdorff(answer: Answer, term: Hausdorff, groups: Groups) -> Tensor:
    """Return the mean over pixels of squared error x distance^alpha to the boundary of the truth."""
    known = answer.known.sum().clamp_min(1)
    terms = [
        ((p - t) ** 2 * answer.distance(g).abs() ** term.alpha).sum() / known for p, t, g in answer.regions(groups)
    ]
    return _mean(answer, terms)


def _tversky(answer: Answer, groups: Groups, *, alpha: float, beta: float, gamma: float = 1.0) -> Tensor:
    """Return the mean of (1 - index)^gamma; with alpha = beta = 1/2 the index is 2 TP / (sum p + sum t)."""
    terms = []
    for p, t, _ in answer.regions(groups):
        hit = 2 * (p * t).sum()
        both = 2 * alpha * p.sum() + 2 * beta * t.sum() + (1 - alpha - beta) * hit
        wrong = 1 - (hit + 1) / (both + 1)
        terms.append(wrong if gamma == 1 else wrong**gamma)
    return _mean(answer, terms)


def _mean(answer: Answer, terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).mean() if terms else answer.nothing
