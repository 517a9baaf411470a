"""What every loss sees: a batch of logits in fp32 beside what is true, and what several losses would compute alike."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from geoseg.models.outputs import Activation
from geoseg.training.losses.distances import signed_distances
from geoseg.training.losses.terms import Group
from geoseg.training.targets import IGNORE


@dataclass(frozen=True, eq=False)
class Answer:
    """Logits of a batch and its truth."""

    logits: Tensor
    """(B, K, H, W), of any float type; losses see ``values``."""
    truth: Tensor
    """(B, H, W) channel indices, IGNORE where void; of quantities (B, K, H, W) numbers, NaN where void."""
    weights: Tensor | None = None
    """(B, H, W), what each pixel counts in the losses of pixels; None for 1."""
    distances: Mapping[Group, Tensor] = field(default_factory=dict)
    """(B, H, W) by group, see ``signed_distances``; what is not there is computed when it is asked for."""
    beside: Tensor | None = None
    """(B, D, H, W) what the last D channels shall say beside the classes, NaN where void; None where D is 0."""
    image: Tensor | None = None
    """(B, C, H, W) what the network saw, normalised; None where no loss looks at colours."""

    def of(self, judged: Activation) -> "Answer":
        """Return the channels of one activation with their truth: classes, then centres, then offsets."""
        return self if self.beside is None else self._parts[judged]

    @cached_property
    def _parts(self) -> dict[Activation, "Answer"]:
        assert self.beside is not None  # of has looked
        k = self.logits.shape[1] - self.beside.shape[1]
        classes = Answer(self.logits[:, :k], self.truth, self.weights, self.distances, image=self.image)
        sigmoid = Answer(self.logits[:, k : k + 1], self.beside[:, :1])
        return {"softmax": classes, "sigmoid": sigmoid, "signed": Answer(self.logits[:, k + 1 :], self.beside[:, 1:])}

    @property
    def right(self) -> Tensor:
        """The truth of quantities in fp32, and what was answered where it is void."""
        return torch.where(self.known, self.truth, self.values.detach()).float()

    @cached_property
    def values(self) -> Tensor:
        """(B, K, H, W) logits in fp32."""
        return self.logits.float()

    @cached_property
    def known(self) -> Tensor:
        """Where the truth is not void, in its shape."""
        return ~self.truth.isnan() if self.truth.is_floating_point() else self.truth != IGNORE

    @cached_property
    def target(self) -> Tensor:
        """(B, H, W) channel indices; 0 where void."""
        return torch.where(self.known, self.truth, torch.zeros_like(self.truth)).long()

    @cached_property
    def pixel(self) -> Tensor:
        """(B, H, W) what each pixel counts; 0 where void."""
        return self.known.float() if self.weights is None else self.known.float() * self.weights

    @cached_property
    def log_p(self) -> Tensor:
        """(B, K, H, W) log of the softmax."""
        return torch.log_softmax(self.values, 1)

    @cached_property
    def probability(self) -> Tensor:
        """(B, K, H, W) softmax."""
        return self.log_p.exp()

    @property
    def nothing(self) -> Tensor:
        """0 with a graph: what a loss is of a batch in which it finds nothing to judge."""
        return (self.values * 0).sum()

    def regions(self, groups: Sequence[Group]) -> Iterator[tuple[Tensor, Tensor, Group]]:
        """Yield probability, truth (both (B, H, W), 0 where void) and channels of every group that the batch holds."""
        for group in groups:
            t = torch.isin(self.target, torch.tensor(group, device=self.target.device)).float() * self.known
            if t.sum() > 0:
                yield self.probability[:, list(group)].sum(1) * self.known, t, group

    def distance(self, group: Group) -> Tensor:
        """Return the signed distances (B, H, W) of a group."""
        if group in self.distances:
            return self.distances[group]
        made = signed_distances(self.truth.cpu().numpy(), [group])
        return torch.from_numpy(made[group]).to(self.values.device)
