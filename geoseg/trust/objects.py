"""Objects found, invented and missed: polygons of a prediction matched one to one with polygons of the truth."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.errors import InputError

COCO_MIN_IOUS = tuple(round(0.5 + 0.05 * k, 2) for k in range(10))
COCO_RECALLS = np.linspace(0, 1, 101)


def ratio(part: float, whole: float) -> float:
    """Divide; NaN where there is nothing to divide by."""
    return part / whole if whole else float("nan")


@dataclass(frozen=True, slots=True)
class ObjectMatch:
    """Objects found (tp), invented (fp) and missed (fn), and the sum of the IoU of those found."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    iou_sum: float = 0.0

    @classmethod
    def of(cls, iou: NDArray[np.float64], truth: int, predicted: int) -> Self:
        """Return the counts of so many objects, of which those of ``iou`` (K,) are matched."""
        return cls(len(iou), predicted - len(iou), truth - len(iou), float(iou.sum()))

    def __add__(self, other: "ObjectMatch") -> "ObjectMatch":
        return ObjectMatch(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.iou_sum + other.iou_sum)

    @property
    def precision(self) -> float:
        """Share of predicted objects that are true; NaN without any."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of true objects that are found; NaN without any."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Object F1 = 2 TP / (2 TP + FP + FN); NaN where neither side has an object."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the objects found, the segmentation quality SQ; NaN without any."""
        return ratio(self.iou_sum, self.tp)

    @property
    def panoptic_quality(self) -> float:
        """PQ = SQ x RQ (Kirillov et al. 2019), where RQ is ``f1``; NaN where neither side has an object."""
        return ratio(2 * self.iou_sum, 2 * self.tp + self.fp + self.fn)


class Pairs(NamedTuple):
    """Indices of truth and prediction that belong together, and their IoU; all (K,)."""

    truth: NDArray[np.intp]
    predicted: NDArray[np.intp]
    iou: NDArray[np.float64]


def overlapping_pairs(truth: NDArray[np.object_], predicted: NDArray[np.object_]) -> Pairs:
    """Return every pair of valid polygons that share ground or touch, with the IoU: a ratio of planar areas."""
    of_truth, of_predicted = shapely.STRtree(predicted).query(truth, predicate="intersects")
    shared = shapely.area(shapely.intersection(truth[of_truth], predicted[of_predicted]))
    union = shapely.area(truth)[of_truth] + shapely.area(predicted)[of_predicted] - shared
    return Pairs(of_truth, of_predicted, shared / union)


def match_pairs(truth: NDArray[np.object_], predicted: NDArray[np.object_], *, min_iou: float = 0.5) -> Pairs:
    """Match valid polygons of one CRS one to one, best IoU first, where the IoU is at least ``min_iou``.

    Greedy matching as in the SpaceNet metric (Van Etten et al. 2018). Above an IoU of 0.5 and with no overlap inside a
    side no other matching is possible. Ties go to the earlier truth, then to the earlier prediction.
    """
    pairs = overlapping_pairs(truth, predicted)
    free_truth, free_predicted = np.ones(len(truth), bool), np.ones(len(predicted), bool)
    taken = []
    for k in np.lexsort((pairs.predicted, pairs.truth, -pairs.iou)):
        t, p = pairs.truth[k], pairs.predicted[k]
        if pairs.iou[k] >= min_iou and free_truth[t] and free_predicted[p]:
            free_truth[t] = free_predicted[p] = False
            taken.append(k)
    chosen = np.array(taken, np.intp)
    return Pairs(pairs.truth[chosen], pairs.predicted[chosen], pairs.iou[chosen])


def match_objects(truth: NDArray[np.object_], predicted: NDArray[np.object_], *, min_iou: float = 0.5) -> ObjectMatch:
    """Count the objects that ``match_pairs`` finds; any CRS will do, since the IoU is a ratio."""
    return ObjectMatch.of(match_pairs(truth, predicted, min_iou=min_iou).iou, len(truth), len(predicted))


def rim_ious(truth: NDArray[np.object_], predicted: NDArray[np.object_], width: float) -> NDArray[np.float64]:
    """Return the boundary IoU of pairs of valid polygons, (N,): that of their inner rims (Cheng et al. 2021).

    width: of the rims, in the units of the CRS, above 0.

    >>> rim_ious(np.array([shapely.box(0, 0, 10, 10)]), np.array([shapely.box(1, 0, 11, 10)]), 1).round(3)
    array([0.333])
    """
    rims = [shapely.difference(side, shapely.buffer(side, -width)) for side in (truth, predicted)]
    shared = shapely.area(shapely.intersection(*rims))
    return shared / (shapely.area(rims[0]) + shapely.area(rims[1]) - shared)


def average_precision(
    truth: NDArray[np.object_],
    predicted: NDArray[np.object_],
    confidence: NDArray[np.floating],
    *,
    min_ious: tuple[float, ...] = COCO_MIN_IOUS,
) -> NDArray[np.float64]:
    """Return the average precision at each of ``min_ious``; the mean over COCO_MIN_IOUS is COCO's AP.

    As in COCO (Lin et al. 2014): predictions in order of falling ``confidence`` (N,), ties in their own order, each
    takes the best truth that is left; the highest precision at or above each of 101 recalls, averaged. COCO's limit of
    100 detections per image does not apply. Valid polygons of one CRS; NaN without truth. Raises InputError where
    the confidences are not one per prediction.
    """
    if np.shape(confidence) != (len(predicted),):
        raise InputError(f"{np.shape(confidence)} confidences for {len(predicted)} predictions; give one for each")
    if not len(truth):
        return np.full(len(min_ious), np.nan)
    order = np.argsort(-np.asarray(confidence, np.float64), kind="stable")
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(len(order))
    pairs = overlapping_pairs(truth, predicted)
    by_rank = np.lexsort((pairs.truth, -pairs.iou, rank[pairs.predicted]))
    ranked = [(rank[pairs.predicted[k]], pairs.truth[k], pairs.iou[k]) for k in by_rank]
    return np.array([_precision_area(_hits(ranked, min_iou, len(predicted)), len(truth)) for min_iou in min_ious])


def _hits(ranked: list[tuple[int, int, float]], min_iou: float, count: int) -> NDArray[np.bool_]:
    """Return which of ``count`` ranked predictions find a truth, each the first of its pairs that is left."""
    hit, taken = np.zeros(count, bool), set()
    for rank, truth, iou in ranked:
        if iou >= min_iou and not hit[rank] and truth not in taken:
            hit[rank] = True
            taken.add(truth)
    return hit


def _precision_area(hit: NDArray[np.bool_], truths: int) -> float:
    found = np.cumsum(hit)
    precision = found / np.arange(1, len(hit) + 1)
    best_from_here = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(best_from_here[np.searchsorted(found / truths, COCO_RECALLS)].mean())
