"""A building whose fitted walls stray goes back to its contour, and its neighbours' walls stay."""

import numpy as np
import pytest
import shapely
from shapely import box

from geoseg.vector.adjacent.repair import Tolerance, enforce_tolerance, simplified_contours

TOLERANCE = Tolerance(np.ones(2), 4.0)


def places(*polygons):
    return shapely.get_coordinates(shapely.centroid(np.array(polygons)))


def repaired(fitted, contours, tolerance=TOLERANCE):
    made = enforce_tolerance(np.array(fitted), np.array(contours), places(*contours), tolerance)
    assert shapely.is_valid(made.polygons).all()
    assert shapely.coverage_is_valid(made.polygons)
    assert shapely.get_parts(shapely.coverage_union_all(made.polygons)).size == 1
    return made


def test_what_is_within_its_bound_is_left_alone():
    houses = [box(0, 0, 20, 20), box(20, 0, 40, 20)]
    made = repaired(houses, [box(0, 0, 21, 20), box(21, 0, 40, 20)])
    assert all(a is b for a, b in zip(made.polygons, houses, strict=True))
    assert not made.unchanged.any()
    assert made.closeness.iou == pytest.approx([20 / 21, 19 / 20])


def test_one_astray_takes_its_ground_back_and_the_rest_stays():
    row = [box(0, 0, 20, 20), box(20, 0, 28, 20), box(28, 0, 60, 20), box(60, 0, 80, 20)]
    fitted = [row[0], box(20, 0, 25, 20), box(25, 0, 60, 20), row[3]]  # the third covers some of the second
    made = repaired(fitted, row)
    assert made.unchanged.tolist() == [False, True, False, False]
    assert shapely.equals(made.polygons, row).all()
    assert shapely.get_num_coordinates(made.polygons).tolist() == [5, 5, 5, 5]


def test_ground_that_is_given_up_goes_to_whom_the_contours_give_it():
    row = [box(0, 0, 20, 20), box(20, 0, 28, 20), box(28, 0, 48, 20)]
    between = [
        (17, -3),
        (17, 0),
        (17, 20),
        (17, 23),
        (31, 23),
        (31, 20),
        (31, 0),
        (31, -3),
    ]  # reaches into both, and out
    fitted = [box(0, 0, 17, 20), shapely.Polygon(between), box(31, 0, 48, 20)]
    made = repaired(fitted, row)
    assert made.unchanged.tolist() == [False, True, False]
    assert shapely.equals(made.polygons, row).all()


def test_a_missing_one_comes_back_also_where_the_fit_has_no_ground():
    contours = [box(0, 0, 20, 20), box(20, 5, 26, 15)]
    made = repaired([box(0, 0, 21, 20), shapely.Polygon()], contours)
    assert made.unchanged.tolist() == [False, True]
    assert made.polygons[1].equals(contours[1])
    assert made.polygons[0].equals(box(0, 0, 21, 20) - contours[1])


def test_a_gap_that_opens_is_the_neighbour_s():
    contours = [box(0, 0, 20, 20), box(20, 5, 26, 15), box(-20, 0, 0, 20)]
    made = repaired([box(0, 0, 18, 20), shapely.Polygon(), contours[2]], contours)
    assert made.unchanged.tolist() == [False, True, False]
    assert made.polygons[0].equals(shapely.union(box(0, 0, 18, 20), box(18, 0, 20, 20)))


def test_without_a_bound_only_missing_ones_are_replaced():
    contours = [box(0, 0, 20, 20), box(20, 0, 40, 20)]
    far = [box(0, 0, 35, 20), box(35, 0, 40, 20)]
    made = repaired(far, contours, tolerance=None)
    assert shapely.equals(made.polygons, far).all()
    assert made.closeness is None
    assert repaired([far[0], shapely.Polygon()], contours, tolerance=None).unchanged.tolist() == [False, True]


def stairs(count):
    corners = np.repeat(np.arange(count + 1), 2)
    return shapely.Polygon([*zip(corners[1:], corners[:-1], strict=True), (0, count)])


@pytest.mark.parametrize(("count", "points"), [(30, 4), (4, None)])
def test_contours_lose_steps_unless_that_is_too_much(count, points):
    contour = stairs(count)
    (simple,) = simplified_contours(np.array([contour]), TOLERANCE)
    assert simple.intersection(contour).area >= 0.8 * simple.union(contour).area
    if points is None:
        assert simplified_contours(np.array([contour]), Tolerance(np.ones(2), 0.1))[0].equals(contour)
    else:
        assert shapely.get_num_coordinates(simple) <= points + 2


def test_no_house_is_lost_where_all_are_astray():
    contours = [box(0, 0, 5, 20), box(5, 0, 10, 20)]
    made = repaired([box(0, 0, 9, 20), box(9, 0, 10, 20)], contours)
    assert made.unchanged.all()
    assert shapely.equals(made.polygons, contours).all()
