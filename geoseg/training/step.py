"""One step: the network's answer in a precision, its loss, gradients of one batch or several, AdamW at a rate."""

from collections.abc import Iterator
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from geoseg.models.spec import ModelSpec
from geoseg.training.batches import Batch
from geoseg.training.checkpoint import Held, optimiser_tensors, restore_optimiser, tensors_of
from geoseg.training.detected import truth_of
from geoseg.training.objectives import Objectives, Truth
from geoseg.training.precision import autocast
from geoseg.training.rates import RATES
from geoseg.training.spec import TrainSpec
from geoseg.training.weights import pixel_weights


class Stepper:
    """A network that learns; slow: names of the parameters that have the encoder's rate."""

    def __init__(
        self,
        spec: TrainSpec,
        model: ModelSpec,
        network: nn.Module,
        slow: frozenset[str],
        *,
        precision: str,
        device: str,
    ) -> None:
        self.spec, self.model, self.network, self.precision, self.device = spec, model, network, precision, device
        named = dict(network.named_parameters())
        self.encoder = [p for name, p in named.items() if name in slow]
        self.norms = [m for name, m in network.named_modules() if f"{name}.running_mean" in slow]
        self.frozen = False
        groups = [([p for name, p in named.items() if name not in slow], 1.0)]
        if spec.encoder is not None:
            groups.append((self.encoder, spec.encoder.rate))
        self.peaks = [spec.schedule.learning_rate * share for _, share in groups]
        self.optimiser = torch.optim.AdamW(
            [{"params": parameters} for parameters, _ in groups], weight_decay=spec.schedule.weight_decay
        )
        self.scaler = torch.amp.GradScaler(device, enabled=precision == "fp16")
        self.steps = 0
        self.places: tuple[str, ...] = ()  # of the windows of the step that was done last

    @property
    def total(self) -> int:
        """How many steps the whole training has."""
        return self.spec.schedule.epochs * self.spec.schedule.steps_per_epoch

    @property
    def rate(self) -> float:
        """The learning rate of the step that was done last."""
        return float(self.optimiser.param_groups[0]["lr"])

    @property
    def keep(self) -> float:
        """Which share of itself the moving average keeps after this step: little at first."""
        return min(self.spec.schedule.ema, 1 - 1 / (1 + self.steps / 10))

    def freeze(self, *, frozen: bool) -> None:
        """Let the encoder learn, or not: then its norms take the means that they have, too."""
        self.frozen = frozen
        for parameter in self.encoder:
            parameter.requires_grad = not frozen

    def step(self, drawn: Iterator[Batch], objective: Objectives) -> float:
        """Learn of the next batches; returns the mean of their losses, with nothing learnt where that is no number."""
        plan = self.spec.schedule
        self.network.train()
        if self.frozen:
            for norm in self.norms:
                norm.eval()
        self.optimiser.zero_grad(set_to_none=True)
        self._set_rate()
        losses: list[Tensor] = []
        self.places = ()
        for _ in range(plan.accumulate):
            batch = next(drawn)
            self.places += batch.places
            loss = self._loss(batch.on(self.device), objective)
            losses.append(loss.detach())
            if loss.isfinite():
                self.scaler.scale(loss / plan.accumulate).backward()
        mean = float(torch.stack(losses).mean())
        if isfinite(mean):
            self._learn()
        return mean

    def _loss(self, batch: Batch, objective: Objectives) -> Tensor:
        if self.model.objects is not None:
            assert batch.beside is not None  # the target gives numbers of objects
            detector: Any = self.network
            objects = truth_of(batch.labels, batch.beside, self.model)
            if self.model.detects_alone:
                return torch.as_tensor(detector.loss(batch.images, objects))
            found, logits = detector.loss_and_classes(batch.images, objects)
            truth = Truth(batch.labels, batch.numbers, pixel_weights(batch.labels, self.spec), batch.distances)
            return torch.as_tensor(found + objective(logits, truth, share=self.steps / self.total))
        answers = getattr(self.network, "levels", None) if self.spec.schedule.deep_supervision else None
        with autocast(self.device, self.precision):
            levels = [self.network(batch.images)] if answers is None else answers(batch.images)
        weights, share = pixel_weights(batch.labels, self.spec), self.steps / self.total
        truth = Truth(batch.labels, batch.numbers, weights, batch.distances, batch.beside, batch.images)
        loss = objective.of_levels(levels, truth, share=share)
        if batch.other is None:
            return loss
        other = Truth(batch.other, batch.numbers, pixel_weights(batch.other, self.spec), image=batch.images)
        return batch.share * loss + (1 - batch.share) * objective.of_levels(levels, other, share=share)

    def _set_rate(self) -> None:
        for group, peak in zip(self.optimiser.param_groups, self.peaks, strict=True):
            RATES[self.spec.schedule.rate](self.steps, self.total, peak).set_on(group)

    def _learn(self) -> None:
        self.scaler.unscale_(self.optimiser)
        if self.spec.schedule.clip > 0:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.spec.schedule.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.steps += 1

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return what ``restore`` needs of tensors."""
        return {"optimiser": optimiser_tensors(self.optimiser)}

    def values(self) -> dict[str, Any]:
        """Return what ``restore`` needs beside tensors, as JSON."""
        return {"steps": self.steps, "precision": self.precision, "scaler": self.scaler.state_dict()}

    def restore(self, held: Held) -> None:
        """Go on where a checkpoint was written."""
        self.steps = held.values["steps"]
        self.precision = held.values["precision"]
        self.scaler = torch.amp.GradScaler(self.device, enabled=self.precision == "fp16")
        self.scaler.load_state_dict(held.values["scaler"])
        restore_optimiser(self.optimiser, tensors_of("optimiser", held.tensors))
