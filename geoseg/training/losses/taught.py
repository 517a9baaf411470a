"""The loss of a teacher's answers."""

from collections.abc import Sequence

import torch
from torch import Tensor

from geoseg.training.losses.terms import Group


def distilled(logits: Tensor, said: Tensor, of_class: Sequence[Group]) -> Tensor:
    """Return the mean over pixels of KL(teacher, network) over classes (Hinton et al. 2015; Liu et al. 2019).

    logits: (B, K, H, W); said: (B, C, H, W) probabilities, NaN where the teacher says nothing; of_class: the channels
    of each class, whose probabilities add up. 0 with a graph where it says nothing anywhere.
    """
    log_p = torch.log_softmax(logits.float(), 1)
    by_class = torch.stack([log_p[:, list(channels)].logsumexp(1) for channels in of_class], 1)
    known = ~said.isnan().any(1)
    p = torch.where(known[:, None], said, torch.zeros_like(said)).float()
    p = p / p.sum(1, keepdim=True).clamp_min(1e-6)  # steps of bytes, and means of neighbours, do not add up to 1
    cost = (torch.xlogy(p, p) - p * by_class).sum(1)
    return (cost * known).sum() / known.sum().clamp_min(1)
