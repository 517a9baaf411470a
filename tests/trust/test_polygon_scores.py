"""Scores of polygons: against naive versions of their definitions, and by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import affinity

from geoseg.errors import InputError
from geoseg.trust import measure_pairs, overlap_area, polygon_scores, right_angle_shares, score_polygons

# No edge is a multiple of SAMPLE_M: turned, it would be a rounding error more or less.
HOUSE = shapely.Polygon([(0, 0), (12.1, 0), (12.1, 8.2), (6.8, 8.2), (6.8, 5.1), (0, 5.1)])
COURT = shapely.box(0, 0, 20.2, 20.2).difference(shapely.box(8, 8, 13.1, 12.2))


def array(*polygons):
    out = np.empty(len(polygons), object)
    out[:] = polygons
    return out


def rings_of(polygon):
    return [np.array(r.coords) for r in (polygon.exterior, *polygon.interiors)]


def naive_measures(t, p, tolerance):
    iou = t.intersection(p).area / t.union(p).area
    n_t, n_p = (sum(len(r) - 1 for r in rings_of(g)) for g in (t, p))

    def vertices(g, other):
        return [shapely.Point(xy).distance(other.boundary) for r in rings_of(g) for xy in r[:-1]]

    def samples(g, other):
        out = []
        for ring in rings_of(g):
            for a, b in pairwise(ring):
                n = math.ceil(math.dist(a, b) / polygon_scores.SAMPLE_M)
                out += [shapely.Point(a + (b - a) * k / n).distance(other.boundary) for k in range(n)]
        return np.array(out)

    precision, recall = (samples(p, t) <= tolerance).mean(), (samples(t, p) <= tolerance).mean()
    return (
        iou,
        iou * (1 - abs(n_p - n_t) / (n_p + n_t)),
        n_p / n_t,
        np.mean(vertices(t, p)) / 2 + np.mean(vertices(p, t)) / 2,
        max(samples(t, p).max(), samples(p, t).max()),
        2 * precision * recall / (precision + recall) if precision + recall else 0,
    )


def naive_right_angles(polygon):
    right = total = 0
    for ring in rings_of(polygon):
        for i in range(len(ring) - 1):
            a, b, c = ring[i - 1 if i else -2], ring[i], ring[i + 1]
            turn = math.degrees(math.atan2(*(b - a)[::-1]) - math.atan2(*(c - b)[::-1])) % 180
            right, total = right + (abs(turn - 90) < 2), total + 1
    return right / total


@given(
    st.sampled_from([HOUSE, COURT]),
    st.sampled_from([HOUSE, COURT]),
    st.floats(-20, 20),
    st.floats(-3, 3),
    st.sampled_from([0.5, 1.3]),
)
def test_measures_equal_their_naive_definitions(truth, predicted, angle, shift, tolerance):
    moved = affinity.translate(affinity.rotate(predicted, angle), shift, shift / 2)
    found = measure_pairs(array(truth, truth), array(moved, truth), tolerance_m=tolerance)
    np.testing.assert_allclose([m[0] for m in found], naive_measures(truth, moved, tolerance), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose([m[1] for m in found], (1, 1, 1, 0, 0, 1), atol=1e-9)
    assert right_angle_shares(array(moved, truth)) == pytest.approx([naive_right_angles(moved), 1])


def test_measures_of_many_pairs_do_not_depend_on_how_many_are_taken_at_once(monkeypatch):
    truth = array(*(affinity.rotate(g, a) for a in range(7) for g in (HOUSE, COURT)))
    predicted = array(*(affinity.translate(g, 0.4, -0.3) for g in truth))
    together = measure_pairs(truth, predicted)
    monkeypatch.setattr(polygon_scores, "PAIRS_AT_ONCE", 3)
    for once, often in zip(together, measure_pairs(truth, predicted), strict=True):
        np.testing.assert_array_equal(once, often)


def test_a_dented_house_by_hand():
    square = shapely.box(0, 0, 10, 10)
    dented = shapely.Polygon([(0, 0), (10, 0), (10, 10), (5, 8), (0, 10)])
    m = measure_pairs(array(square), array(dented))
    assert m.iou[0] == pytest.approx(0.9)
    assert m.n_ratio[0] == 5 / 4
    assert m.c_iou[0] == pytest.approx(0.9 * (1 - 1 / 9))
    assert m.polis_m[0] == pytest.approx(0.5 * 0 + 0.5 * 2 / 5)  # one vertex of five is 2 m off
    assert m.hausdorff_m[0] == 2
    turned = shapely.Polygon([(5, 8), (0, 10), (0, 0), (10, 0), (10, 10)])
    assert measure_pairs(array(square), array(turned)).polis_m == m.polis_m  # wherever a ring begins


def test_right_angles_within_two_degrees():
    def leaning(degrees):
        top = 10 * math.tan(math.radians(degrees))
        return shapely.Polygon([(0, 0), (20, 0), (20 + top, 10), (top, 10)])

    assert right_angle_shares(array(leaning(1.9), leaning(2.1))).tolist() == [1, 0]
    doubled = shapely.Polygon([(0, 0), (5, 0), (5, 0), (5, 5), (0, 5)])
    assert right_angle_shares(array(doubled)).tolist() == [1]  # an edge without length has no direction


def test_scores_of_a_set():
    truth = array(shapely.box(0, 0, 10, 10), shapely.box(20, 0, 30, 10), shapely.box(40, 0, 50, 10))
    predicted = array(
        shapely.box(0, 0, 10, 9.5),
        shapely.box(20, 0, 30, 8),
        shapely.box(29, 0, 35, 4),  # shares 1 x 4 m with the one before, and finds nothing
        shapely.Polygon([(60, 0), (70, 10), (70, 0), (60, 10)]),  # a bow tie
    )
    s = score_polygons(truth, predicted, confidence=np.array([0.9, 0.8, 0.1, 0.2]))
    assert (s.truth, s.predicted, s.matched) == (3, 4, 2)
    assert (s.f1_50, s.f1_75, s.f1_90) == pytest.approx((4 / 7, 4 / 7, 2 / 7))
    assert (s.iou, s.c_iou, s.n_ratio) == pytest.approx((0.875, 0.875, 1))
    assert (s.hausdorff_m, s.right_angle_share) == pytest.approx((1.25, 1))
    assert (s.valid_share, s.overlap_m2) == (3 / 4, 4)
    assert s.ap_50 == pytest.approx(67 / 101)
    assert s.ap < s.ap_50


def test_scores_where_there_is_nothing():
    none = np.empty(0, object)
    nothing = score_polygons(none, none)
    assert (nothing.truth, nothing.predicted, nothing.matched, nothing.overlap_m2) == (0, 0, 0, 0)
    assert math.isnan(nothing.f1_50)
    assert math.isnan(nothing.iou)
    missed = score_polygons(array(HOUSE), none)
    assert missed.f1_50 == 0
    assert math.isnan(missed.valid_share)
    assert math.isnan(missed.ap)


def test_overlap_counts_every_pair_once():
    assert overlap_area(array(*(shapely.box(x, 0, x + 10, 1) for x in (0, 8, 16)))) == 4
    assert overlap_area(array(shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1))) == 0


@pytest.mark.parametrize("other", [shapely.MultiPolygon([HOUSE]), shapely.Point(0, 0), None, shapely.Polygon()])
def test_what_is_no_polygon_is_refused(other):
    with pytest.raises(InputError, match="the prediction holds"):
        score_polygons(array(HOUSE), array(HOUSE, other))
