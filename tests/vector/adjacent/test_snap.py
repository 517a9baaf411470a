"""Where the borders within a block meet its outline."""

import numpy as np
import pytest
import shapely

from geoseg.vector.adjacent.borders import Border
from geoseg.vector.adjacent.snap import SNAP_PX, alternative_snaps, snap_to_outline, walls_of
from geoseg.vector.adjacent.split import split_block

# Two rooms and a narrow door between them, left of which the outline has a notch.
ROOMS = shapely.Polygon(
    [(0, 0), (40, 0), (40, 30), (24, 30), (24, 34), (40, 34), (40, 60), (0, 60), (0, 34), (18, 34), (18, 30), (0, 30)]
)


def border(*xy, ends_on_outline=(True, True)):
    points = np.array(xy, float)
    return Border(points, points, ends_on_outline)


def door_is_shut(line):
    return len(shapely.get_parts(shapely.difference(ROOMS, shapely.LineString(line).buffer(0.1)))) == 2


@pytest.mark.parametrize("ends_on_outline", [(True, True), (False, True)])
def test_other_landings_lie_on_the_outline_nearest_first(ends_on_outline):
    door = border((17, 33), (25, 31), ends_on_outline=ends_on_outline)
    lines = list(alternative_snaps(ROOMS, door))
    ends = np.array([[line[0], line[-1]] for line in lines])
    moves = np.hypot(*(ends - door.traced[[0, -1]]).transpose(2, 0, 1))
    assert len(lines) > 4
    assert shapely.distance(shapely.points(ends), ROOMS.boundary).max() == 0
    assert moves.max() <= SNAP_PX + 2  # the last two to a corner
    assert moves[0].sum() == pytest.approx(moves.sum(axis=1).min(), abs=2)


def test_a_line_of_no_length_is_no_landing():
    assert all((line[0] != line[-1]).any() for line in alternative_snaps(ROOMS, border((21, 31), (21, 33))))


def test_a_far_border_has_no_other_landings():
    assert not list(alternative_snaps(ROOMS, border((10, 12), (30, 14))))


@pytest.mark.parametrize("shift", [(0, 0), (70000, 1234)])
def test_a_border_that_misses_the_door_parts_its_rooms_all_the_same(shift):
    contour = shapely.union_all([shapely.box(0, 0, 40, 30), shapely.box(14, 30, 19, 34), shapely.box(0, 34, 40, 60)])
    traced = np.array([(13.5, 32.5), *((x, 32.0) for x in range(14, 20)), (19.5, 31.5)])
    lost = Border(np.array([(17.0, 33.0), (17.0, 31.0)]), traced, (True, True))
    assert not door_is_shut(snap_to_outline(ROOMS, walls_of(ROOMS), lost)[0])
    by = np.array(shift, float)
    moved = [shapely.transform(shape, lambda xy: xy + by) for shape in (ROOMS, contour)]
    split = split_block(*moved, [lost.moved(by)], np.array([(20, 15), (20, 45)]) + by)
    assert split is not None
    assert not split.unchanged.any()
    assert shapely.coverage_is_valid(split.polygons)
    assert shapely.area(split.polygons).sum() == ROOMS.area
    back = shapely.transform(split.polygons, lambda xy: xy - by)
    assert shapely.area(back) == pytest.approx([40 * 30, 40 * 26], abs=6 * 4)


def test_a_building_that_the_fitted_outline_leaves_out_keeps_its_contour():
    contour = shapely.box(0, 0, 60, 30)
    line = border((40, -0.5), (40, 30.5))
    split = split_block(shapely.box(0, 0, 38, 30), contour, [line], np.array([(20, 15), (50, 15)]))
    assert split is not None
    assert split.unchanged.tolist() == [False, True]
    assert split.next_to_unchanged.tolist() == [True, False]
    assert shapely.area(split.polygons).tolist() == [1200, 600]
