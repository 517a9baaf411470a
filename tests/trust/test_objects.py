"""Matching and average precision: by hand, and against naive versions."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geoseg.errors import InputError
from geoseg.trust import ObjectMatch, average_precision, match_objects
from geoseg.trust.objects import COCO_MIN_IOUS


def boxes(*bounds):
    out = np.empty(len(bounds), object)
    out[:] = [shapely.box(*b) for b in bounds]
    return out


def test_objects_match_one_to_one_best_first():
    truth = np.array([shapely.box(0, 0, 10, 10), shapely.box(20, 0, 30, 10), shapely.box(40, 0, 50, 10)], object)
    predicted = np.array(
        [
            shapely.box(0, 0, 10, 6),  # IoU 0.6 with the first, but the next is better
            shapely.box(0, 0, 10, 9),  # IoU 0.9
            shapely.box(20, 0, 30, 4.9),  # IoU 0.49: too little
            shapely.box(40, 0, 50, 5),  # IoU 0.5: just enough
        ],
        object,
    )
    found = match_objects(truth, predicted)
    assert (found.tp, found.fp, found.fn) == (2, 2, 1)
    assert found.iou_sum == pytest.approx(1.4)
    assert found.f1 == pytest.approx(4 / 7)
    assert (found.precision, found.recall) == pytest.approx((2 / 4, 2 / 3))
    assert match_objects(truth, predicted, min_iou=0.75).tp == 1


def test_objects_missing_on_one_side():
    boxes = np.array([shapely.box(0, 0, 1, 1)], object)
    none = np.empty(0, object)
    assert match_objects(boxes, none) == ObjectMatch(fn=1)
    assert match_objects(none, boxes) == ObjectMatch(fp=1)
    assert math.isnan(match_objects(none, none).f1)
    assert match_objects(boxes, none) + match_objects(none, boxes) == ObjectMatch(fp=1, fn=1)
    assert match_objects(boxes, none).f1 == 0


def naive_average_precision(truth, predicted, confidence, min_iou):
    """COCO's accumulate, spelled out."""
    free, hits = set(range(len(truth))), []
    for i in sorted(range(len(predicted)), key=lambda k: -confidence[k]):
        iou = {t: predicted[i].intersection(truth[t]).area / predicted[i].union(truth[t]).area for t in sorted(free)}
        best = max(iou, key=iou.__getitem__, default=None)
        hits.append(best is not None and iou[best] >= min_iou)
        if hits[-1]:
            free.remove(best)
    total = 0.0
    for recall in np.linspace(0, 1, 101):
        reached = [k for k in range(1, len(hits) + 1) if sum(hits[:k]) / len(truth) >= recall]
        total += max((sum(hits[:k]) / k for k in range(min(reached), len(hits) + 1)), default=0.0) if reached else 0.0
    return total / 101


squares = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=6, unique=True)


@given(squares, squares, st.randoms(use_true_random=False))
def test_average_precision_equals_a_naive_count(truth, predicted, random):
    t = boxes(*((3 * x, 3 * y, 3 * x + 7, 3 * y + 7) for x, y in truth))
    p = boxes(*((3 * x + 0.2, 3 * y + 0.1, 3 * x + 7.4, 3 * y + 7) for x, y in predicted))
    confidence = np.array(random.sample(range(10), len(p))) / 10
    found = average_precision(t, p, confidence)
    naive = [naive_average_precision(t, p, confidence, min_iou) for min_iou in COCO_MIN_IOUS]
    np.testing.assert_allclose(found, naive, atol=1e-12)


def test_average_precision_by_hand():
    truth = boxes((0, 0, 10, 10), (20, 0, 30, 10))
    predicted = boxes((50, 0, 60, 10), (0, 0, 10, 10), (20, 0, 30, 6))
    surest_is_wrong = average_precision(truth, predicted, np.array([0.9, 0.8, 0.7]))
    assert surest_is_wrong[0] == pytest.approx(2 / 3)  # from recall 0 on, the best precision ahead is 2 of 3
    assert surest_is_wrong[-1] == pytest.approx(51 / 101 * 1 / 2)  # at IoU 0.95 recall stops at a half
    surest_is_right = average_precision(truth, predicted, np.array([0.1, 0.8, 0.7]), min_ious=(0.5,))
    assert surest_is_right == 1


def test_average_precision_without_truth_predictions_or_confidences():
    one, none = boxes((0, 0, 1, 1)), np.empty(0, object)
    assert np.isnan(average_precision(none, one, np.ones(1))).all()
    assert (average_precision(one, none, np.ones(0)) == 0).all()
    with pytest.raises(InputError, match="one for each"):
        average_precision(one, one, np.ones(2))
