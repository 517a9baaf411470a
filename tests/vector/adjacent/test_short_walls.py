"""Short walls of touching buildings: which go, and what holds them back."""

import numpy as np
import pytest
import shapely
from shapely import box

from geoseg.vector.adjacent.short_walls import without_short_walls


def always(polygons, members):
    return True


def never(polygons, members):
    return False


def jogged(step):
    """Two houses side by side whose common wall has a step at half its height."""
    wall = [(10, 0), (10, 5), (10 + step, 5), (10 + step, 10)]
    west = shapely.Polygon([(0, 0), *wall, (0, 10)])
    return np.array([west, shapely.Polygon([*wall, (20, 10), (20, 0)])], object)


def corners(polygons):
    return [len(shapely.get_coordinates(shapely.simplify(p, 0))) - 1 for p in polygons]


def test_a_step_in_a_common_wall_goes_and_the_wall_stays_common():
    houses = jogged(0.8)
    out = without_short_walls(houses, always)
    assert corners(out) == [4, 4]
    assert shapely.coverage_is_valid(out)
    assert shapely.area(out).sum() == pytest.approx(200)


def test_a_step_as_deep_as_a_room_stays():
    houses = jogged(3.5)  # half the wall is 17.5 square units of ground
    assert corners(without_short_walls(houses, always)) == [6, 6]


def test_what_the_contours_refuse_stays():
    houses = jogged(0.8)
    assert shapely.equals_exact(without_short_walls(houses, never), houses, normalize=True).all()


def test_two_walls_that_end_on_a_third_from_both_sides_meet_in_one_corner():
    houses = np.array([box(0, 0, 10, 8), box(10, 0, 20, 8), box(0, 8, 10.6, 16), box(10.6, 8, 20, 16)], object)
    ends = [(10, 8), (10.6, 8)]
    houses = np.array([shapely.snap(h, shapely.multipoints(ends), 0) for h in houses])
    lower = shapely.Polygon([(10, 0), (20, 0), (20, 8), (10.6, 8), (10, 8)])
    upper = shapely.Polygon([(0, 8), (10, 8), (10.6, 8), (10.6, 16), (0, 16)])
    houses[1], houses[2] = lower, upper
    assert shapely.coverage_is_valid(houses)
    out = without_short_walls(houses, always)
    assert shapely.coverage_is_valid(out)
    assert corners(out) == [4, 4, 4, 4]
    assert len(np.unique(shapely.get_coordinates(out), axis=0)) == 9


def test_a_chamfer_becomes_a_corner():
    house = shapely.Polygon([(0, 0), (12, 0), (12, 9), (11, 10), (0, 10)])
    tower = shapely.Polygon([(12, 0), (20, 0), (20, 20), (12, 20), (12, 9)])
    out = without_short_walls(np.array([house, tower], object), always)
    assert corners(out)[0] == 4
    assert out[0].equals(box(0, 0, 12, 10))


@pytest.mark.parametrize(("y", "x"), [(0, 10), (10, 10.8)])  # where the wall ends in the south and in the north
def test_corners_on_a_cut_stay_there(y, x):
    cut = np.array([shapely.LineString([(-5, y), (25, y)])], object)
    out = without_short_walls(jogged(0.8), always, cut)
    assert corners(out) == [4, 4]
    xy = shapely.get_coordinates(out)
    assert set(xy[xy[:, 1] == y, 0]) == {0, x, 20}
    assert shapely.coverage_is_valid(out)


def test_the_order_of_the_houses_changes_no_corner():
    houses = jogged(0.8)
    out = without_short_walls(houses, always)
    turned = without_short_walls(houses[::-1].copy(), always)
    assert shapely.equals_exact(turned[::-1], out, normalize=True).all()
