"""Calibrating a bundle on labelled ground: half of it is fitted to, the other half shows what that gives.

How scalings and thresholds are fitted is in trust/calibration.py; here is which pixels they are fitted to.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from geoseg.errors import InputError, ModelError
from geoseg.jobs.sums import Blended
from geoseg.models.bundle import ModelBundle
from geoseg.models.spec import ModelSpec
from geoseg.options.calibrate import CalibrateOptions
from geoseg.training.blocks import Role
from geoseg.training.labels import open_labels
from geoseg.training.samples import areas_of
from geoseg.training.scenes import open_labelled
from geoseg.training.spec import TrainSpec
from geoseg.training.split import Area
from geoseg.training.split_plan import SplitPlan, plan_split
from geoseg.training.targets import IGNORE
from geoseg.trust.calibration import (
    Reliability,
    decided,
    f1_scores,
    fit_scaling,
    fit_thresholds,
    logs,
    of_classes,
    precise_thresholds,
    reliability,
    scaled,
)
from geoseg.values.box import Box
from geoseg.values.scaling import Scaling

log = logging.getLogger(__name__)
LEAST_OBJECTS, LEAST_HA = 50, 1.0  # of the class that is drawn as polygons, and of any other that there is
CELL_PX = 128  # side of the squares of which every other one is fitted to
PART_PX, MOST_PARTS, MOST_OF_ALL = 1024, 12, 240  # side of what is run at once, how many are of an entry, and of all
MOST_PIXELS = 2**17  # that are fitted to


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """Labelled pixels and what a model says of them."""

    log_p: NDArray[np.float64]
    """(N, K), of the channels of its classes, uncalibrated."""
    truth: NDArray[np.int64]
    """(N,), positions of classes."""
    to_fit: NDArray[np.bool_]
    """(N,), whether a pixel is fitted to, or shows what that gives."""
    objects: NDArray[np.int64]
    """Connected areas of each class, (C,)."""
    hectares: NDArray[np.float64]
    """Ground of each class, (C,)."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What a calibration found; before and after, on ground that it was not fitted to."""

    spec: ModelSpec
    before: Reliability
    after: Reliability
    f1_before: tuple[float, ...]
    f1_after: tuple[float, ...]
    pixels: int


def ground_of(bundle: ModelBundle, spec: TrainSpec, roles: Sequence[Role], *, plan: SplitPlan | None = None) -> Ground:
    """Return the labelled pixels of the areas of ``roles``, part by part; plan: see ``plan_split``.

    Raises InputError where there are none, ModelError for a model without classes.
    """
    if bundle.spec.softmax is None:
        raise ModelError(f"{bundle.spec.name}: has no classes to calibrate; take a model of classes")
    labels = _Labels(spec, bundle.spec)
    parts, labelled_px = _looked_at(spec, roles, plan or plan_split(spec), labels)
    every = max(1, labelled_px // (2 * MOST_PIXELS))
    found: list[tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]] = []
    classes = len(bundle.spec.classes)
    objects, hectares = np.zeros(classes, np.int64), np.zeros(classes)
    for _, own in groupby(parts, key=itemgetter(0)):
        blended: Blended | None = None
        for number, area, box in own:
            truth = labels.read(number, area, box)
            blended = blended or Blended(labels.scene, [bundle])
            p, valid = blended.read(box)
            truth[~valid] = -1
            objects += [label(truth == c)[1] for c in range(classes)]
            hectares += [(truth == c).sum() * labels.gsd_m**2 / 1e4 for c in range(classes)]
            known = np.flatnonzero(truth >= 0)[::every]
            to_fit, _ = _squares(area, box)
            found.append((logs(p.reshape(len(p), -1)[:, known]), truth.ravel()[known], to_fit.ravel()[known]))
    if not found:
        raise InputError(f"no labelled ground is for {' or '.join(roles)}; say so with use: or a split in the config")
    log_p, truth, fits = (np.concatenate(one) for one in zip(*found, strict=True))
    return Ground(log_p, truth, fits, objects, hectares)


