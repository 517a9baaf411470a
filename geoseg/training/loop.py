"""The training loop: epochs of steps, an exponential moving average of the weights, checkpoints, early stop."""

import copy
import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from math import isfinite, isnan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from geoseg import __version__
from geoseg.errors import ConfigError
from geoseg.integrations.named import resolved
from geoseg.models.architectures import build_network
from geoseg.models.backends.torch import channels_last
from geoseg.models.spec import ModelSpec
from geoseg.training.areas import LabelledArea
from geoseg.training.augment import Recipe, haze_of
from geoseg.training.batches import Batch, Hard, batches
from geoseg.training.checkpoint import Checkpoint, Held, named_tensors, tensors_of
from geoseg.training.data_spec import PATHS
from geoseg.training.encoder import read_encoder
from geoseg.training.fitted import Fitted
from geoseg.training.hard import LEAST_PX, LOOKED, wrong_cells
from geoseg.training.history import Epoch, history, since_best, table_of, table_values
from geoseg.training.losses.terms import CE_DICE
from geoseg.training.manifest import manifest
from geoseg.training.mapped import maps_of
from geoseg.training.objectives import Objectives
from geoseg.training.precision import follow, precision_of
from geoseg.training.samples import Samples
from geoseg.training.spec import TrainSpec
from geoseg.training.start import check_labels, class_counts, model_spec, started, taught_by
from geoseg.training.step import Stepper
from geoseg.training.validation import Validation
from geoseg.training.weights import with_numbers

log = logging.getLogger(__name__)
LOOK = 1  # keeps the random numbers of looks apart from those of batches


def fit(
    spec: TrainSpec,
    samples: Samples,
    *,
    on_epoch: Callable[[Epoch, Fitted], None] | None = None,
    on_step: Callable[[int, int, str], None] | None = None,
    checkpoint: Checkpoint | None = None,
    device: str = "cpu",
) -> Fitted:
    """Train a network on the training areas, watch it on the validation areas, and return the best moving average.

    on_step: called after every step with the number of the epoch, the steps done in it, and the loss in words. Two runs
    with one seed on one machine and as many threads see the same windows in the same order. Interrupting
    (KeyboardInterrupt) ends training as early stop does, with the best network so far. checkpoint: where it is kept,
    and goes on from: on the CPU to the same bits as if it had never stopped. Raises ConfigError where the areas lack
    classes without which no epoch can be told from another, and where the loss is no number any more.
    """
    torch.manual_seed(spec.schedule.seed)
    if spec.encoder is not None and spec.encoder.weights is not None:
        spec = spec.model_copy(update={"encoder": resolved(spec.encoder, allow_network=False)})
    weights = None if spec.encoder is None else spec.encoder.weights
    encoder = None if spec.encoder is None or weights is None else read_encoder(spec.encoder)
    model = model_spec(spec, samples, encoder)
    counts = class_counts(spec, samples)
    check_labels(model, counts)
    spec = with_numbers(spec, samples.train)
    network = build_network(model.arch, in_channels=len(model.bands), out_channels=model.out_channels)
    unsaid = spec.loss == CE_DICE  # bundles say nothing of the loss that all of them once had
    training: dict[str, object] = {
        "config": spec.model_dump(
            mode="json",
            exclude={"data": {"__all__": PATHS}, "encoder": {"weights"}, "teacher": {"model"}, "loss": unsaid},
        ),
        "scenes": len(spec.data),
        "manifest": manifest(spec.data),
        "class_counts": counts,
        "geoseg": __version__,
        "parameters": sum(p.numel() for p in network.parameters()),
        **taught_by(spec),
    }
    slow, origin = started(network, spec, model, encoder, samples)
    network = channels_last(network.to(device))
    model = model.model_copy(update={"training": {**training, **origin}})
    plan = spec.schedule
    wanted = plan.precision if model.objects is None else "fp32"
    precision = precision_of(wanted, device, network, len(model.bands), plan.crop_px)
    stepper = Stepper(spec, model, network, slow, precision=precision, device=device)
    return _Loop(spec, samples, model, network, stepper=stepper).run(on_epoch, on_step, checkpoint)


