"""Thin tips of touching buildings: what becomes of them."""

import numpy as np
import pytest
import shapely
from shapely import box

from geoseg.vector.adjacent.teeth import without_teeth

NONE_KEPT = np.zeros(2, np.bool_)


def pair(tip):
    """Two houses with a common wall at x = 10; the first one has a tip along the north wall of the second, or free."""
    first = shapely.Polygon([(0, 0), (10, 0), (10, 10), *tip, (0, 11)])
    return np.array([first, box(10, 0, 20, 10)], object)


def test_a_tooth_along_a_neighbour_is_the_neighbours():
    houses = pair([(16, 10), (10, 11)])
    houses[1] = shapely.Polygon([(10, 0), (20, 0), (20, 10), (16, 10), (10, 10)])
    assert shapely.coverage_is_valid(houses)
    out = without_teeth(houses, NONE_KEPT)
    assert shapely.coverage_is_valid(out)
    assert shapely.area(out).sum() == pytest.approx(shapely.area(houses).sum())
    assert out[1].area == pytest.approx(103, abs=0.1)
    assert out[0].bounds[2] == pytest.approx(10, abs=0.1)
    assert without_teeth(houses, ~NONE_KEPT) is houses  # of what is kept nothing is taken


def test_a_tooth_that_stands_free_is_left_out_and_a_wide_corner_stays():
    out = without_teeth(pair([(10, 10.5), (14, 10.75), (10, 11)]), NONE_KEPT)
    assert out[0].bounds[2] == pytest.approx(10, abs=0.1)
    assert out[1].equals(box(10, 0, 20, 10))
    wedge = np.array([shapely.Polygon([(0, 0), (20, 0), (20, 12)]), box(20, 0, 30, 12)], object)
    assert without_teeth(wedge, NONE_KEPT) is wedge  # 31 degrees, but as wide as a house
