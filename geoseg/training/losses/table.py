"""The table of losses, and their weighted sum."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from geoseg.training.losses import boxes, pixels, regions, things
from geoseg.training.losses.answer import Answer
from geoseg.training.losses.terms import Group, Term, groups_of
from geoseg.training.targets import BuildingTarget, ClassTarget

Loss = Callable[[Answer, Any, tuple[Group, ...]], Tensor]  # Any: the term of its name in TERMS
LOSSES: Mapping[str, Loss] = {
    "cross-entropy": pixels.cross_entropy,
    "bce": pixels.binary_cross_entropy,
    "focal": pixels.focal,
    "dice": regions.dice,
    "jaccard": regions.jaccard,
    "tversky": regions.tversky,
    "focal-tversky": regions.focal_tversky,
    "lovasz": regions.lovasz,
    "boundary": regions.boundary,
    "hausdorff": regions.hausdorff,
    "boxinst": boxes.boxinst,
    "huber": pixels.huber,
    "centre": things.centre,
    "offset": things.offset,
}


@dataclass(frozen=True, slots=True)
class Objective:
    """A sum of named losses; parts: name, term, and the groups of channels that it judges."""

    parts: tuple[tuple[str, Term, tuple[Group, ...]], ...]

    @classmethod
    def of(cls, terms: Mapping[str, Term], target: BuildingTarget | ClassTarget) -> "Objective":
        """Return the sum that a config names; raises ValueError for classes that the target has not."""
        return cls(tuple((name, term, groups_of(term, target)) for name, term in terms.items()))

    @property
    def measured(self) -> tuple[Group, ...]:
        """The groups whose distances it needs."""
        return tuple(dict.fromkeys(g for _, term, groups in self.parts if term.measured for g in groups))

    def __call__(self, answer: Answer, *, share: float = 1.0) -> Tensor:
        """Return the sum as a scalar in fp32, after a ``share`` of the training; 0 with a graph where all is void.

        Weights are relative, and their mean counts as 1: learning rate and clipping mean the same whatever their scale.
        """
        mean = sum(term.weight for _, term, _ in self.parts) / len(self.parts)
        total: Tensor | None = None
        for name, term, groups in self.parts:
            weight = term.weight / mean * term.risen(share)
            if weight > 0:
                own = LOSSES[name](answer.of(term.judges), term, groups) * weight
                total = own if total is None else total + own
        return answer.nothing if total is None else total