class _Loop:
    """The state of one training run."""

    def __init__(
        self, spec: TrainSpec, samples: Samples, model: ModelSpec, network: nn.Module, *, stepper: Stepper
    ) -> None:
        self.spec, self.samples, self.model, self.network, self.stepper = spec, samples, model, network, stepper
        self.average = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self.best = copy.deepcopy(self.average)
        self.objective = Objectives.of(spec)
        self.table: list[Epoch] = []
        self.losses: list[float] = []  # of the epoch that is under way
        self.maps = maps_of(spec, model, samples, "validation", device=stepper.device)
        self.wrong = list(samples.corrected)  # and where the network of the epoch before was wrong, see hard.py

    def run(
        self,
        on_epoch: Callable[[Epoch, Fitted], None] | None,
        on_step: Callable[[int, int, str], None] | None,
        checkpoint: Checkpoint | None,
    ) -> Fitted:
        if checkpoint is not None and (held := checkpoint.read(self._identity())) is not None:
            self._restore(held)
        plan, ended = self.spec.schedule, True
        recipe = self._recipe()
        try:
            while len(self.table) < plan.epochs and since_best(self.table) < plan.patience:
                with closing(self._batches(recipe)) as drawn:
                    self._epoch(drawn, on_step, checkpoint)
                self._keep(checkpoint)  # before what it tells: a bundle without a checkpoint would be somebody's
                if on_epoch is not None:
                    on_epoch(self.table[-1], self._fitted())
        except KeyboardInterrupt:
            log.warning("interrupted after %d epochs; the best network so far is kept", len(self.table))
            if not self.table:
                raise
            ended = False
        return self._fitted(ended=ended)

    def _batches(self, recipe: Recipe) -> Generator[Batch]:
        """Return the batches that the epoch still lacks."""
        plan, done = self.spec.schedule, self.stepper.steps
        return batches(
            self.samples.train, recipe, batch=plan.batch, seed=plan.seed, measured=self.objective.measured,
            first=done * plan.accumulate, until=(done + plan.steps_per_epoch - len(self.losses)) * plan.accumulate,
            total=self.stepper.total * plan.accumulate, rare_share=plan.rare_share,
            hard=Hard(plan.hard_share, self.wrong),
        )  # fmt: skip

    def _epoch(
        self,
        drawn: Iterator[Batch],
        on_step: Callable[[int, int, str], None] | None,
        checkpoint: Checkpoint | None,
    ) -> None:
        """Do the steps that the epoch still lacks, validate, and add its row to the table."""
        number, began = len(self.table) + 1, time.perf_counter()
        self._freeze(number)
        while len(self.losses) < self.spec.schedule.steps_per_epoch:
            loss = self.stepper.step(drawn, self.objective)
            if not isfinite(loss):
                raise ConfigError(self._diverged(loss, number))
            follow(self.average, self.network, self.stepper.keep)
            self.losses.append(loss)
            if on_step is not None:
                on_step(number, len(self.losses), f"loss {loss:.4f}")
            if checkpoint is not None and checkpoint.due:
                self._keep(checkpoint)
        loss, iou, errors = self._judge(self.samples.validation).of(self.average)
        if self.maps is not None:
            iou, errors = self.maps.scores(self.average)
        if self.spec.schedule.hard_share > 0 and number < self.spec.schedule.epochs:
            self.wrong = self._look(number)
            if self.samples.corrected:
                self.wrong = [cells + of for cells, of in zip(self.wrong, self.samples.corrected, strict=True)]
        seconds, score = time.perf_counter() - began, self._score(iou) if iou else -loss
        row = Epoch(number, float(np.mean(self.losses)), loss, iou, score, seconds, best=False, errors=errors)
        better = not self.table or row.rank > max(e.rank for e in self.table)
        self.table.append(replace(row, best=better))
        self.losses = []
        if better or self._keeps_last:
            self.best.load_state_dict(self.average.state_dict())

    def _diverged(self, loss: float, number: int) -> str:
        at = self.stepper
        kept = "no network is kept" if not self.table else f"the network of epoch {self._kept().number} is kept"
        windows = ", ".join(at.places)
        return (
            f"the loss is {loss} in epoch {number}, batch {len(self.losses) + 1}, at a learning rate of {at.rate:.3g}, "
            f"with windows of {windows}; {kept}; take a lower schedule.learning_rate or precision: fp32, and --fresh"
        )

    @property
    def _keeps_last(self) -> bool:
        return self.spec.schedule.keep == "last"

    def _kept(self) -> Epoch:
        return self.table[-1] if self._keeps_last else max(self.table, key=lambda e: e.rank)

    def _judge(self, areas: Sequence[LabelledArea]) -> Validation:
        how = self.stepper
        return Validation(self.spec, self.model, areas, self.objective, how.precision, how.device)

    def _look(self, number: int) -> list[NDArray[np.int32]]:
        """Return where the average network is wrong on some of the training ground."""
        plan = self.spec.schedule
        most_px = LOOKED * plan.steps_per_epoch * plan.accumulate * plan.batch * plan.crop_px**2
        rng = np.random.default_rng((plan.seed, number, LOOK))
        return wrong_cells(self.average, self._judge(self.samples.train), rng, most_px=max(most_px, LEAST_PX))

    def _identity(self) -> dict[str, object]:
        """Return what a training must have alike to go on with a checkpoint."""
        training = self.model.training
        told: dict[str, object] = {key: training[key] for key in ("config", "manifest", "teacher") if key in training}
        return {**told, "geoseg": __version__, "torch": torch.__version__, "device": self.stepper.device}

    def _keep(self, checkpoint: Checkpoint | None) -> None:
        """Write all that changes from step to step."""
        if checkpoint is None:
            return
        parts = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "best": self.best.state_dict(),
            **self.stepper.tensors(),
            "random": {"torch": torch.get_rng_state()},
            "wrong": {str(at): torch.from_numpy(cells) for at, cells in enumerate(self.wrong)},
        }
        tensors = {name: tensor for part, own in parts.items() for name, tensor in named_tensors(part, own).items()}
        values = {**table_values(self.table), "losses": self.losses, **self.stepper.values()}
        checkpoint.write(Held(tensors, values), self._identity())

    def _restore(self, held: Held) -> None:
        for part, network in (("network", self.network), ("average", self.average), ("best", self.best)):
            network.load_state_dict(tensors_of(part, held.tensors))
        self.table = table_of(held.values)
        self.losses = held.values["losses"]
        self.stepper.restore(held)
        wrong = tensors_of("wrong", held.tensors)
        self.wrong = [wrong[str(at)].numpy() for at in range(len(wrong))]
        torch.set_rng_state(held.tensors["random.torch"])
        log.info("goes on after %d epochs and %d steps", len(self.table), len(self.losses))

    def _fitted(self, *, ended: bool = True) -> Fitted:
        if not self.table:
            return Fitted(self.best, self.model, (), ended)
        return Fitted(copy.deepcopy(self.best).cpu(), self._told(), tuple(self.table), ended)

    def _score(self, iou: tuple[float, ...]) -> float:
        """Return what early stop watches: IoU of the polygon class, else the mean over the classes that truth has."""
        if self.model.polygon_class is None:
            return float(np.nanmean(iou))
        return iou[[c.name for c in self.model.classes].index(self.model.polygon_class)]

    def _told(self) -> ModelSpec:
        kept = self._kept()
        facts = {
            "best_epoch": max(self.table, key=lambda e: e.rank).number,
            "kept_epoch": kept.number,
            "validation_iou": [None if isnan(v) else round(v, 4) for v in kept.iou],
            "classes_not_validated": [c.name for c, v in zip(self.model.classes, kept.iou, strict=True) if isnan(v)],
            "precision": self.stepper.precision,
        }
        rows = [history(e) for e in self.table]
        return self.model.model_copy(update={"training": {**self.model.training, **facts, "history": rows}})

    def _recipe(self) -> Recipe:
        mean, std = (np.array(v, np.float32) for v in (self.model.normalisation.mean, self.model.normalisation.std))
        centre, spread = self.samples.statistics()
        span = (centre - 2.5 * spread, centre + 2.5 * spread)
        lacking = {
            *self.model.optional,
            *(d.band for d in self.model.derived if {*d.operands} & {*self.model.optional}),
        }
        optional = tuple(i for i, band in enumerate(self.model.bands) if band.name in lacking)
        haze = np.array([haze_of(band.wavelength_nm) for band in self.model.bands], np.float32)
        how = self.spec.augmentation
        return Recipe(self.spec.schedule.crop_px, how, self.spec.target, mean, std, span, optional, haze)

    def _freeze(self, epoch: int) -> None:
        """Let the encoder learn once its frozen epochs are over."""
        start = self.spec.encoder
        stays = start is not None and start.freeze_until_stall and all(e.best for e in self.table)
        self.stepper.freeze(frozen=stays or (start is not None and epoch <= start.freeze_epochs))
