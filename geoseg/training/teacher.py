"""What a teacher says of training ground: probabilities of the target's classes, as a run of it gives them.

Distillation (Hinton et al. 2015), pixel by pixel (Liu et al. 2019). The teacher runs once, before the first step, on
scenes as they are; its answers are kept by block, and windows are cut of them as of other truth. How a network learns
of them is in objectives.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ModelError
from geoseg.jobs.sums import Blended
from geoseg.models.bundle import ModelBundle, load_model
from geoseg.tiling.resample import Resampling, resample_valid
from geoseg.tiling.taps import source_box
from geoseg.training.spec import TrainSpec
from geoseg.training.stream import BlockStore
from geoseg.training.targets import UNKNOWN, Raw
from geoseg.trust.calibration import logs, of_classes, scaled
from geoseg.values.box import Box

STEPS = 254  # of a kept probability: its byte is one more, and 0 where nothing is known


@dataclass(frozen=True, slots=True, eq=False)
class TeacherModel:
    """A bundle that answers in a target's classes."""

    bundle: ModelBundle
    order: tuple[int, ...]
    """Where each class of the target stands among the bundle's."""
    confidence: float
    """The probability from which its answer is a label where nobody drew one."""

    @classmethod
    def of(cls, spec: TrainSpec) -> "TeacherModel | None":
        """Open the teacher of a training, None where it has none; raises ModelError where its classes are others."""
        if spec.teacher is None:
            return None
        bundle = load_model(spec.teacher.model)
        said, wanted = ([c.name for c in table] for table in (bundle.spec.classes, spec.target.class_table))
        if bundle.spec.softmax is None or sorted(said) != sorted(wanted):
            raise ModelError(
                f"teacher: {bundle.spec.name} has {f'the classes {", ".join(said)}' if said else 'no classes'}, the "
                f"target {', '.join(wanted)}; take a teacher of the same classes, or name the target's as it does"
            )
        return cls(bundle, tuple(said.index(name) for name in wanted), spec.teacher.confidence)


class Answers:
    """What a teacher says of one scene on a working grid, by the boxes that it was asked about."""

    def __init__(self, teacher: TeacherModel, resampling: Resampling, store: BlockStore) -> None:
        self._teacher, self._resampling, self._store = teacher, resampling, store
        self._places: dict[Box, tuple[int, int]] = {}

    def ask(self, blended: Blended, boxes: Iterable[Box]) -> None:
        """Run the teacher over boxes of the working grid; blended: of it over the scene."""
        for box in boxes:
            taps = self._resampling.to_working(box)
            p, valid = blended.read(source_box(taps))
            of_class = self._classes(p.reshape(len(p), -1))
            image = np.where(valid, of_class.T.reshape(-1, *valid.shape), 0).astype(np.float32)
            said, known = resample_valid(image, valid, taps)
            self._places[box] = self._store.put(np.where(known, 1 + np.rint(STEPS * said), 0).astype(np.uint8))

    def _classes(self, p: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return calibrated probabilities (N, C) of the target's classes of blended ones of channels (K, N)."""
        spec = self._teacher.bundle.spec
        return of_classes(scaled(logs(p), spec.scaling), spec.class_of_channel)[:, self._teacher.order]

    def __call__(self, box: Box) -> NDArray[np.float32]:
        """Return the probability of every class (C, h, w) of a box that was asked about, NaN where none is known."""
        kept = self._store.get(self._places[box], (len(self._teacher.order), *box.shape), np.uint8)
        return np.where(kept > 0, (kept.astype(np.float32) - 1) / STEPS, np.float32(np.nan))

    def labels(self, box: Box) -> Raw:
        """Return the likeliest class of every pixel as a raw label, UNKNOWN where it is not likely enough."""
        p = np.nan_to_num(self(box), nan=-1.0)
        return np.where(p.max(0) >= self._teacher.confidence, p.argmax(0), UNKNOWN).astype(np.int32)
