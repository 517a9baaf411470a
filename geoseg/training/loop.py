"""The training loop: AdamW under a one-cycle rate, an exponential moving average of the weights, early stop."""

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isnan

import numpy as np
import torch
from torch import nn

from geoseg.integrations.named import resolved
from geoseg.models.architectures import build_network
from geoseg.models.backends.torch import channels_last
from geoseg.models.spec import ModelSpec
from geoseg.training.augment import Recipe
from geoseg.training.batches import Batch, batches
from geoseg.training.encoder import read_encoder
from geoseg.training.history import Epoch, history
from geoseg.training.losses.answer import Answer
from geoseg.training.losses.table import Objective
from geoseg.training.losses.terms import CE_DICE
from geoseg.training.manifest import manifest
from geoseg.training.precision import autocast, fastest_precision, follow
from geoseg.training.samples import Samples
from geoseg.training.spec import TrainSpec
from geoseg.training.start import check_labels, model_spec, started
from geoseg.training.validation import Validation
from geoseg.training.weights import pixel_weights, with_numbers

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The network that is kept (moving average of the weights), its spec without file facts, and the table."""

    network: nn.Module
    spec: ModelSpec
    epochs: tuple[Epoch, ...]


def fit(
    spec: TrainSpec,
    samples: Samples,
    *,
    on_epoch: Callable[[Epoch, Fitted], None] | None = None,
    on_step: Callable[[int, int, str], None] | None = None,
) -> Fitted:
    """Train a network on the training areas, watch it on the validation areas, and return the best one.

    on_step: called after every step with the number of the epoch, the steps done in it, and the loss in words. Two runs
    with one seed on one machine and as many threads see the same windows in the same order. Interrupting
    (KeyboardInterrupt) ends training as early stop does, with the best network so far. Raises ConfigError where the
    areas lack classes without which no epoch can be told from another.
    """
    torch.manual_seed(spec.schedule.seed)
    if spec.encoder is not None:
        spec = spec.model_copy(update={"encoder": resolved(spec.encoder, allow_network=False)})
    encoder = None if spec.encoder is None else read_encoder(spec.encoder)
    model = model_spec(spec, samples, encoder)
    check_labels(spec, model, samples)
    spec = with_numbers(spec, samples.train)
    network = build_network(model.arch, in_channels=len(model.bands), out_channels=model.out_channels)
    unsaid = spec.loss == CE_DICE  # bundles say nothing of the loss that all of them once had
    training: dict[str, object] = {
        "config": spec.model_dump(
            mode="json",
            exclude={"data": {"__all__": {"scene", "labels", "ignore"}}, "encoder": {"weights"}, "loss": unsaid},
        ),
        "scenes": len(spec.data),
        "manifest": manifest(spec),
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    slow, origin = started(network, spec, model, encoder, samples)
    network = channels_last(network)
    model = model.model_copy(update={"training": {**training, **origin}})
    return _Loop(spec, samples, model, network, slow).run(on_epoch, on_step)


class _Loop:
    """The state of one training run."""

    def __init__(
        self, spec: TrainSpec, samples: Samples, model: ModelSpec, network: nn.Module, slow: frozenset[str]
    ) -> None:
        self.spec, self.samples, self.model, self.network = spec, samples, model, network
        self.average = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        plan = spec.schedule
        named = dict(network.named_parameters())
        self.encoder = [p for name, p in named.items() if name in slow]
        groups = [([p for name, p in named.items() if name not in slow], 1.0)]
        if spec.encoder is not None:
            groups.append((self.encoder, spec.encoder.rate))
        rates = [plan.learning_rate * share for _, share in groups]
        self.optimiser = torch.optim.AdamW(
            [{"params": parameters, "lr": rate} for (parameters, _), rate in zip(groups, rates, strict=True)],
            weight_decay=plan.weight_decay,
        )
        self.rate = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, max_lr=rates, total_steps=plan.epochs * plan.steps_per_epoch, pct_start=0.08
        )
        self.objective = Objective.of(spec.loss, spec.target)
        self.precision = fastest_precision(network, len(model.bands), plan.crop_px)
        self.validation = Validation(spec, model, samples.validation, self.objective, self.precision)
        self.steps = 0
        self._keeps_last = plan.keep == "last"

    def run(
        self, on_epoch: Callable[[Epoch, Fitted], None] | None, on_step: Callable[[int, int, str], None] | None
    ) -> Fitted:
        table: list[Epoch] = []
        best = Fitted(copy.deepcopy(self.average), self.model, ())
        since = 0
        plan, measured = self.spec.schedule, self.objective.measured
        drawn = batches(self.samples.train, self._recipe(), batch=plan.batch, seed=plan.seed, measured=measured)
        try:
            for number in range(1, self.spec.schedule.epochs + 1):
                started = time.perf_counter()
                losses: list[float] = []
                self._freeze(number)
                for step in range(1, self.spec.schedule.steps_per_epoch + 1):
                    losses.append(self._step(next(drawn)))
                    if on_step is not None:
                        on_step(number, step, f"loss {losses[-1]:.4f}")
                train_loss = float(np.mean(losses))
                loss, iou = self.validation.of(self.average)
                epoch = Epoch(
                    number, train_loss, loss, iou, self._score(iou), time.perf_counter() - started, best=False
                )
                better = not table or epoch.rank > max(e.rank for e in table)
                table.append(replace(epoch, best=better))
                since = 0 if better else since + 1
                network = copy.deepcopy(self.average) if better or self._keeps_last else best.network
                best = Fitted(network, self._told(table), tuple(table))
                if on_epoch is not None:
                    on_epoch(table[-1], best)
                if since >= self.spec.schedule.patience:
                    log.info("early stop: no better validation score for %d epochs", since)
                    break
        except KeyboardInterrupt:
            log.warning("interrupted after %d epochs; the best network so far is kept", len(table))
            if not table:
                raise
        finally:
            drawn.close()
        return best

    def _score(self, iou: tuple[float, ...]) -> float:
        """Return what early stop watches: IoU of the polygon class, else the mean over the classes that truth has."""
        if self.model.polygon_class is None:
            return float(np.nanmean(iou))
        return iou[[c.name for c in self.model.classes].index(self.model.polygon_class)]

    def _told(self, table: list[Epoch]) -> ModelSpec:
        kept = table[-1] if self._keeps_last else max(table, key=lambda e: e.rank)
        facts = {
            "best_epoch": max(table, key=lambda e: e.rank).number,
            "kept_epoch": kept.number,
            "validation_iou": [None if isnan(v) else round(v, 4) for v in kept.iou],
            "classes_not_validated": [c.name for c, v in zip(self.model.classes, kept.iou, strict=True) if isnan(v)],
            "precision": self.precision,
        }
        return self.model.model_copy(
            update={"training": {**self.model.training, **facts, "history": [history(e) for e in table]}}
        )

    def _recipe(self) -> Recipe:
        mean, std = (np.array(v, np.float32) for v in (self.model.normalisation.mean, self.model.normalisation.std))
        centre, spread = self.samples.statistics()
        span = (centre - 2.5 * spread, centre + 2.5 * spread)
        lacking = {
            *self.model.optional,
            *(d.band for d in self.model.derived if {*d.operands} & {*self.model.optional}),
        }
        optional = tuple(i for i, band in enumerate(self.model.bands) if band.name in lacking)
        return Recipe(self.spec.schedule.crop_px, self.spec.augmentation, self.spec.target, mean, std, span, optional)

    def _freeze(self, epoch: int) -> None:
        """Let the encoder learn once its frozen epochs are over."""
        frozen = self.spec.encoder is not None and epoch <= self.spec.encoder.freeze_epochs
        for parameter in self.encoder:
            parameter.requires_grad = not frozen

    def _step(self, batch: Batch) -> float:
        self.network.train()
        self.optimiser.zero_grad(set_to_none=True)
        with autocast(self.precision):
            logits = self.network(batch.images)
        answer = Answer(logits, batch.labels, pixel_weights(batch.labels, self.spec), batch.distances)
        plan = self.spec.schedule
        loss = self.objective(answer, share=self.steps / (plan.epochs * plan.steps_per_epoch))
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.rate.step()
        self.steps += 1
        follow(self.average, self.network, min(plan.ema, 1 - 1 / (1 + self.steps / 10)))
        return float(loss.detach())
