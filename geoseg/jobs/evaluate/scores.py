"""All scores of an evaluation, and their JSON."""

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np

from geoseg.jobs.evaluate.sides import BUILDING, BUILDINGS
from geoseg.trust import BoundaryMatch, Confusion, ObjectMatch, PolygonScores
from geoseg.values.classes import ClassInfo, ClassMap


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Scores on the judged ground; boundaries: by class id; objects, polygons: None unless both sides have polygons."""

    classes: ClassMap
    confusion: Confusion
    boundaries: dict[int, BoundaryMatch]
    objects: ObjectMatch | None
    polygons: PolygonScores | None
    tolerance_m: float

    @property
    def favourite(self) -> ClassInfo:
        """The class of the baseline that always answers the same: buildings, else the most frequent one."""
        truth = self.confusion.counts.sum(1)
        return self.classes.by_id(BUILDING if self.classes == BUILDINGS else int(truth.argmax()))

    @property
    def baseline(self) -> Confusion:
        """The confusion of always answering ``favourite``."""
        counts = np.zeros_like(self.confusion.counts)
        counts[:, self.favourite.id] = self.confusion.counts.sum(1)
        return Confusion(counts)

    def as_json(self) -> dict[str, Any]:
        """Return all scores as JSON values; what has no value is null."""
        ids = [c.id for c in self.classes]
        confusion, always = self.confusion, self.favourite
        return {
            "pixels": confusion.pixels,
            "classes": [
                {
                    "id": c.id,
                    "name": c.name,
                    "iou": _rounded(confusion.iou[c.id]),
                    "f1": _rounded(confusion.f1[c.id]),
                    "precision": _rounded(confusion.precision[c.id]),
                    "recall": _rounded(confusion.recall[c.id]),
                    "boundary_f1": _rounded(self.boundaries[c.id].f1),
                    "boundary_iou": _rounded(self.boundaries[c.id].iou),
                    "hd95_m": _rounded(self.boundaries[c.id].hd95_m),
                    "truth_px": int(confusion.counts[c.id].sum()),
                    "predicted_px": int(confusion.counts[:, c.id].sum()),
                }
                for c in self.classes
            ],
            "mean_iou": _rounded(confusion.mean_iou),
            "overall_accuracy": _rounded(confusion.overall_accuracy),
            "kappa": _rounded(confusion.kappa),
            "boundary_tolerance_m": self.tolerance_m,
            "confusion": {"ids": ids, "truth_by_prediction": confusion.counts[np.ix_(ids, ids)].tolist()},
            "objects": None if self.objects is None else _objects_json(self.objects),
            "polygons": None if self.polygons is None else _polygons_json(self.polygons),
            "baseline": {
                "always": always.name,
                "iou": _rounded(self.baseline.iou[always.id]),
                "f1": _rounded(self.baseline.f1[always.id]),
                "mean_iou": _rounded(self.baseline.mean_iou),
                "overall_accuracy": _rounded(self.baseline.overall_accuracy),
            },
        }


def _objects_json(objects: ObjectMatch) -> dict[str, Any]:
    return {
        "min_iou": 0.5,
        "f1": _rounded(objects.f1),
        "precision": _rounded(objects.precision),
        "recall": _rounded(objects.recall),
        "mean_iou": _rounded(objects.mean_iou),
        "panoptic_quality": _rounded(objects.panoptic_quality),
        "found": objects.tp,
        "invented": objects.fp,
        "missed": objects.fn,
    }


def _polygons_json(scores: PolygonScores) -> dict[str, Any]:
    return {name: value if isinstance(value, int) else _rounded(value) for name, value in asdict(scores).items()}


def _rounded(value: float) -> float | None:
    return round(float(value), 6) if isfinite(value) else None
