"""Walls of touching buildings come to lie on the same lines, and their corners in the same points."""

import numpy as np
import pytest
import shapely
from shapely import affinity, box

from geoseg.vector.adjacent.borders import Borders, borders_between
from geoseg.vector.adjacent.common_walls import gather_corners, join_walls
from geoseg.vector.adjacent.directions import align
from geoseg.vector.adjacent.loops import Loops
from geoseg.vector.adjacent.split import split_block


def loops(*polygons):
    return Loops.of(np.array(polygons, object))


def joined(*polygons, degrees=0.0):
    turned = loops(*(affinity.rotate(p, degrees, origin=(0, 0)) for p in polygons))
    count = len(polygons)
    pairs = np.array([a * count + b for a in range(count) for b in range(count) if a != b], np.int64)
    borders = Borders(pairs, np.full(len(pairs), 10.0))  # as if all touched along ten units
    return [affinity.rotate(p, -degrees, origin=(0, 0)) for p in join_walls(turned, borders).polygons]


def gathered(*polygons):
    out, stuck = gather_corners(loops(*polygons), np.zeros(len(polygons), np.bool_))
    assert not stuck.any()
    return out.polygons


def split(fitted, contours, unit_px=1.0):
    anchors = np.array([shapely.get_coordinates(shapely.point_on_surface(c))[0] for c in contours])
    scale = np.full(2, 1 / unit_px)
    return split_block(np.array(fitted, object), np.array(contours, object), anchors, scale=scale)


@pytest.mark.parametrize("degrees", [0, 17, 61])
def test_walls_side_by_side_come_to_lie_on_one_line_between_them(degrees):
    a, b = joined(box(0, 0, 10, 10), box(10.6, 0.4, 20, 9.7), degrees=degrees)
    assert a.bounds[2] == pytest.approx(b.bounds[0], abs=1e-6)
    assert 10 < a.bounds[2] < 10.6
    assert a.bounds[1] == pytest.approx(b.bounds[1], abs=1e-6)
    assert len(a.exterior.coords) == len(b.exterior.coords) == 5


def test_a_slightly_turned_neighbour_takes_the_longer_walls_direction_and_keeps_its_right_angles():
    a, b = box(0, 0, 30, 12), box(30.3, 0, 40, 12)
    fitted, contours = ([a, affinity.rotate(b, degrees)] for degrees in (3, 1))
    _, turned = joined(*align(loops(*fitted), loops(*contours)).polygons)
    assert turned.area / shapely.minimum_rotated_rectangle(turned).area > 0.999
    xy = np.diff(shapely.get_coordinates(turned), axis=0)
    assert np.abs(xy).min(axis=1).max() < 1e-6  # along the axes, as the longer one's walls


def test_a_neighbour_that_its_contour_shows_to_be_turned_stays_so():
    polygons = loops(box(0, 0, 30, 12), affinity.rotate(box(30.3, 0, 60, 12), 9))
    assert align(polygons, polygons).polygons[1].equals(polygons.polygons[1])


def test_borders_are_the_edges_that_two_polygons_of_a_coverage_have_in_common():
    beside = shapely.Polygon([(10, 0), (20, 0), (20, 12), (10, 12), (10, 10)])
    borders = borders_between(loops(box(0, 0, 10, 10), beside, box(30, 0, 40, 10)))
    assert borders.pair.tolist() == [1, 3]  # 0 beside 1, and 1 beside 0, of three
    assert borders.length.tolist() == [10, 10]


def test_walls_across_an_alley_stay_apart_where_their_buildings_touch_elsewhere():
    polygons = loops(box(0, 0, 10, 30), box(11.5, 0, 20, 30))
    little = Borders(np.array([1, 2]), np.full(2, 4.0))
    assert shapely.hausdorff_distance(join_walls(polygons, little).polygons, polygons.polygons).max() < 1e-9


def test_walls_apart_or_turned_stay_where_they_are():
    far, slanted = box(12, 0, 20, 10), affinity.rotate(box(0, 12, 10, 20), 30)
    found = joined(box(0, 0, 10, 10), far, slanted)
    assert found[1].normalize().equals_exact(far.normalize(), 1e-6)
    assert found[2].normalize().equals_exact(slanted.normalize(), 1e-6)


def test_a_narrow_building_does_not_fold_onto_one_of_its_own_walls():
    (narrow,) = joined(box(0, 0, 20, 0.9))
    assert narrow.area == pytest.approx(18)


def test_corners_that_are_near_each_other_become_that_of_the_longest_walls():
    long, short = gathered(box(0, 0, 20, 20), box(20.3, 0, 24, 19.8))
    assert long.equals(box(0, 0, 20, 20))
    assert {(20, 0), (20, 20)} <= set(short.exterior.coords)


def test_a_building_that_gathering_would_break_keeps_its_corners_and_is_named():
    speck = box(30, 30, 30.5, 30.5)
    out, stuck = gather_corners(loops(box(0, 0, 20, 20), speck), np.zeros(2, np.bool_))
    assert out.polygons[1].equals(speck)
    assert stuck.tolist() == [False, True]


def test_where_three_meet_there_is_no_sliver_and_no_short_wall():
    contours = [box(0, 0, 40, 20), box(0, 20, 19, 40), box(19, 20, 40, 40)]
    fitted = [box(0, 0, 40, 19.7), box(0, 20.2, 18.6, 40), box(19.3, 19.8, 40, 40.4)]
    made = split(fitted, contours)
    assert shapely.coverage_is_valid(made.polygons)
    assert shapely.area(made.polygons).sum() == pytest.approx(shapely.union_all(made.polygons).area)
    assert shapely.get_num_coordinates(made.polygons).tolist() == [6, 5, 5]  # the first has the node of the others too
    assert np.isfinite(made.direction_deg).all()


def test_a_face_that_nobody_holds_goes_to_the_building_whose_contour_does():
    contours = [box(0, 0, 20, 20), box(20, 0, 40, 20)]
    made = split(
        [box(0, 0, 20, 20), shapely.Polygon([(20, 0), (40, 0), (40, 20), (20, 20), (20, 14), (26, 10), (20, 6)])],
        contours,
    )
    assert shapely.coverage_is_valid(made.polygons)
    assert shapely.area(made.polygons).tolist() == [400, 400]


@pytest.mark.parametrize("shift", [(0, 0), (70000, 1234)])
def test_a_shift_by_whole_pixels_changes_no_bit(shift):
    contours = [box(0, 0, 40, 20), box(0, 20, 19, 40), box(19, 20, 40, 40)]
    fitted = [box(0, 0, 40, 19.75), box(0, 20.25, 18.5, 40), box(19.25, 19.75, 40, 40.5)]
    moved = [[affinity.translate(p, *shift) for p in column] for column in (fitted, contours)]
    back = shapely.transform(split(*moved, unit_px=1.7).polygons, lambda xy: xy - shift)
    assert [p.wkb for p in back] == [p.wkb for p in split(fitted, contours, unit_px=1.7).polygons]