class _Labels:
    """The labels of a training's entries as positions in a model's class table; one entry is open at a time."""

    def __init__(self, spec: TrainSpec, model: ModelSpec) -> None:
        self.spec, self.model, self.number = spec, model, -1

    def read(self, number: int, area: Area, box: Box) -> NDArray[np.int64]:
        """Return the classes of a part of an entry's area, (h, w); -1 where void, of no class or beside the area."""
        if number != self.number:
            item, self.number = self.spec.data[number], number
            self.scene = open_labelled(item)
            self.gsd_m = self.scene.grid.mean_resolution_m()
            self.labels = open_labels(item, self.spec.target, self.scene.grid)
        truth = _positions(self.spec.target.labels(self.labels(box), gsd_m=self.gsd_m), self.spec, self.model)
        _, inside = _squares(area, box)
        truth[~inside] = -1
        return truth


def _looked_at(
    spec: TrainSpec, roles: Sequence[Role], plan: SplitPlan | None, labels: _Labels
) -> tuple[list[tuple[int, Area, Box]], int]:
    """Return parts of the areas of ``roles`` that hold labels, each with the number of its entry; and their labels.

    Some parts of each entry, some of all; where one of these holds no label, another one that does.
    """
    every: list[tuple[int, Area, Box]] = []
    chosen: list[int] = []
    for number, item in enumerate(spec.data):
        areas = [area for area in areas_of(item, open_labelled(item), spec, plan) if area.role in roles]
        own = [
            (number, area, part.shifted(area.box.row0, area.box.col0))
            for area in areas
            for part in Box(0, 0, *area.box.shape).blocks(PART_PX)
        ]
        chosen += range(len(every), len(every) + len(own), max(1, -(-len(own) // MOST_PARTS)))
        every += own
    chosen = chosen[:: max(1, -(-len(chosen) // MOST_OF_ALL))]
    held: dict[int, int] = {}
    for at in (*chosen, *sorted(set(range(len(every))) - set(chosen))):
        if len(held) == len(chosen):
            break
        if pixels := int((labels.read(*every[at]) >= 0).sum()):
            held[at] = pixels
    return [every[at] for at in sorted(held)], sum(held.values())


def _squares(area: Area, part: Box) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which pixels of a part are fitted to, squares like a chessboard's, and which are the area's."""
    row, col = np.ogrid[part.row0 : part.row1, part.col0 : part.col1]
    cells = area.cells
    inside = np.ones(part.shape, np.bool_) if cells is None else cells.at(row[:, 0] + 0.5, col[0] + 0.5)
    return (row // CELL_PX + col // CELL_PX) % 2 == 0, inside


def _positions(labels: NDArray[np.uint8], spec: TrainSpec, model: ModelSpec) -> NDArray[np.int64]:
    """Return the position in the model's class table of each channel index of the target; -1 where void or no class."""
    at = {one.name: i for i, one in enumerate(model.classes)}
    names = {one.id: one.name for one in spec.target.class_table}
    table = np.full(IGNORE + 1, -1)
    for i, channel in enumerate(spec.target.channels):
        assert channel.class_id is not None  # a target's channels all have one
        table[i] = at.get(names[channel.class_id], -1)
    return table[labels]


def too_little(ground: Ground, model: ModelSpec) -> str | None:
    """Return which class that there is has too little ground to fit thresholds to, in words."""
    for one, objects, hectares in zip(model.classes, ground.objects, ground.hectares, strict=True):
        drawn = one.name == model.polygon_class
        if hectares > 0 and (objects < LEAST_OBJECTS if drawn else hectares < LEAST_HA):
            told = f"{objects} objects" if drawn else f"{hectares:.2g} ha"
            return (
                f"{told} of {one.name} are too little to calibrate on; {LEAST_OBJECTS} objects of one that is drawn, "
                f"{LEAST_HA:g} ha of any other are needed"
            )
    return None


def calibrated(bundle: ModelBundle, ground: Ground, options: CalibrateOptions, *, anyway: bool = False) -> Calibrated:
    """Fit a bundle's probabilities and thresholds to half of the ground; raises InputError where it is too little.

    anyway: fit a temperature alone where a class has too little, which is told.
    """
    model = bundle.spec
    if (np.bincount(ground.truth, minlength=len(model.classes)) > 0).sum() < 2:
        raise InputError("the labelled ground is of one class alone; label ground of another one too")
    if little := too_little(ground, model):
        if not anyway:
            raise InputError(f"{little}: label more ground")
        log.warning("%s: a temperature is fitted all the same, thresholds stay", little)
        options = CalibrateOptions(method="temperature", thresholds="keep")
    if ground.to_fit.all() or not ground.to_fit.any():
        raise InputError(
            f"all labelled ground lies in squares of {CELL_PX} px that are fitted to, or in the others; of one kind "
            f"alone nothing can be fitted and shown: label ground farther apart"
        )
    absent = [c.name for c, ha in zip(model.classes, ground.hectares, strict=True) if ha == 0]
    if absent:
        log.warning("no ground of %s: nothing is fitted to it", ", ".join(absent))
    fit, shown, at = ground.to_fit, ~ground.to_fit, model.class_of_channel
    scaling = fit_scaling(ground.log_p[fit], ground.truth[fit], at, vector=options.method == "vector")
    p = of_classes(scaled(ground.log_p, scaling), at)
    if options.precision is not None:
        thresholds = precise_thresholds(p[fit], ground.truth[fit], options.precision)
    else:
        thresholds = thresholds_of(model) if options.thresholds == "keep" else fit_thresholds(p[fit], ground.truth[fit])
    made = _with(model, scaling, thresholds)
    p_before = of_classes(scaled(ground.log_p[shown], model.scaling), at)
    before, f1_before = _shown(p_before, ground.truth[shown], thresholds_of(model))
    after, f1_after = _shown(p[shown], ground.truth[shown], thresholds_of(made))
    told = {
        "method": options.method, "before": before.as_json(), "after": after.as_json(),
        "objects": ground.objects.tolist(), "hectares": [round(float(ha), 2) for ha in ground.hectares],
    }  # fmt: skip
    made = made.model_copy(update={"training": {**model.training, "calibration": told}})
    return Calibrated(made, before, after, f1_before, f1_after, int(shown.sum()))


def thresholds_of(model: ModelSpec) -> NDArray[np.float64]:
    """Return the thresholds (C,) by which a run decides."""
    names = [c.name for c in model.classes]
    if model.thresholds:
        return np.array([model.thresholds[name] for name in names])
    out = np.full(len(names), 1 / len(names))
    if len(names) == 2 and model.polygon_class is not None:
        at = names.index(model.polygon_class)
        out[at], out[1 - at] = model.threshold, 1 - model.threshold
    return out


def _with(model: ModelSpec, scaling: Scaling, thresholds: NDArray[np.float64]) -> ModelSpec:
    """Return what the calibrated bundle says; the confidence of polygons weighs what it weighed before."""
    names = [c.name for c in model.classes]
    changes: dict[str, Any] = {"calibration": scaling}
    rounded = dict(zip(names, np.round(thresholds, 4).tolist(), strict=True))
    if len(names) == 2 and model.polygon_class is not None:
        changes["threshold"] = rounded[model.polygon_class]
    elif len(set(rounded.values())) > 1:
        changes["thresholds"] = rounded
    if model.polygon_confidence is not None:
        own = asdict(model.polygon_confidence)
        before = 1.0 if model.calibration is None else float(np.mean(model.calibration.scale))
        own["probability"] *= before / float(np.mean(scaling.scale))
        changes["polygon_confidence"] = type(model.polygon_confidence)(**own)
    return model.model_copy(update=changes)


def _shown(
    p: NDArray[np.float64], truth: NDArray[np.int64], thresholds: NDArray[np.float64]
) -> tuple[Reliability, tuple[float, ...]]:
    classes = decided(p, thresholds)
    f1 = f1_scores(classes, truth, p.shape[1])
    return reliability(p[np.arange(len(p)), classes], classes == truth), tuple(f1.tolist())
