"""Examples of what a network has learnt: image, truth, answer and errors of validation ground, side by side."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from torch import nn

from geoseg.models.spec import ModelSpec
from geoseg.scenes.pictures import Rgb, boundaries, drawn, of_bands, of_classes, sheet
from geoseg.training.areas import CELL_PX, LabelledArea, shown
from geoseg.training.samples import Samples
from geoseg.training.spec import TrainSpec
from geoseg.training.targets import IGNORE
from geoseg.training.validation import channels_of
from geoseg.values.box import Box

MOST, SIDE_PX = 4, 256
NEAR_PX = 2  # errors so near to a true boundary are told apart: labels are drawn no better
WRONG, NEARLY = (200, 66, 46), (43, 108, 176)  # elsewhere, and near a boundary


def examples(network: nn.Module, model: ModelSpec, spec: TrainSpec, samples: Samples) -> Rgb:
    """Return a sheet with a row for each example; network: in evaluation mode on the CPU."""
    areas = sorted(samples.validation, key=lambda area: -int(area.cells(spec.target).sum()))[:MOST]
    return sheet([_row(network, model, spec, area) for area in areas])


def _row(network: nn.Module, model: ModelSpec, spec: TrainSpec, area: LabelledArea) -> list[Rgb]:
    pixels, labels = shown(area, _box(area, spec, model.multiple_px), spec.target)
    position = np.append(np.array(model.class_of_channel), np.full(IGNORE, -1))[: IGNORE + 1]
    truth = np.where(pixels.valid & (labels != IGNORE), position[np.minimum(labels, IGNORE)], -1)
    seen = pixels.image[: len(model.bands)]  # truth of outputs follows
    found = _answer(network, model, seen, pixels.valid)
    ids = np.array([0, *(c.id for c in model.classes)])
    three = [i for name in ("red", "green", "blue") for i, band in enumerate(model.bands) if band.name == name]
    bands = np.nan_to_num(seen[three if len(three) == 3 else [0]])
    image = of_bands(bands, pixels.valid)
    wrong = (truth >= 0) & (found != truth)
    near = binary_dilation(boundaries(truth), iterations=NEAR_PX)
    errors = drawn(drawn(image // 2 + 128, wrong & ~near, WRONG), wrong & near, NEARLY)
    return [image, *(of_classes(ids[at + 1], model.class_map) for at in (truth, found)), errors]


def _box(area: LabelledArea, spec: TrainSpec, multiple_px: int) -> Box:
    """Return the box of an area around the cell in which the labels are the most mixed."""
    counts = area.cells(spec.target).astype(np.float64)
    p = counts / np.maximum(counts.sum(2, keepdims=True), 1)
    mixed = -(p * np.log(np.maximum(p, 1e-9))).sum(2) * (counts.sum(2) > CELL_PX)
    row, col = np.unravel_index(int(mixed.argmax()), mixed.shape)
    sides = [min(SIDE_PX, n) // multiple_px * multiple_px or n for n in area.shape]
    first = [
        int(np.clip((at + 0.5) * CELL_PX - side / 2, 0, n - side))
        for at, side, n in zip((row, col), sides, area.shape, strict=True)
    ]
    return Box(first[0], first[1], first[0] + sides[0], first[1] + sides[1])


def _answer(
    network: nn.Module, model: ModelSpec, image: NDArray[np.float32], valid: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Return the position of each pixel's likeliest class, (H, W)."""
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (model.normalisation.mean, model.normalisation.std))
    known = valid & ~np.isnan(image)
    seen = np.where(known, (image - mean) / std, np.float32(0)).astype(np.float32)
    pad = [(0, -n % model.multiple_px) for n in valid.shape]
    with torch.inference_mode():
        logits = network(torch.from_numpy(np.pad(seen, ((0, 0), *pad), mode="symmetric"))[None])
        logits = channels_of(logits, model).float()
    at = torch.tensor(model.class_of_channel)
    p = torch.softmax(logits[:, : len(at)], 1)  # outputs beside the classes follow
    by_class = torch.stack([p[0, at == c].sum(0) for c in range(len(model.classes))])
    return by_class.argmax(0).numpy()[: valid.shape[0], : valid.shape[1]]
