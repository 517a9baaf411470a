"""The loss of boxes that were drawn instead of masks (BoxInst, Tian et al. 2021), for networks of classes."""

import torch
from torch import Tensor
from torch.nn import functional

from geoseg.training.losses.answer import Answer
from geoseg.training.losses.terms import BoxInst, Group

LEAST_P = 1e-6
FAR = 2  # pixels between neighbours that are compared, as in the paper
WAYS = ((0, FAR), (FAR, 0), (FAR, FAR), (FAR, -FAR))


def boxinst(answer: Answer, term: BoxInst, groups: tuple[Group, ...]) -> Tensor:
    """Return the mean over the judged classes of what boxes say of them, and of what colours say within boxes."""
    parts = [
        _projections(p, boxed > 0, answer.known) + term.pairwise * _neighbours(answer, p, boxed > 0, term.colour)
        for p, boxed, _ in answer.regions(groups)
    ]
    return torch.stack(parts).mean() if parts else answer.nothing


def _projections(p: Tensor, boxed: Tensor, known: Tensor) -> Tensor:
    """Return what it costs that nothing lies outside boxes, and something in each of their rows and columns.

    The surest pixel of a row is its projection. Boxes that touch are one; rows that void or a window's edge cuts may be
    empty, and are left out.
    """
    outside = known & ~boxed
    empty = -(1 - p).clamp_min(LEAST_P).log() * outside
    surest = torch.cat([_surest(*(one.transpose(1, 2) for one in (p, boxed, outside))), _surest(p, boxed, outside)])
    held = -surest.clamp_min(LEAST_P).log()
    return empty.sum() / outside.sum().clamp_min(1) + held.sum() / max(1, held.numel())


def _surest(p: Tensor, boxed: Tensor, outside: Tensor) -> Tensor:
    """Return the largest probability in every run of boxed pixels along a row that has ground outside at both ends."""
    starts = boxed & ~functional.pad(boxed, (1, 0))[..., :-1]
    ends = boxed & ~functional.pad(boxed, (0, 1))[..., 1:]
    whole = functional.pad(outside, (1, 0))[..., :-1][starts] & functional.pad(outside, (0, 1))[..., 1:][ends]
    number = starts.flatten().cumsum(0)[boxed.flatten()] - 1
    return p.new_zeros(len(whole)).scatter_reduce(0, number, p[boxed], "amax")[whole]


def _neighbours(answer: Answer, p: Tensor, boxed: Tensor, colour: float) -> Tensor:
    """Return the mean of -log P(same class) over neighbours of one colour, one of which at least is in a box."""
    if answer.image is None:
        return answer.nothing
    cost, count = answer.nothing, p.new_zeros(())
    for way in WAYS:
        (here, there), (inside, other), (known, seen), (a, b) = (
            _apart(one, *way) for one in (p, boxed, answer.known, answer.image.float())
        )
        alike = (inside | other) & known & seen & ((a - b).square().mean(1) <= colour**2)
        same = here * there + (1 - here) * (1 - there)
        cost = cost - (same.clamp_min(LEAST_P).log() * alike).sum()
        count = count + alike.sum()
    return cost / count.clamp_min(1)


def _apart(values: Tensor, rows: int, cols: int) -> tuple[Tensor, Tensor]:
    """Return (..., h, w) pixels, and those that lie so many rows and columns further."""
    height, width = values.shape[-2:]
    left, right = max(0, -cols), max(0, cols)
    here = values[..., : height - rows, left : width - right]
    return here, values[..., rows:, right : width - left]
