"""How near polygons are to their contours."""

import numpy as np
import pytest
import shapely
from shapely import affinity, box

from geoseg.vector.adjacent.tolerance import Closeness, ious
from geoseg.vector.pixels.places import simplified

SQUARE = np.ones(2)


def test_what_is_known_of_boxes():
    polygons = np.array([box(0, 0, 10, 10), box(0, 0, 10, 10)])
    contours = np.array([box(0, 0, 12.5, 10), box(-3, 0, 10, 10)])
    near = Closeness.of(polygons, contours, SQUARE)
    assert near.iou == pytest.approx([0.8, 10 / 13])
    assert near.deviation_m == pytest.approx([2.5, 3])
    assert near.rms_m[0] == pytest.approx(
        np.sqrt(3 * 2.5**2 / 5)
    )  # three of five vertices, since the first is the last too
    assert near.within(2.5).tolist() == [True, False]
    assert near.within(2.4).tolist() == [False, False]


def test_distances_are_metres_where_pixels_are_not_square():
    polygons, contours = np.array([box(0, 0, 10, 10)]), np.array([box(0, 0, 12, 11)])
    assert Closeness.of(polygons, contours, np.array([0.5, 3.0])).deviation_m == pytest.approx(np.hypot(1, 3))
    assert Closeness.of(polygons, contours, np.array([[0.5, 0.5]])).deviation_m == pytest.approx(0.5 * np.hypot(2, 1))


def test_an_empty_polygon_shares_nothing():
    near = Closeness.of(np.array([shapely.Polygon()]), np.array([box(0, 0, 1, 1)]), SQUARE)
    assert near.iou.tolist() == [0]
    assert not near.within(np.inf).any()


def test_whole_pixels_of_shift_change_no_bit():
    rng = np.random.default_rng(0)
    polygons = np.array([affinity.rotate(box(0, 0, *size), 33) for size in rng.uniform(3, 40, (20, 2))])
    contours = shapely.buffer(polygons, 0.7)
    shift = rng.integers(0, 100_000, 2)
    whole = [shapely.transform(p, lambda xy: np.rint(xy * 1024) / 1024) for p in (polygons, contours)]
    far = [shapely.transform(p, lambda xy: xy + shift) for p in whole]
    here, there = Closeness.of(*whole, SQUARE * 0.3), Closeness.of(*far, SQUARE * 0.3)
    for name in Closeness.__slots__:
        assert getattr(here, name).tobytes() == getattr(there, name).tobytes()
    np.testing.assert_allclose(
        ious(*whole), shapely.area(shapely.intersection(*whole)) / shapely.area(shapely.union(*whole))
    )


def test_of_large_outlines_the_distances_are_the_same(monkeypatch):
    rng = np.random.default_rng(1)
    stars = [
        np.stack([r * np.cos(t), r * np.sin(t)], 1)
        for t in [np.linspace(0, 2 * np.pi, 60)[:-1]]
        for r in rng.uniform(20, 40, (6, 59))
    ]
    contours = np.array([shapely.Polygon(star, [star[::-1] / 4]) for star in stars])
    polygons = shapely.simplify(contours, 4.0)
    plain = Closeness.of(polygons, contours, SQUARE)
    monkeypatch.setattr("geoseg.vector.adjacent.tolerance.LARGE", 0)
    indexed = Closeness.of(polygons, contours, SQUARE)
    np.testing.assert_allclose(indexed.deviation_m, plain.deviation_m)
    np.testing.assert_allclose(indexed.rms_m, plain.rms_m)
    assert plain.deviation_m.min() > 0.5


def test_a_simplified_contour_loses_pixel_steps_wherever_the_pixels_begin():
    corners = np.repeat(np.arange(31), 2)
    stairs = shapely.Polygon([*zip(corners[1:], corners[:-1], strict=True), (0, 30)])
    round_house = shapely.transform(shapely.Point(50.3, 20.7).buffer(7.2), lambda xy: np.rint(xy * 1024) / 1024)
    for contour, most in ((stairs, 6), (round_house, 20)):
        plain = simplified(contour)
        kept, own = ({tuple(xy) for xy in shapely.get_coordinates(p).tolist()} for p in (plain, contour))
        assert kept < own
        assert len(kept) <= most
        moved = simplified(affinity.translate(contour, 70_000, 130_000))
        assert affinity.translate(moved, -70_000, -130_000) == plain


def test_simplified_contours_of_a_block_still_share_their_walls():
    wall = [(20 + (i % 2) * 0.5, i / 2) for i in range(41)]
    left = shapely.Polygon([(0, 0), *wall, (0, 20)])
    right = shapely.Polygon([(40, 0), *wall, (40, 20)])
    plain = simplified(np.array([left, right]))
    assert shapely.coverage_is_valid(plain)
    assert shapely.get_num_coordinates(plain).max() < 12


def test_what_is_measured_is_what_geos_measures():
    rng = np.random.default_rng(2)
    drawn, seen = [], []
    for _ in range(40):
        x, y, side = rng.uniform(0, 20, 3)
        shell = affinity.rotate(box(x, y, x + 20 + side, y + 25), rng.uniform(0, 90))
        parts = [shell - affinity.scale(shell, 0.4, 0.4), box(-9, -9, -2, rng.uniform(-8, -1))]
        drawn.append(shapely.MultiPolygon(parts))
        seen.append(shapely.segmentize(shell.buffer(rng.uniform(-2, 2)) - box(20, 20, 26, 27), 1.0))
    drawn.append(seen[0])  # every edge in common
    polygons, contours = np.array(drawn), np.array([*seen, seen[0]])
    shared = shapely.area(shapely.intersection(polygons, contours))
    np.testing.assert_allclose(
        ious(polygons, contours), shared / shapely.area(shapely.union(polygons, contours)), rtol=1e-9
    )
    near = Closeness.of(polygons, contours, np.array([1.0, 1.0]))
    corner = np.floor(shapely.bounds(contours)[:, :2])
    for i in range(len(polygons)):
        outline, contour = (shapely.transform(s[i], lambda xy, i=i: xy - corner[i]) for s in (polygons, contours))
        far = shapely.distance(shapely.points(shapely.get_coordinates(contour)), shapely.boundary(outline))
        assert near.deviation_m[i] == far.max()
