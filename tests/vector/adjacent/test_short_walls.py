"""Short walls of touching buildings: which go, and what holds them back."""

import numpy as np
import pytest
import shapely
from shapely import box

from geoseg.vector.adjacent import short_walls
from geoseg.vector.adjacent.limits import Limits
from geoseg.vector.adjacent.short_walls import without_short_walls
from geoseg.vector.pixels.cuts import NO_CUTS


def plainer(houses, cuts=NO_CUTS, *, far=100.0):
    """Without short walls, within so many units of what the houses were."""
    limits = Limits.of(houses, np.ones(2), far)
    return without_short_walls(houses, limits, np.ones(2), np.ones(len(houses), np.bool_), cuts)


def jogged(step):
    """Two houses side by side whose common wall has a step at half its height."""
    wall = [(10, 0), (10, 5), (10 + step, 5), (10 + step, 10)]
    west = shapely.Polygon([(0, 0), *wall, (0, 10)])
    return np.array([west, shapely.Polygon([*wall, (20, 10), (20, 0)])], object)


def corners(polygons):
    return [len(shapely.get_coordinates(shapely.simplify(p, 0))) - 1 for p in polygons]


def test_a_step_in_a_common_wall_goes_and_the_wall_stays_common():
    houses = jogged(0.8)
    out = plainer(houses)
    assert corners(out) == [4, 4]
    assert shapely.coverage_is_valid(out)
    assert shapely.area(out).sum() == pytest.approx(200)


def test_a_step_as_deep_as_a_room_stays():
    houses = jogged(3.5)  # half the wall is 17.5 square units of ground
    assert corners(plainer(houses)) == [6, 6]


def test_what_the_contours_refuse_stays():
    houses = jogged(0.8)
    assert shapely.equals_exact(plainer(houses, far=-1.0), houses, normalize=True).all()


def test_two_walls_that_end_on_a_third_from_both_sides_meet_in_one_corner():
    houses = np.array([box(0, 0, 10, 8), box(10, 0, 20, 8), box(0, 8, 10.6, 16), box(10.6, 8, 20, 16)], object)
    ends = [(10, 8), (10.6, 8)]
    houses = np.array([shapely.snap(h, shapely.multipoints(ends), 0) for h in houses])
    lower = shapely.Polygon([(10, 0), (20, 0), (20, 8), (10.6, 8), (10, 8)])
    upper = shapely.Polygon([(0, 8), (10, 8), (10.6, 8), (10.6, 16), (0, 16)])
    houses[1], houses[2] = lower, upper
    assert shapely.coverage_is_valid(houses)
    out = plainer(houses)
    assert shapely.coverage_is_valid(out)
    assert corners(out) == [4, 4, 4, 4]
    assert len(np.unique(shapely.get_coordinates(out), axis=0)) == 9


def test_a_chamfer_becomes_a_corner():
    house = shapely.Polygon([(0, 0), (12, 0), (12, 9), (11, 10), (0, 10)])
    tower = shapely.Polygon([(12, 0), (20, 0), (20, 20), (12, 20), (12, 9)])
    out = plainer(np.array([house, tower], object))
    assert corners(out)[0] == 4
    assert out[0].equals(box(0, 0, 12, 10))


@pytest.mark.parametrize(("y", "x"), [(0, 10), (10, 10.8)])  # where the wall ends in the south and in the north
def test_corners_on_a_cut_stay_there(y, x):
    cut = np.array([shapely.LineString([(-5, y), (25, y)])], object)
    out = plainer(jogged(0.8), cut)
    assert corners(out) == [4, 4]
    xy = shapely.get_coordinates(out)
    assert set(xy[xy[:, 1] == y, 0]) == {0, x, 20}
    assert shapely.coverage_is_valid(out)


def test_the_order_of_the_houses_changes_no_corner():
    houses = jogged(0.8)
    out = plainer(houses)
    turned = plainer(houses[::-1].copy())
    assert shapely.equals_exact(turned[::-1], out, normalize=True).all()


def scattered(seed):
    """Sixteen plots whose corners are scattered, some of them so far that walls are nearly crossed."""
    draw = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(np.arange(5) * 4.0, np.arange(5) * 4.0), axis=-1) + draw.uniform(-1.4, 1.4, (5, 5, 2))
    plots = [
        shapely.Polygon([places[i, k], places[i, k + 1], places[i + 1, k + 1], places[i + 1, k]])
        for i in range(4)
        for k in range(4)
    ]
    return np.array(plots, object)


def test_what_is_surely_sound_is_what_geos_finds_sound(monkeypatch):
    asked, grounds = [], [plots for plots in map(scattered, range(8)) if shapely.coverage_is_valid(plots)]
    is_sound = short_walls._is_sound
    monkeypatch.setattr(short_walls, "_is_sound", lambda walk: asked.append(walk) or is_sound(walk))
    outs = [plainer(plots) for plots in grounds]
    usual = len(asked)
    monkeypatch.setattr(short_walls, "surely_sound", lambda *_: False)
    monkeypatch.setattr(short_walls, "_walked_on", short_walls._walked_on.py_func)
    for plots, out in zip(grounds, outs, strict=True):
        assert shapely.coverage_is_valid(out)
        assert shapely.equals_exact(plainer(plots), out).all()
    assert usual < (len(asked) - usual) / 2 > 0  # most need no answer
