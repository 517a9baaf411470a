"""The training loop: AdamW under a one-cycle rate, an exponential moving average of the weights, early stop."""

import copy
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from math import inf, isfinite, isnan
from pathlib import PurePath

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geoseg.errors import ConfigError
from geoseg.integrations.named import resolved
from geoseg.models.adapt import start_from
from geoseg.models.architectures import build_network
from geoseg.models.backends.torch import channels_last, choose_precision
from geoseg.models.bundle import load_model
from geoseg.models.spec import ModelSpec, Normalisation
from geoseg.training.augment import AreaPixels, Recipe
from geoseg.training.batches import Batch, batches
from geoseg.training.encoder import EncoderWeights, read_encoder, start_encoder
from geoseg.training.losses.answer import Answer
from geoseg.training.losses.table import Objective
from geoseg.training.losses.terms import CE_DICE
from geoseg.training.manifest import manifest
from geoseg.training.samples import Samples
from geoseg.training.spec import TrainSpec
from geoseg.training.targets import IGNORE
from geoseg.training.weights import label_counts, pixel_weights, with_numbers

log = logging.getLogger(__name__)
VALIDATION_BLOCK_PX = 1024
MOST_COMPILING = 4  # times a step in fp32: a first step in bf16 that takes longer is not saved by its kernels


@dataclass(frozen=True, slots=True)
class Epoch:
    """One row of the training table.

    iou: per class of the class table, NaN for those that validation has no truth of; score: what early stop watches,
    the IoU of the polygon class, else the mean over the classes there are.
    """

    number: int
    train_loss: float
    validation_loss: float
    iou: tuple[float, ...]
    score: float
    seconds: float
    best: bool

    @property
    def rank(self) -> tuple[float, float]:
        """What makes an epoch better than another: a higher score, or one as high with a lower validation loss."""
        return self.score, -self.validation_loss if isfinite(self.validation_loss) else -inf


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The network that is kept (moving average of the weights), its spec without file facts, and the table."""

    network: nn.Module
    spec: ModelSpec
    epochs: tuple[Epoch, ...]


def model_spec(spec: TrainSpec, samples: Samples, encoder: EncoderWeights | None = None) -> ModelSpec:
    """Return what the bundle will say of the network; its normalisation is given, the encoder's, or the data's."""
    if spec.normalisation is not None:
        normal = spec.normalisation
    elif spec.encoder is not None and encoder is not None:
        normal = encoder.normalisation(spec.band_set, white=spec.encoder.white)
    else:
        mean, std = samples.statistics()
        normal = Normalisation(mean=_six_digits(mean), std=_six_digits(std))
    return spec.of_model(normal).model_copy(update={"values": samples.values()})


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
    slow, origin = _started(network, spec, model, encoder, samples)
    network = channels_last(network)
    model = model.model_copy(update={"training": {**training, **origin}})
    return _Loop(spec, samples, model, network, slow).run(on_epoch, on_step)


def _started(
    network: nn.Module, spec: TrainSpec, model: ModelSpec, encoder: EncoderWeights | None, samples: Samples
) -> tuple[frozenset[str], dict[str, object]]:
    """Give a network the weights that it starts from; returns the tensors of the encoder, and what the bundle says."""
    slow: frozenset[str] = frozenset()
    told: dict[str, object] = {}
    bands = model.band_set
    if spec.encoder is not None and encoder is not None:
        file, measured = spec.encoder.weights, samples.correlation()
        own = start_encoder(network, encoder, bands, source=file, policy=spec.stem, correlation=measured)
        slow, told["encoder"] = frozenset(own), {**encoder.about, "weights": PurePath(file).name}
    if spec.start_from is not None:
        donor, measured = load_model(spec.start_from), samples.correlation()
        given, source = donor.network(), donor.spec.band_set
        origins = start_from(network, given, source=source, target=bands, policy=spec.stem, correlation=measured)
        told["stem"] = {o.band: o.how for o in origins}
        log.info("started from %s: %s", donor.spec.name, "; ".join(f"{o.band}: {o.how}" for o in origins))
    return slow, told


def check_labels(spec: TrainSpec, model: ModelSpec, samples: Samples) -> None:
    """Warn of classes that training or validation has no label of.

    Raises ConfigError where the polygon class is one of them, or where validation has a single class: a network that
    always answers the same would score best.
    """
    for role, areas in (("train", samples.train), ("validation", samples.validation)):
        lacking = _lacking(areas, spec, model)
        if not lacking:
            continue
        told = f"the {role} areas hold no label of {', '.join(lacking)}"
        alone = role == "validation" and len(model.classes) - len(lacking) < min(2, len(model.classes))
        if model.polygon_class in lacking or alone:
            raise ConfigError(f"{told}; no epoch could be told from a useless one: move or widen the split")
        log.warning("%s: %s", told, "it cannot be learnt" if role == "train" else "scores say nothing of it")


def _lacking(areas: Sequence[AreaPixels], spec: TrainSpec, model: ModelSpec) -> list[str]:
    """Return the names of the classes that no valid pixel of the areas has as its label."""
    counts = label_counts(areas, spec.target)
    seen = {class_index for channel, class_index in enumerate(model.class_of_channel) if counts[channel]}
    return [c.name for i, c in enumerate(model.classes) if i not in seen]


def _six_digits(values: NDArray[np.float32]) -> tuple[float, ...]:
    return tuple(float(f"{v:.6g}") for v in values)


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
        self.precision = _precision(network, len(model.bands), plan.crop_px)
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
                loss, iou = self._validate()
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
        history = [_history(e) for e in table]
        return self.model.model_copy(update={"training": {**self.model.training, **facts, "history": history}})

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
        with _autocast(self.precision):
            logits = self.network(batch.images)
        answer = Answer(logits, batch.labels, pixel_weights(batch.labels, self.spec), batch.distances)
        plan = self.spec.schedule
        loss = self.objective(answer, share=self.steps / (plan.epochs * plan.steps_per_epoch))
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.rate.step()
        self.steps += 1
        _follow(self.average, self.network, min(plan.ema, 1 - 1 / (1 + self.steps / 10)))
        return float(loss.detach())

    def _validate(self) -> tuple[float, tuple[float, ...]]:
        """Return the loss and the IoU of every class, as means over the sites of the validation areas."""
        losses: list[float] = []
        sites = list(dict.fromkeys(a.site for a in self.samples.validation))
        ious = [self._iou([a for a in self.samples.validation if a.site == site], losses) for site in sites]
        known = ~np.isnan(ious)
        mean = np.nansum(ious, 0) / np.maximum(known.sum(0), 1)
        return float(np.mean(losses)), tuple(np.where(known.any(0), mean, np.nan).tolist())

    def _iou(self, areas: Sequence[AreaPixels], losses: list[float]) -> NDArray[np.float64]:
        """Return the IoU of every class over a site's areas, NaN without truth; appends the loss of every block."""
        classes = len(self.model.classes)
        position = torch.tensor(self.model.class_of_channel)
        confusion = np.zeros((classes, classes), np.int64)
        for area in areas:
            for images, labels in _blocks(area, self.spec.target.labels(area.labels, gsd_m=area.gsd_m), self.model):
                with torch.inference_mode(), _autocast(self.precision):
                    logits = self.average(images)
                losses.append(float(self.objective(Answer(logits, labels))))
                p = torch.softmax(logits.float(), 1)
                per_class = torch.stack([p[:, position == c].sum(1) for c in range(classes)], 1)
                known = labels != IGNORE
                truth = position[labels[known].long()].numpy()
                confusion += np.bincount(
                    truth * classes + per_class.argmax(1)[known].numpy(), minlength=classes * classes
                ).reshape(classes, classes)
        hit = np.diag(confusion)
        union = confusion.sum(0) + confusion.sum(1) - hit
        return np.where(confusion.sum(1) > 0, hit / np.maximum(union, 1), np.nan)


