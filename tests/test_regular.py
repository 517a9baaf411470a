"""What happens to outlines that reach into each other."""

import numpy as np
import pytest
import shapely
from shapely import box

from geoseg.polygons.regular import TRIM_GAP_PX, _settle


def settle(polygons, contours, iou):
    polygons, contours = (np.array(p, dtype=object) for p in (polygons, contours))
    kept, trimmed = _settle(polygons, contours, np.array(iou))
    assert shapely.is_valid(polygons).all()
    assert shapely.area(polygons).sum() == pytest.approx(shapely.union_all(polygons).area)
    return polygons, kept.tolist(), trimmed.tolist()


def test_a_strip_along_a_wall_is_trimmed_from_the_worse_fit():
    polygons, kept, trimmed = settle(
        [box(0, 0, 10, 10), box(9.5, 0, 20, 10)], [box(0, 0, 9, 10), box(10, 0, 20, 10)], [0.95, 0.9]
    )
    assert (kept, trimmed) == ([False, False], [False, True])
    assert polygons[0].equals(box(0, 0, 10, 10))
    assert polygons[1].bounds == pytest.approx((10 + TRIM_GAP_PX, 0, 20, 10))
    assert shapely.get_num_coordinates(polygons[1]) == 5  # its walls stay straight


def test_more_than_a_strip_is_given_up_for_the_contour():
    contours = [box(0, 0, 9, 10), box(10, 0, 20, 10)]
    polygons, kept, trimmed = settle([box(0, 0, 10, 10), box(7, 0, 20, 10)], contours, [0.95, 0.8])
    assert (kept, trimmed) == ([False, True], [False, False])
    assert polygons[1].equals(contours[1])


def test_what_is_invalid_is_given_up_and_what_only_touches_is_left_alone():
    bow_tie = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    polygons, kept, trimmed = settle(
        [bow_tie, box(10, 0, 20, 10), box(20, 0, 30, 10)],
        [box(0, 0, 9, 10), box(11, 0, 19, 10), box(21, 0, 30, 10)],
        [0.9, 0.9, 0.9],
    )
    assert kept == [True, False, False]
    assert not any(trimmed)
    assert polygons[1].equals(box(10, 0, 20, 10))


def test_a_row_of_overlapping_houses_all_keep_their_shape():
    houses = [box(10 * i, 0, 10 * i + 10.4, 10) for i in range(8)]
    contours = [box(10 * i + 0.5, 0, 10 * i + 9.5, 10) for i in range(8)]
    polygons, kept, trimmed = settle(houses, contours, [0.95] * 8)
    assert not any(kept)
    assert sum(trimmed) == 7
    assert (shapely.area(polygons) > 95).all()
