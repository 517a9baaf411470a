"""The loop: steps over the windows of training ground, each epoch judged by fixed prompts on validation ground."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from itertools import batched
from math import isfinite
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geoseg import __version__
from geoseg.errors import ConfigError
from geoseg.jobs.prompt import embedded, known_part
from geoseg.models.bundle import ModelBundle
from geoseg.models.promptable import Promptable, call_tensors, decoded, levels_of
from geoseg.models.spec import ModelSpec
from geoseg.training.checkpoint import (
    Checkpoint,
    Held,
    named_tensors,
    optimiser_tensors,
    restore_optimiser,
    tensors_of,
)
from geoseg.training.data_spec import PATHS
from geoseg.training.fitted import Fitted
from geoseg.training.history import Epoch, history, since_best, table_of, table_values
from geoseg.training.manifest import manifest
from geoseg.training.prompted.draws import BOX, KINDS, POINT, SHARES, drawn, judged
from geoseg.training.prompted.ground import Ground
from geoseg.training.prompted.loss import prompt_loss
from geoseg.training.prompted.spec import PromptTrainSpec
from geoseg.training.rates import cosine
from geoseg.values.box import Box

log = logging.getLogger(__name__)
ASKED = (BOX, POINT)  # what validation asks by
FROZEN = ("conv_s0", "conv_s1")  # of the decoder: SAM 2 puts them into the embedding


class PromptLoop:
    """The state of one training."""

    def __init__(
        self, spec: PromptTrainSpec, bundle: ModelBundle, ground: dict[str, tuple[Ground, ...]], device: str
    ) -> None:
        self.spec, self.bundle, self.device = spec, bundle, torch.device(device)
        self.train, self.validation = ground["train"], ground["validation"]
        self.promptable = Promptable(bundle, device)
        network = self.promptable.network
        self.learning = {
            name: value for name, value in network.mask_decoder.named_parameters() if not name.startswith(FROZEN)
        }
        for value in self.learning.values():
            value.requires_grad_(requires_grad=True)
        self.optimiser = torch.optim.AdamW(
            self.learning.values(), lr=spec.schedule.learning_rate, weight_decay=spec.schedule.weight_decay
        )
        self.table: list[Epoch] = []
        self.losses: list[float] = []  # of the epoch that is under way
        self.best: dict[str, Tensor] = self._weights()
        self.places: list[dict[str, Any]] = []  # scores of the start and of the best epoch, place by place

    def run(
        self,
        on_epoch: Callable[[Epoch, Fitted], None],
        on_step: Callable[[int, int, str], None],
        checkpoint: Checkpoint | None,
    ) -> Fitted:
        """Train to the end; epoch 0, the start, may be the best one. Raises ConfigError where a loss is no number."""
        plan, ended = self.spec.schedule, True
        if checkpoint is not None and (held := checkpoint.read(self.identity)) is not None:
            self._restore(held)
        try:
            if not self.table:
                self._judge(0, float("nan"), time.perf_counter())
                self._keep(checkpoint)
                on_epoch(self.table[-1], self._fitted())
            while len(self.table) <= plan.epochs and since_best(self.table) < plan.patience:
                began, number = time.perf_counter(), len(self.table)
                while len(self.losses) < plan.steps_per_epoch:
                    self.losses.append(self._step(number))
                    on_step(number, len(self.losses), f"loss {self.losses[-1]:.4f}")
                    if checkpoint is not None and checkpoint.due:
                        self._keep(checkpoint)
                self._judge(number, float(np.mean(self.losses)), began)
                self.losses = []
                self._keep(checkpoint)
                on_epoch(self.table[-1], self._fitted())
        except KeyboardInterrupt:
            log.warning("interrupted after %d epochs; the best network so far is kept", max(0, len(self.table) - 1))
            if not self.table:
                raise
            ended = False
        return replace(self._fitted(), ended=ended)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a training must have alike to go on with a checkpoint."""
        config = self.spec.model_dump(
            mode="json", exclude={"data": {"__all__": PATHS}, "start_from": True, "embeddings": True}
        )
        told = {"config": config, "manifest": manifest(self.spec.data), "started_from": self.bundle.digest}
        return {**told, "geoseg": __version__, "torch": torch.__version__, "device": self.device.type}

    @cached_property
    def _turns(self) -> list[tuple[Ground, Box, tuple[int, ...]]]:
        """All that a step may learn of: objects of a window, as many as a step takes."""
        most = self.spec.schedule.prompts
        return [
            (one, window, group)
            for one in self.train
            for window, own in one.objects.items()
            for group in batched(range(len(own)), most)
        ]

    def _step(self, epoch: int) -> float:
        """Learn of one window's objects; returns the loss."""
        plan = self.spec.schedule
        step = (epoch - 1) * plan.steps_per_epoch + len(self.losses)
        turn, at = divmod(step, len(self._turns))
        order = np.random.default_rng((plan.seed, turn)).permutation(len(self._turns))
        one, window, group = self._turns[order[at]]
        rng = np.random.default_rng((plan.seed, turn, at, len(self._turns)))
        kind = str(rng.choice(KINDS, p=SHARES))
        masks = [mask for i, mask in enumerate(one.masks(window)) if i in group and mask.any()]
        if not masks:
            return 0.0
        _, embedding, valid = embedded(one.asking, window)
        asked = [drawn(kind, mask, self.spec.jitter, rng) for mask in masks]
        for parameters in self.optimiser.param_groups:
            cosine(step, plan.epochs * plan.steps_per_epoch, plan.learning_rate).set_on(parameters)
        self.optimiser.zero_grad(set_to_none=True)
        given = call_tensors(asked, self.device)
        logits, iou = decoded(self.promptable.network, levels_of(embedding, self.device), given)
        known = np.zeros(window.shape, np.bool_)
        known[: valid.shape[0], : valid.shape[1]] = valid
        loss = prompt_loss(logits, iou, self._on(np.stack(masks).astype(np.float32)), self._on(known))
        value = float(loss.detach())
        if not isfinite(value):
            raise ConfigError(
                f"the loss is {value} in epoch {epoch}, step {len(self.losses) + 1}, in {one.name}; take a lower "
                f"schedule.learning_rate and --fresh"
            )
        loss.backward()
        nn.utils.clip_grad_norm_(self.learning.values(), plan.clip)
        self.optimiser.step()
        return value

    def _on(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _judge(self, number: int, loss: float, began: float) -> None:
        """Ask for the validation objects, and add a row to the table."""
        places = [self._place(one) for one in self.validation]
        objects = sum(place["objects"] for place in places)
        iou = tuple(sum(place["objects"] * place[kind] for place in places) / objects for kind in ASKED)
        score = float(np.mean(iou))
        better = not self.table or score > max(e.score for e in self.table)
        seconds = time.perf_counter() - began
        self.table.append(Epoch(number, loss, 1 - score, iou, score, seconds, best=better))
        if number == 0:
            self.places = [places, places]  # type: ignore[list-item]
        elif better:
            self.best, self.places = self._weights(), [self.places[0], places]  # type: ignore[list-item]

    def _place(self, one: Ground) -> dict[str, Any]:
        """Return how well the objects of a scene are found: mean IoU of the likeliest answer, by kind of prompt."""
        scores: dict[str, list[float]] = {kind: [] for kind in ASKED}
        for window, chosen in self._chosen(one):
            _, embedding, valid = embedded(one.asking, window)
            height, width = valid.shape
            masks = [mask for i, mask in enumerate(one.masks(window)) if i in chosen and mask.any()]
            for kind in ASKED:
                for place, answers in self.promptable.ask(embedding, [judged(kind, mask) for mask in masks]):
                    found, own = known_part(answers[0], valid)[0], masks[place][:height, :width] & valid
                    scores[kind].append(int((found & own).sum()) / max(1, int((found | own).sum())))
        means = {kind: round(float(np.mean(own)), 4) if own else 0.0 for kind, own in scores.items()}
        return {"scene": one.name, "objects": len(scores[BOX]), **means}

    def _chosen(self, one: Ground) -> Iterator[tuple[Box, set[int]]]:
        """Yield windows with those of their objects that are asked for, the same in every epoch."""
        every = [(window, i) for window, own in one.objects.items() for i in range(len(own))]
        rng = np.random.default_rng((self.spec.schedule.seed, len(every)))
        some = sorted(rng.permutation(len(every))[: self.spec.validation_objects].tolist())
        by_window: dict[Box, set[int]] = {}
        for at in some:
            by_window.setdefault(every[at][0], set()).add(every[at][1])
        yield from by_window.items()

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.learning.items()}

    def _keep(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint is None:
            return
        tensors = {
            **named_tensors("network", self._weights()),
            **named_tensors("best", self.best),
            **named_tensors("optimiser", optimiser_tensors(self.optimiser)),
        }
        values = {**table_values(self.table), "losses": self.losses, "places": self.places}
        checkpoint.write(Held(tensors, values), self.identity)

    def _restore(self, held: Held) -> None:
        with torch.no_grad():
            for name, value in tensors_of("network", held.tensors).items():
                self.learning[name].copy_(value)
        self.best = tensors_of("best", held.tensors)
        restore_optimiser(self.optimiser, tensors_of("optimiser", held.tensors))
        self.table = table_of(held.values)
        self.losses, self.places = held.values["losses"], held.values["places"]
        log.info("goes on after %d epochs and %d steps", len(self.table) - 1, len(self.losses))

    def _fitted(self) -> Fitted:
        """Return the network of the best epoch so far, on the CPU."""
        network = self.bundle.network()
        with torch.no_grad():
            for name, value in network.mask_decoder.named_parameters():  # type: ignore[union-attr]
                if name in self.best:
                    value.copy_(self.best[name])
        return Fitted(network, self._told(), tuple(self.table))

    def _told(self) -> ModelSpec:
        before, spec = self.bundle.spec, self.spec
        first, best = self.table[0], max(self.table, key=lambda e: e.rank)
        facts = {
            **{key: self.identity[key] for key in ("config", "manifest", "geoseg")},
            "started_from": {"name": before.name, "sha256": self.bundle.digest, "training": before.training},
            "kept_epoch": best.number,
            "validation": {"before": self.places[0], "after": self.places[1]},
            "history": [history(e) for e in self.table[1:]],
        }
        scores = tuple(
            f"{kind}: IoU {then:.3f} before, {now:.3f} after"
            for kind, then, now in zip(ASKED, first.iou, best.iou, strict=True)
        )
        return before.model_copy(
            update={
                "name": spec.name,
                "ground": spec.ground or before.ground,
                "scores": scores,
                "licence": spec.licence or before.licence,
                "attribution": spec.attribution or before.attribution,
                "training": facts,
            }
        )
