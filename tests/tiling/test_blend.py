"""Blending in integers, against plain numpy and Python's own integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.errors import ModelError
from geoseg.tiling.blend import accumulate, finish, mean_members, quantise, row_counts, to_bytes
from geoseg.tiling.ramp import FULL, PROB_ONE
from geoseg.values.box import Box

seeds = st.integers(0, 2**32 - 1)


def byte(total):
    return 1 + (2 * 254 * int(total) + FULL) // (2 * FULL)


def test_quantise_is_rint_and_clips():
    rng = np.random.default_rng(0)
    prob = rng.random((3, 50, 60), np.float32)
    np.testing.assert_array_equal(quantise(prob), np.rint(prob * np.float32(PROB_ONE)).astype(np.uint32))
    edges = np.float32([[[-np.inf, -1e-3, 0, 1, 1.0000001, 2, np.inf]]])
    assert quantise(edges).tolist() == [[[0, 0, 0, PROB_ONE, PROB_ONE, PROB_ONE, PROB_ONE]]]
    halves = np.float32([0.5, 1.5, 2.5]) / np.float32(PROB_ONE)
    assert quantise(halves[None, None]).tolist() == [[np.rint(halves * np.float32(PROB_ONE)).tolist()]]


def test_quantise_takes_arrays_that_are_not_contiguous():
    prob = np.random.default_rng(1).random((4, 30, 20), np.float32)
    np.testing.assert_array_equal(quantise(prob.transpose(0, 2, 1)), quantise(prob).transpose(0, 2, 1))


def test_a_network_that_answers_nan_is_an_error():
    prob = np.full((2, 8, 8), 0.5, np.float32)
    prob[1, 7, 7] = np.nan
    with pytest.raises(ModelError, match="NaN"):
        quantise(prob)


@given(seeds, st.integers(1, 5))
def test_mean_of_members_is_rounded_once(seed, n):
    members = np.random.default_rng(seed).integers(0, PROB_ONE + 1, (n, 2, 3, 4), dtype=np.uint32)
    sums = members.astype(object).sum(0)
    want = np.vectorize(lambda s: (2 * s + n) // (2 * n))(sums)
    np.testing.assert_array_equal(mean_members(list(members)), want)


@given(seeds, st.integers(-30, 30), st.integers(-30, 30))
def test_accumulate_adds_weighted_integers_where_boxes_meet(seed, top, left):
    rng = np.random.default_rng(seed)
    box, window = Box(5, 7, 25, 40), Box(5 + top, 7 + left, 5 + top + 16, 7 + left + 24)
    probs = rng.integers(0, PROB_ONE + 1, (3, 16, 24), dtype=np.uint32)
    rows, cols = rng.integers(0, 129, 16, dtype=np.uint16), rng.integers(0, 129, 24, dtype=np.uint16)
    start = rng.integers(0, 1000, (3, *box.shape), dtype=np.uint32)
    acc = start.copy()
    accumulate(acc, box, probs=probs, window=window, weights=(rows, cols))
    canvas = np.zeros((3, 120, 120), np.int64)  # both boxes moved by 40, so that nothing is negative
    inside = np.s_[:, window.row0 + 40 : window.row1 + 40, window.col0 + 40 : window.col1 + 40]
    canvas[inside] = probs.astype(np.int64) * rows[:, None].astype(np.int64) * cols.astype(np.int64)
    np.testing.assert_array_equal(acc, start + canvas[:, 45:65, 47:80])


def test_certainty_under_full_weight_is_full_and_does_not_overflow():
    acc, box = np.zeros((1, 4, 4), np.uint32), Box(0, 0, 4, 4)
    full = np.full(4, 128, np.uint16)
    accumulate(acc, box, probs=np.full((1, 4, 4), PROB_ONE, np.uint32), window=box, weights=(full, full))
    assert (acc == FULL).all()


def test_bytes_are_exact_at_every_step():
    edges = [(2 * k + 1) * FULL // (2 * 254) for k in range(254)]  # where one byte turns into the next
    totals = sorted({min(max(e + d, 0), FULL) for e in edges for d in (-1, 0, 1)} | {0, 1, FULL - 1, FULL})
    got = to_bytes(np.array([totals], np.uint32), np.ones((1, len(totals)), bool))
    assert got[0].tolist() == [byte(t) for t in totals]
    assert set(got[0].tolist()) == set(range(1, 256))


def test_classes_sum_their_channels_and_stay_at_most_one():
    acc = np.array([[[FULL]], [[FULL // 2]], [[FULL // 2 + 9]], [[5]]], np.uint32)
    valid = np.ones((1, 1), np.bool_)
    for channels, sums in [((1, 0, 0, 2), [FULL, FULL, 5]), ((0, 0, 1, 2), [FULL, FULL // 2 + 9, 5])]:
        got = finish(acc, valid, class_of_channel=channels, class_ids=(7, 8, 9))
        assert got.probabilities.ravel().tolist() == [byte(total) for total in sums]
        assert got.classes.tolist() == [[7]]  # the first of equal ones


@given(seeds, st.integers(1, 6))
def test_ties_go_to_the_first_class(seed, n):
    sums = np.random.default_rng(seed).integers(0, 4, (n, 9, 11), dtype=np.uint32)
    got = finish(sums, np.ones((9, 11), np.bool_), class_of_channel=range(n), class_ids=range(1, n + 1))
    np.testing.assert_array_equal(got.classes, 1 + sums.argmax(0))


def test_the_largest_unsigned_values_are_told_apart():
    acc = np.array([[[FULL - 1, 2**31]], [[FULL, 2**31 - 1]]], np.uint32)
    got = finish(acc, np.ones((1, 2), np.bool_), class_of_channel=(0, 1), class_ids=(1, 2))
    assert got.classes.tolist() == [[2, 1]]


@given(seeds, st.integers(1, 5), st.integers(1, 9))
def test_pixels_of_a_class_are_counted_by_row(seed, height, width):
    classes = np.random.default_rng(seed).choice(np.uint8([0, 3, 7, 255]), (height, width))
    np.testing.assert_array_equal(row_counts(classes, (255, 3)), [(classes == i).sum(1) for i in (255, 3)])


@given(seeds, st.sampled_from([(1, 1), (1, 37), (63, 5), (64, 5), (65, 5), (150, 3)]))
def test_finish_equals_its_slow_self_and_nodata_is_exact(seed, shape):
    rng = np.random.default_rng(seed)
    acc = rng.integers(0, FULL // 4, (4, *shape), dtype=np.uint32)
    valid = rng.random(shape) < 0.7
    got = finish(acc, valid, class_of_channel=(2, 0, 1, 0), class_ids=(3, 7, 254))
    sums = np.stack([acc[1].astype(np.int64) + acc[3], acc[2], acc[0]])
    ids = np.array([3, 7, 254])
    np.testing.assert_array_equal(got.classes, np.where(valid, ids[sums.argmax(0)], 0))
    want = np.where(valid, np.vectorize(byte)(sums), 0)
    np.testing.assert_array_equal(got.probabilities, want)
    np.testing.assert_array_equal(got.confidence, want.max(0))
    for layer in (got.classes, got.confidence, *got.probabilities):
        np.testing.assert_array_equal(layer == 0, ~valid)
