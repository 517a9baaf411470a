"""What a network learns: its classes, and the groups beside them; at every level of a decoder that answers at each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from torch import Tensor

from geoseg.training.losses.answer import Answer
from geoseg.training.losses.table import Objective
from geoseg.training.losses.taught import distilled
from geoseg.training.losses.terms import Group
from geoseg.training.spec import TrainSpec


class Truth(NamedTuple):
    """What is true of a batch: see ``Answer``."""

    labels: Tensor  # (B, H, W) channel indices, IGNORE where void
    numbers: Tensor  # (B, G, H, W) of the channels of the groups, NaN where not known
    weights: Tensor | None = None
    distances: Mapping[Group, Tensor] = {}
    beside: Tensor | None = None
    image: Tensor | None = None

    def coarser(self, step: int) -> "Truth":
        """Return every ``step``-th pixel of every ``step``-th row."""
        weights = None if self.weights is None else self.weights[:, ::step, ::step]
        distances = {group: far[:, ::step, ::step] for group, far in self.distances.items()}
        beside = None if self.beside is None else self.beside[..., ::step, ::step]
        image = None if self.image is None else self.image[..., ::step, ::step]
        labels, numbers = self.labels[:, ::step, ::step], self.numbers[..., ::step, ::step]
        return Truth(labels, numbers, weights, distances, beside, image)


@dataclass(frozen=True, slots=True)
class Objectives:
    """Losses of the target's channels, which come first, classes and what is said of things; and of each output."""

    classes: Objective | None
    count: int
    """How many channels are of the target."""
    groups: tuple[tuple[slice, float, Objective], ...] = field(default=())
    """Channels of the numbers, weight, losses."""
    taught: float = 0.0
    """Weight of what a teacher says, whose numbers come last; the target's losses have the rest where there are any."""
    of_class: tuple[tuple[int, ...], ...] = ()
    """Channels of each class that it speaks of."""

    @classmethod
    def of(cls, spec: TrainSpec) -> Self:
        """Return what a config asks for."""
        first, groups = 0, []
        for output in spec.outputs:
            own = slice(first, first + len(output.channels))
            groups.append((own, output.weight, Objective(tuple((n, t, ()) for n, t in output.terms.items()))))
            first = own.stop
        count = len(spec.class_channels) + sum(len(group.channels) for group in spec.target.more)
        losses = Objective.of(spec.loss, spec.target) if count else None
        if spec.teacher is None:
            return cls(losses, count, tuple(groups))
        ids = [channel.class_id for channel in spec.target.channels]
        of_class = tuple(tuple(i for i, one in enumerate(ids) if one == c.id) for c in spec.target.class_table)
        return cls(losses, count, tuple(groups), spec.teacher.weight, of_class)

    @property
    def measured(self) -> tuple[Group, ...]:
        """The groups of classes whose distances it needs."""
        return () if self.classes is None else self.classes.measured

    def __call__(self, logits: Tensor, truth: Truth, *, share: float = 1.0) -> Tensor:
        """Return the loss of logits (B, K, H, W) as a scalar in fp32, after a ``share`` of the training."""
        parts = []
        answers = truth.numbers[:, self._last :]
        taught = self.taught if answers.shape[1] else 0.0  # where nobody watches it, ground has none
        if taught:
            parts.append(taught * distilled(logits[:, : self.count], answers, self.of_class))
        if self.classes is not None:
            known = (truth.labels, truth.weights, truth.distances, truth.beside, truth.image)
            parts.append((1 - taught) * self.classes(Answer(logits[:, : self.count], *known), share=share))
        for own, weight, objective in self.groups:
            said = logits[:, self.count + own.start : self.count + own.stop]
            parts.append(weight * objective(Answer(said, truth.numbers[:, own]), share=share))
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    @property
    def _last(self) -> int:
        """How many numbers are of the groups."""
        return max((own.stop for own, _, _ in self.groups), default=0)

    def of_levels(self, levels: Sequence[Tensor], truth: Truth, *, share: float = 1.0) -> Tensor:
        """Return the mean loss of answers whose sides halve from one to the next; each counts half of the one before.

        After nnU-Net (Isensee et al. 2021); a coarser answer is judged by every second pixel, every fourth, and so on.
        """
        total = self(levels[0], truth, share=share)
        if len(levels) == 1:
            return total
        for i, logits in enumerate(levels[1:], 1):
            total = total + self(logits, truth.coarser(2**i), share=share) / 2**i
        return total / sum(2.0**-i for i in range(len(levels)))
