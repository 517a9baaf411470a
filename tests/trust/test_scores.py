import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geoseg.errors import InputError
from geoseg.trust import BoundaryMatch, Confusion, match_boundaries

IDS = arrays(np.uint8, (5, 7), elements=st.integers(0, 3))
MASKS = arrays(np.bool_, (7, 8))


def test_confusion_of_six_pixels_by_hand():
    truth = np.array([[1, 1, 1, 2, 2, 0]])
    predicted = np.array([[1, 1, 2, 2, 0, 1]])
    c = Confusion.empty(3).add(truth, predicted)
    assert c.counts[1:, 1:].tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert c.pixels == 4
    np.testing.assert_allclose(c.iou, [np.nan, 2 / 3, 1 / 2, np.nan])
    np.testing.assert_allclose(c.precision, [np.nan, 1, 1 / 2, np.nan])
    np.testing.assert_allclose(c.recall, [np.nan, 2 / 3, 1, np.nan])
    np.testing.assert_allclose(c.f1, [np.nan, 4 / 5, 2 / 3, np.nan])
    assert c.mean_iou == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert c.overall_accuracy == 3 / 4


@given(IDS, IDS)
def test_confusion_equals_a_naive_count_and_adds_up_by_blocks(truth, predicted):
    whole = Confusion.empty(3).add(truth, predicted)
    for t in range(4):
        for p in range(4):
            naive = sum(a == t and b == p for a, b in zip(truth.flat, predicted.flat, strict=True) if a and b)
            assert whole.counts[t, p] == naive
    top = Confusion.empty(3).add(truth[:2], predicted[:2])
    blocks = top + Confusion.empty(3).add(truth[2:], predicted[2:])
    assert (blocks.counts == whole.counts).all()


def test_a_class_that_only_one_side_has_scores_zero_and_one_that_none_has_scores_nothing():
    c = Confusion.empty(3).add(np.array([1, 1]), np.array([1, 2]))
    assert c.iou[2] == 0
    assert math.isnan(c.iou[3])
    assert c.mean_iou == 1 / 4
    assert math.isnan(Confusion.empty(2).mean_iou)
    assert math.isnan(Confusion.empty(2).overall_accuracy)


def test_confusion_refuses_unknown_ids_and_other_shapes():
    with pytest.raises(InputError, match="prediction holds ids"):
        Confusion.empty(2).add(np.array([1]), np.array([3]))
    with pytest.raises(InputError, match="one grid"):
        Confusion.empty(2).add(np.array([1]), np.array([1, 2]))


def naive_boundary(mask, valid):
    out = []
    for r, c in np.argwhere(mask & valid):
        near = [(r + a, c + b) for a, b in ((0, 1), (1, 0), (0, -1), (-1, 0))]
        near = [(a, b) for a, b in near if 0 <= a < mask.shape[0] and 0 <= b < mask.shape[1]]
        if all(valid[n] for n in near) and any(not mask[n] for n in near):
            out.append((r, c))
    return out


def naive_hits(pixels, others, tolerance_m, size):
    return sum(
        any(math.hypot((r - a) * size[0], (c - b) * size[1]) <= tolerance_m + 1e-9 for a, b in others)
        for r, c in pixels
    )


@given(MASKS, MASKS, st.sampled_from([0.0, 0.3, 1.0, 2.5]), st.sampled_from([(1.0, 1.0), (0.3, 0.1)]), MASKS)
def test_boundaries_equal_a_naive_search(truth, predicted, tolerance_m, size, hidden):
    valid = ~(hidden & truth)
    found = match_boundaries(truth, predicted, tolerance_m=tolerance_m, pixel_size_m=size, valid=valid)
    t, p = naive_boundary(truth, valid), naive_boundary(predicted, valid)
    hits = naive_hits(p, t, tolerance_m, size), naive_hits(t, p, tolerance_m, size)
    assert (found.predicted, found.predicted_hit, found.truth, found.truth_hit) == (len(p), hits[0], len(t), hits[1])
    rims = [set(naive_rim(m & valid, edge, tolerance_m, size)) for m, edge in ((truth, t), (predicted, p))]
    assert (found.band, found.band_hit) == (len(rims[0] | rims[1]), len(rims[0] & rims[1]))


def naive_rim(mask, edge, tolerance_m, size):
    return [tuple(at) for at in np.argwhere(mask) if naive_hits([at], edge, tolerance_m, size)]


@given(MASKS, MASKS, st.sampled_from([(1.0, 1.0), (0.3, 0.1)]))
def test_hd95_is_the_larger_quantile_and_adds_up_by_blocks(truth, predicted, size):
    """One of 95 % of the pixels, not between two: what blocks count adds up."""

    def of(counted=(slice(None), slice(None))):
        return match_boundaries(truth, predicted, tolerance_m=0.1, pixel_size_m=size, reach_m=99, counted=counted)

    everywhere = np.ones(truth.shape, bool)
    t, p = naive_boundary(truth, everywhere), naive_boundary(predicted, everywhere)
    found = of()
    assert of((slice(0, 3), slice(None))) + of((slice(3, None), slice(None))) == found
    if not t or not p:
        assert math.isinf(found.hd95_m) if t or p else math.isnan(found.hd95_m)
        return
    directed = (
        [min(math.hypot((r - a) * size[0], (c - b) * size[1]) for a, b in others) for r, c in own]
        for own, others in ((t, p), (p, t))
    )
    right = max(np.quantile(d, 0.95, method="inverted_cdf") for d in directed)
    assert found.hd95_m == pytest.approx(right, abs=1e-6)


def test_boundary_f1_of_a_shifted_square_by_hand():
    truth, predicted = np.zeros((12, 12), bool), np.zeros((12, 12), bool)
    truth[2:7, 2:7] = True
    predicted[2:7, 4:9] = True  # two pixels to the right, 16 boundary pixels each
    near = match_boundaries(truth, predicted, tolerance_m=0.5, pixel_size_m=(0.5, 0.25))
    assert near.f1 == 1.0
    exact = match_boundaries(truth, predicted, tolerance_m=0.0, pixel_size_m=(0.5, 0.25))
    assert (exact.predicted, exact.predicted_hit, exact.truth, exact.truth_hit) == (16, 6, 16, 6)
    assert exact.f1 == 6 / 16
    assert (exact.iou, near.iou) == (6 / 26, 15 / 35)
    assert math.isinf(exact.hd95_m)
    assert near.hd95_m == 0.5
    nothing = match_boundaries(truth, predicted & False, tolerance_m=1, pixel_size_m=(1, 1))
    assert nothing.f1 == 0
    assert (nothing + exact).truth == 32
    assert math.isnan(BoundaryMatch().f1)
