"""Scores of labelled ground as a run maps it: through windows, blending and thresholds, on the scene's own pixels."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from geoseg.jobs.live import LiveMap
from geoseg.models.spec import ModelSpec
from geoseg.tasks.groups import group_layers
from geoseg.training.areas import MappedGround, blocks, shown
from geoseg.training.objectives import Objectives
from geoseg.training.samples import Samples
from geoseg.training.scenes import open_labelled
from geoseg.training.spec import TrainSpec
from geoseg.training.targets import IGNORE
from geoseg.training.validation import (
    VALIDATION_BLOCK_PX,
    Validation,
    confusion_of,
    iou_of,
    mean_errors,
    over_sites,
)

MOST_LANES = 4  # windows that are run at once


class Maps:
    """Ground as runs of a model map it while its network learns; the runs are planned once.

    threads: how many windows are run at once, which changes no bit.
    """

    def __init__(
        self, spec: TrainSpec, model: ModelSpec, ground: Sequence[MappedGround], *, device: str, threads: int
    ) -> None:
        self._spec, self._model, self._ground = spec, model, ground
        items = {id(one.item): one.item for one in ground}
        lanes = lanes_of(device, threads)
        self._live = {
            key: LiveMap(open_labelled(item), model, device=device, lanes=lanes) for key, item in items.items()
        }

    def scores(self, network: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return IoU of every class as means over the sites, and the mean absolute error of every channel beside them.

        NaN where there is no truth. network: in evaluation mode. The same as ``geoseg evaluate`` says of the maps of
        ``geoseg predict``, where there is one site.
        """
        sites = list(dict.fromkeys(one.area.site for one in self._ground))
        off = np.zeros((2, len(group_layers(self._model))))
        ious = [self._iou(network, [one for one in self._ground if one.area.site == site], off) for site in sites]
        return over_sites(ious), mean_errors(off)

    def _iou(self, network: nn.Module, ground: Sequence[MappedGround], off: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the IoU of every class over a site's ground, NaN without truth; off: see ``mean_errors``."""
        classes = len(self._model.classes)
        confusion = np.zeros((classes, classes), np.int64)
        position = np.append(np.array(self._model.class_of_channel, np.intp), np.full(IGNORE + 1, -1))[: IGNORE + 1]
        place = np.full(256, -1)
        place[[c.id for c in self._model.classes]] = np.arange(classes)
        for one in ground:
            for box in blocks(one.area, VALIDATION_BLOCK_PX):
                pixels, labels = shown(one.area, box, self._spec.target)
                if (labels == IGNORE).all() and np.isnan(pixels.image).all():
                    continue
                rows = self._live[id(one.item)].read(network, box.shifted(one.box.row0, one.box.col0))
                for at, (layer, truth) in enumerate(zip(group_layers(self._model), pixels.image, strict=True)):
                    said = rows[layer.name]
                    known = ~layer.is_nodata(said) & ~np.isnan(truth)
                    values = said[known].astype(np.float64) * layer.scale + layer.offset
                    off[:, at] += np.abs(values - truth[known]).sum(), known.sum()
                if classes:
                    confusion += confusion_of(position[labels], place[rows["classes"]], classes)
        return iou_of(confusion)


def lanes_of(device: str, threads: int) -> int:
    """Return how many windows are run at once."""
    return min(MOST_LANES, threads) if device == "cpu" else 1


def maps_of(
    spec: TrainSpec, model: ModelSpec, samples: Samples, role: Literal["validation", "scattered"], *, device: str
) -> Maps | None:
    """Return the maps of the ground of a role; None where there is none that is scored so."""
    ground = samples.mapped.get(role, ())
    return Maps(spec, model, ground, device=device, threads=torch.get_num_threads()) if ground else None


def scattered_gap(
    spec: TrainSpec, samples: Samples, network: nn.Module, model: ModelSpec
) -> tuple[float | None, ...] | None:
    """Return the IoU of every class on labels scattered among those of training, which a random split would score on.

    None where the split has none; None of a class without truth there.
    """
    if not (samples.scattered and model.classes):
        return None
    device = next(network.parameters()).device.type
    maps = maps_of(spec, model, samples, "scattered", device=device)
    if maps is not None:
        iou, _ = maps.scores(network)
    else:
        _, iou, _ = Validation(spec, model, samples.scattered, Objectives.of(spec), "fp32", device).of(network)
    return tuple(None if np.isnan(v) else round(v, 4) for v in iou)
