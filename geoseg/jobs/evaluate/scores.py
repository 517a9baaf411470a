"""All scores of an evaluation, and their JSON."""

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.jobs.evaluate.shapes import ClassObjects
from geoseg.jobs.evaluate.sides import BUILDING, BUILDINGS
from geoseg.trust import BoundaryMatch, Confusion, ObjectMatch, PolygonScores
from geoseg.values.classes import ClassInfo, ClassMap


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Scores on the judged ground.

    boundaries: by class id; objects, polygons: of buildings, None unless both sides are polygons; instances: by class
    id, where polygons of both sides have a class each.
    """

    classes: ClassMap
    confusion: Confusion
    boundaries: dict[int, BoundaryMatch]
    objects: ObjectMatch | None
    polygons: PolygonScores | None
    instances: dict[int, ClassObjects] | None
    tolerance_m: float
    things: tuple[int, ...] = ()
    """Classes of a panoptic map that ``instances`` are of; the others are stuff."""
    zones: NDArray[np.intp] | None = None
    """True and predicted objects in every zone, (2, Z)."""
    true_polygons: int | None = None
    """How many polygons of the truth the judged pixels lie in, where these have classes."""

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
            "true_polygons": self.true_polygons,
            "classes": [
                {
                    "id": c.id,
                    "name": c.name,
                    "iou": rounded(confusion.iou[c.id]),
                    "f1": rounded(confusion.f1[c.id]),
                    "precision": rounded(confusion.precision[c.id]),
                    "recall": rounded(confusion.recall[c.id]),
                    "boundary_f1": rounded(self.boundaries[c.id].f1),
                    "boundary_iou": rounded(self.boundaries[c.id].iou),
                    "hd95_m": rounded(self.boundaries[c.id].hd95_m),
                    "truth_px": int(confusion.counts[c.id].sum()),
                    "predicted_px": int(confusion.counts[:, c.id].sum()),
                }
                for c in self.classes
            ],
            "mean_iou": rounded(confusion.mean_iou),
            "overall_accuracy": rounded(confusion.overall_accuracy),
            "kappa": rounded(confusion.kappa),
            "boundary_tolerance_m": self.tolerance_m,
            "confusion": {"ids": ids, "truth_by_prediction": confusion.counts[np.ix_(ids, ids)].tolist()},
            "objects": None if self.objects is None else _objects_json(self.objects),
            "polygons": None if self.polygons is None else _polygons_json(self.polygons),
            "instances": None if self.instances is None else self._instances_json(self.instances),
            "panoptic": self._panoptic_json() if self.things and self.instances is not None else None,
            "zones": None if self.zones is None else _zones_json(self.zones),
            "baseline": {
                "always": always.name,
                "iou": rounded(self.baseline.iou[always.id]),
                "f1": rounded(self.baseline.f1[always.id]),
                "mean_iou": rounded(self.baseline.mean_iou),
                "overall_accuracy": rounded(self.baseline.overall_accuracy),
            },
        }

    def _instances_json(self, instances: dict[int, ClassObjects]) -> dict[str, Any]:
        """Return objects class by class, and the means over the classes that have any."""
        each = list(instances.values())
        return {
            "classes": [
                {
                    "id": i,
                    "name": self.classes.by_id(i).name,
                    **_objects_json(own.match),
                    "count_error": own.match.fp - own.match.fn,
                    "boundary_iou": rounded(own.boundary_iou),
                    "ap": rounded(np.mean(own.ap)),
                    "ap_50": rounded(own.ap[0]),
                }
                for i, own in instances.items()
            ],
            "panoptic_quality": rounded(_mean([own.match.panoptic_quality for own in each])),
            "map": rounded(_mean([float(np.mean(own.ap)) for own in each])),
            "map_50": rounded(_mean([own.ap[0] for own in each])),
        }

    def _panoptic_json(self) -> dict[str, Any]:
        """Return PQ over things, stuff and both; a class of stuff is one region, found above an IoU of 0.5."""
        assert self.instances is not None  # as_json has looked
        things = [own.match.panoptic_quality for own in self.instances.values()]
        iou = [float(self.confusion.iou[c.id]) for c in self.classes if c.id not in self.things]
        stuff = [value if not value <= 0.5 else 0.0 for value in iou]  # NaN, where there is none, stays
        return {
            "pq": rounded(_mean(things + stuff)),
            "pq_things": rounded(_mean(things)),
            "pq_stuff": rounded(_mean(stuff)),
        }


def _zones_json(zones: NDArray[np.intp]) -> dict[str, Any]:
    """Return the errors of counting, predicted less true, over the zones."""
    error = zones[1] - zones[0]
    return {
        "zones": len(error),
        "true": int(zones[0].sum()),
        "predicted": int(zones[1].sum()),
        "mean_error": rounded(error.mean()) if len(error) else None,
        "mean_absolute_error": rounded(np.abs(error).mean()) if len(error) else None,
    }


def _mean(values: list[float]) -> float:
    """Return the mean of those that have a value, NaN without any."""
    known = [v for v in values if isfinite(v)]
    return sum(known) / len(known) if known else float("nan")


def _objects_json(objects: ObjectMatch) -> dict[str, Any]:
    return {
        "min_iou": 0.5,
        "f1": rounded(objects.f1),
        "precision": rounded(objects.precision),
        "recall": rounded(objects.recall),
        "mean_iou": rounded(objects.mean_iou),
        "panoptic_quality": rounded(objects.panoptic_quality),
        "found": objects.tp,
        "invented": objects.fp,
        "missed": objects.fn,
    }


def _polygons_json(scores: PolygonScores) -> dict[str, Any]:
    return {name: value if isinstance(value, int) else rounded(value) for name, value in asdict(scores).items()}


def rounded(value: float | np.floating) -> float | None:
    """Return a score as JSON has it: six places, null where it has no value."""
    return round(float(value), 6) if isfinite(value) else None
