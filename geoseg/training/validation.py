"""Scores of validation areas, block by block, as a network gives them while it is trained."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geoseg.models.spec import ModelSpec
from geoseg.training.areas import LabelledArea, blocks, shown
from geoseg.training.losses.answer import Answer
from geoseg.training.losses.table import Objective
from geoseg.training.precision import autocast
from geoseg.training.samples import Samples
from geoseg.training.spec import TrainSpec
from geoseg.training.targets import IGNORE, BuildingTarget, ClassTarget

VALIDATION_BLOCK_PX = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """What every epoch is judged on."""

    spec: TrainSpec
    model: ModelSpec
    areas: Sequence[LabelledArea]
    objective: Objective
    precision: str
    device: str = "cpu"

    def of(self, network: nn.Module) -> tuple[float, tuple[float, ...]]:
        """Return the loss and the IoU of every class, as means over the sites of the validation areas."""
        losses: list[float] = []
        sites = list(dict.fromkeys(a.site for a in self.areas))
        ious = [self._iou(network, [a for a in self.areas if a.site == site], losses) for site in sites]
        known = ~np.isnan(ious)
        mean = np.nansum(ious, 0) / np.maximum(known.sum(0), 1)
        return float(np.mean(losses)), tuple(np.where(known.any(0), mean, np.nan).tolist())

    def _iou(self, network: nn.Module, areas: Sequence[LabelledArea], losses: list[float]) -> NDArray[np.float64]:
        """Return the IoU of every class over a site's areas, NaN without truth; appends the loss of every block."""
        classes = len(self.model.classes)
        position = torch.tensor(self.model.class_of_channel)
        confusion = np.zeros((classes, classes), np.int64)
        for area in areas:
            for images, labels, beside in _blocks(area, self.spec.target, self.model):
                with torch.inference_mode(), autocast(self.device, self.precision):
                    logits = network(images.to(self.device)).cpu()
                answer = Answer(logits, labels, beside=beside)
                losses.append(float(self.objective(answer)))
                p = answer.of("softmax").probability
                per_class = torch.stack([p[:, position == c].sum(1) for c in range(classes)], 1)
                known = labels != IGNORE
                truth = position[labels[known].long()].numpy()
                confusion += np.bincount(
                    truth * classes + per_class.argmax(1)[known].numpy(), minlength=classes * classes
                ).reshape(classes, classes)
        hit = np.diag(confusion)
        union = confusion.sum(0) + confusion.sum(1) - hit
        return np.where(confusion.sum(1) > 0, hit / np.maximum(union, 1), np.nan)


def scattered_gap(
    spec: TrainSpec, samples: Samples, network: nn.Module, model: ModelSpec
) -> tuple[float | None, ...] | None:
    """Return the IoU of every class on labels scattered among those of training, which a random split would score on.

    None where the split has none; None of a class without truth there.
    """
    if not samples.scattered:
        return None
    device = next(network.parameters()).device.type
    scored = Validation(spec, model, samples.scattered, Objective.of(spec.loss, spec.target), "fp32", device)
    return tuple(None if np.isnan(v) else round(v, 4) for v in scored.of(network)[1])


def _blocks(
    area: LabelledArea, target: BuildingTarget | ClassTarget, model: ModelSpec
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Yield an area in blocks, padded to the network's stride with ignored pixels; edge effects are accepted here."""
    mean = np.array(model.normalisation.mean, np.float32)[:, None, None]
    std = np.array(model.normalisation.std, np.float32)[:, None, None]
    for box in blocks(area, VALIDATION_BLOCK_PX):
        pixels, labels = shown(area, box, target)
        own = np.where(pixels.valid, labels, IGNORE).astype(np.uint8)
        if (own != IGNORE).any():
            known = pixels.valid & ~np.isnan(pixels.image)
            image = np.where(known, (pixels.image - mean) / std, np.float32(0)).astype(np.float32)
            pad = [(0, -n % model.multiple_px) for n in own.shape]
            x = torch.from_numpy(np.pad(image, ((0, 0), *pad), mode="symmetric"))[None]
            beside = np.where(pixels.valid, target.beside(pixels.labels), np.float32(np.nan))
            beside = np.pad(beside, ((0, 0), *pad), constant_values=np.nan)
            yield (
                x.contiguous(memory_format=torch.channels_last),
                torch.from_numpy(np.pad(own, pad, constant_values=IGNORE))[None],
                torch.from_numpy(beside)[None] if len(beside) else None,
            )
