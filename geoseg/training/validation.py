"""Scores of validation areas, block by block, as a network gives them while it is trained."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geoseg.models.spec import ModelSpec
from geoseg.training.areas import LabelledArea, blocks, shown
from geoseg.training.objectives import Objectives, Truth
from geoseg.training.precision import autocast
from geoseg.training.quantities import LearntOutput
from geoseg.training.spec import TrainSpec
from geoseg.training.targets import IGNORE
from geoseg.values.box import Box

VALIDATION_BLOCK_PX = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """What every epoch is judged on."""

    spec: TrainSpec
    model: ModelSpec
    areas: Sequence[LabelledArea]
    objective: Objectives
    precision: str
    device: str = "cpu"

    def of(self, network: nn.Module) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
        """Return loss, IoU of every class as means over the sites, mean absolute error of every channel beside them."""
        losses: list[float] = []
        off = np.zeros((2, sum(len(output.channels) for output in self.spec.outputs)))
        sites = list(dict.fromkeys(a.site for a in self.areas))
        ious = [self._iou(network, [a for a in self.areas if a.site == site], losses, off) for site in sites]
        return float(np.mean(losses)), over_sites(ious), mean_errors(off)

    def logits(self, network: nn.Module, images: Tensor) -> Tensor:
        """Return what a network says of images, (B, K, H, W) on the CPU."""
        with torch.inference_mode(), autocast(self.device, self.precision):
            return channels_of(network(images.to(self.device)).cpu(), self.model)

    def _iou(
        self, network: nn.Module, areas: Sequence[LabelledArea], losses: list[float], off: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the IoU of every class over a site's areas, NaN without truth; appends the loss of every block.

        off: gets what ``mean_errors`` is of.
        """
        classes = len(self.model.classes)
        position = torch.tensor(self.model.class_of_channel)
        confusion = np.zeros((classes, classes), np.int64)
        for area in areas:
            for box in blocks(area, VALIDATION_BLOCK_PX):
                if (block := block_of(area, box, self.spec, self.model)) is None:
                    continue
                images, truth = block
                logits = self.logits(network, images)
                losses.append(float(self.objective(logits, truth)))
                off += _errors(logits[:, self.objective.count :], truth.numbers, self.spec.outputs)
                if not classes:
                    continue
                known = truth.labels != IGNORE
                right = position[truth.labels[known].long()].numpy()
                confusion += confusion_of(right, classes_said(logits, self.model)[known].numpy(), classes)
        return iou_of(confusion)


def confusion_of(truth: NDArray[np.integer], said: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Return how many pixels of each class, by row, are said to be of each, by column; below 0 nothing is known.

    >>> confusion_of(np.array([0, 1, 1, -1]), np.array([0, 0, 1, 1]), 2).tolist()
    [[1, 0], [1, 1]]
    """
    known = (truth >= 0) & (said >= 0)
    counts = np.bincount(truth[known].astype(np.int64) * classes + said[known], minlength=classes * classes)
    return counts.reshape(classes, classes)


def iou_of(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the IoU of every class, NaN of those without truth."""
    hit = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hit
    return np.where(confusion.sum(1) > 0, hit / np.maximum(union, 1), np.nan)


def over_sites(ious: Sequence[NDArray[np.float64]]) -> tuple[float, ...]:
    """Return the mean IoU of every class over the sites that have truth of it, NaN where none has."""
    known = ~np.isnan(ious)
    mean = np.nansum(ious, 0) / np.maximum(known.sum(0), 1)
    return tuple(np.where(known.any(0), mean, np.nan).tolist())


def mean_errors(off: NDArray[np.float64]) -> tuple[float, ...]:
    """Return mean absolute errors of sums of them and of how many there are, (2, G); NaN where there is none."""
    return tuple(np.where(off[1] > 0, off[0] / np.maximum(off[1], 1), np.nan).tolist())


def channels_of(logits: Tensor, model: ModelSpec) -> Tensor:
    """Return the channels of a network; of a detector, what it has painted, in the order of the model's classes."""
    if not model.detects_alone:
        return logits
    things = list(model.things)
    return logits[:, [1 + things.index(c.id) if c.id in things else 0 for c in model.classes]]


def classes_said(logits: Tensor, model: ModelSpec) -> Tensor:
    """Return the likeliest class of every pixel, (B, H, W): its place in the class table."""
    position = torch.tensor(model.class_of_channel)
    p = torch.softmax(logits[:, : len(position)].float(), 1)
    return torch.stack([p[:, position == c].sum(1) for c in range(len(model.classes))], 1).argmax(1)


def _errors(logits: Tensor, numbers: Tensor, outputs: Sequence[LearntOutput]) -> NDArray[np.float64]:
    """Return the sums of absolute errors of the channels of ``outputs``, and how many there are, (2, G)."""
    said, first = [logits[:, :0]], 0
    for output in outputs:
        own = logits[:, first : first + len(output.channels)].float()
        said.append(own.sigmoid() if output.range is None else own.clamp(*output.range))
        first += len(output.channels)
    off, known = (torch.cat(said, 1) - numbers).abs().double(), ~numbers.isnan()
    return np.stack([torch.where(known, off, 0.0).sum((0, 2, 3)).numpy(), known.sum((0, 2, 3)).numpy()])


def block_of(area: LabelledArea, box: Box, spec: TrainSpec, model: ModelSpec) -> tuple[Tensor, Truth] | None:
    """Return a block of an area, padded to the network's stride with ignored pixels; None where nothing is known.

    Edge effects are accepted here.
    """
    mean = np.array(model.normalisation.mean, np.float32)[:, None, None]
    std = np.array(model.normalisation.std, np.float32)[:, None, None]
    target, outputs = spec.target, sum(len(output.channels) for output in spec.outputs)
    pixels, labels = shown(area, box, target)
    own = np.where(pixels.valid, labels, IGNORE).astype(np.uint8)
    numbers = np.where(pixels.valid, pixels.image[len(mean) :][:outputs], np.float32(np.nan))
    if (own == IGNORE).all() and np.isnan(numbers).all():
        return None
    image = pixels.image[: len(mean)]
    known = pixels.valid & ~np.isnan(image)
    image = np.where(known, (image - mean) / std, np.float32(0)).astype(np.float32)
    pad = [(0, -n % model.multiple_px) for n in own.shape]
    x = torch.from_numpy(np.pad(image, ((0, 0), *pad), mode="symmetric"))[None]
    beside = np.where(pixels.valid, target.beside(pixels.labels), np.float32(np.nan))
    beside = np.pad(beside, ((0, 0), *pad), constant_values=np.nan)
    truth = Truth(
        torch.from_numpy(np.pad(own, pad, constant_values=IGNORE))[None],
        torch.from_numpy(np.pad(numbers, ((0, 0), *pad), constant_values=np.nan))[None],
        beside=torch.from_numpy(beside)[None] if target.more else None,
        image=x,
    )
    return x.contiguous(memory_format=torch.channels_last), truth