def _history(epoch: Epoch) -> dict[str, object]:
    """Return a row of the table as JSON values; a class without truth has none."""
    row = {k: v for k, v in asdict(epoch).items() if k != "seconds"}
    return row | {"iou": [None if isnan(v) else v for v in epoch.iou]}


def _blocks(area: AreaPixels, labels: NDArray[np.uint8], model: ModelSpec) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield an area in blocks, padded to the network's stride with ignored pixels; edge effects are accepted here."""
    mean = np.array(model.normalisation.mean, np.float32)[:, None, None]
    std = np.array(model.normalisation.std, np.float32)[:, None, None]
    image: NDArray[np.float32] = np.where(
        area.valid & ~np.isnan(area.image), (area.image - mean) / std, np.float32(0)
    ).astype(np.float32)
    labels = np.where(area.valid, labels, IGNORE).astype(np.uint8)
    for r in range(0, labels.shape[0], VALIDATION_BLOCK_PX):
        for c in range(0, labels.shape[1], VALIDATION_BLOCK_PX):
            part = image[:, r : r + VALIDATION_BLOCK_PX, c : c + VALIDATION_BLOCK_PX]
            own = labels[r : r + VALIDATION_BLOCK_PX, c : c + VALIDATION_BLOCK_PX]
            pad = [(0, -n % model.multiple_px) for n in own.shape]
            if (own != IGNORE).any():
                x = torch.from_numpy(np.pad(part, ((0, 0), *pad), mode="symmetric"))[None]
                yield (
                    x.contiguous(memory_format=torch.channels_last),
                    torch.from_numpy(np.pad(own, pad, constant_values=IGNORE))[None],
                )


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    """Move the average's weights and batch statistics towards the network's."""
    for a, b in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if a.is_floating_point():
            a.lerp_(b, 1 - keep)
        else:
            a.copy_(b)


def _autocast(precision: str) -> AbstractContextManager[object]:
    return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()


def _precision(network: nn.Module, channels: int, size: int) -> str:
    """Return "bf16" where the CPU has it and a training step, tried out, is faster with it; else "fp32"."""
    if choose_precision("cpu") == "fp32":
        return "fp32"
    images = torch.zeros(2, channels, size, size).contiguous(memory_format=torch.channels_last)
    probe = copy.deepcopy(network).train()
    seconds: dict[str, float] = {}
    for precision in ("fp32", "fp32", "bf16", "bf16"):  # the first call compiles kernels
        started = time.perf_counter()
        with _autocast(precision):
            out = probe(images)
        out.float().sum().backward()
        seconds[precision] = time.perf_counter() - started
        if seconds[precision] > MOST_COMPILING * seconds["fp32"]:
            break  # depthwise convolutions have no bf16 kernel for their gradient: one step takes a minute
    log.info("training step: fp32 %.2f s, bf16 %.2f s", seconds["fp32"], seconds["bf16"])
    return min(seconds, key=lambda k: seconds[k])
