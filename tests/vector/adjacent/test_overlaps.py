"""What happens to outlines that reach into each other."""

import numpy as np
import pytest
import shapely
import shapely.affinity
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from shapely import box

from geoseg.vector.adjacent.overlaps import TRIM_GAP_PX, reach_boxes, resolve_overlaps


def resolved(polygons, contours, iou):
    polygons, contours = (np.array(p, dtype=object) for p in (polygons, contours))
    kept, trimmed = resolve_overlaps(polygons, contours, np.array(iou))
    assert shapely.is_valid(polygons).all()
    assert shapely.area(polygons).sum() == pytest.approx(shapely.union_all(polygons).area)
    return polygons, kept.tolist(), trimmed.tolist()


def test_a_strip_along_a_wall_is_trimmed_from_the_worse_fit():
    polygons, kept, trimmed = resolved(
        [box(0, 0, 10, 10), box(9.5, 0, 20, 10)], [box(0, 0, 9, 10), box(10, 0, 20, 10)], [0.95, 0.9]
    )
    assert (kept, trimmed) == ([False, False], [False, True])
    assert polygons[0].equals(box(0, 0, 10, 10))
    assert polygons[1].bounds == pytest.approx((10 + TRIM_GAP_PX, 0, 20, 10))
    assert shapely.get_num_coordinates(polygons[1]) == 5  # its walls stay straight


def test_more_than_a_strip_is_given_up_for_the_contour():
    contours = [box(0, 0, 9, 10), box(10, 0, 20, 10)]
    polygons, kept, trimmed = resolved([box(0, 0, 10, 10), box(7, 0, 20, 10)], contours, [0.95, 0.8])
    assert (kept, trimmed) == ([False, True], [False, False])
    assert polygons[1].equals(contours[1])


def test_what_is_invalid_is_given_up_and_what_only_touches_is_left_alone():
    bow_tie = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    polygons, kept, trimmed = resolved(
        [bow_tie, box(10, 0, 20, 10), box(20, 0, 30, 10)],
        [box(0, 0, 9, 10), box(11, 0, 19, 10), box(21, 0, 30, 10)],
        [0.9, 0.9, 0.9],
    )
    assert kept == [True, False, False]
    assert not any(trimmed)
    assert polygons[1].equals(box(10, 0, 20, 10))


def test_the_neighbour_of_what_is_given_up_keeps_its_shape():
    far, house = (
        box(-40, 0, 10, 10),
        box(9, 0, 20, 10),
    )  # the first leaves the reach of its contour; the second fits worse
    polygons, kept, trimmed = resolved([far, house], [box(0, 0, 8, 10), box(9, 0, 20, 10.5)], [0.95, 0.9])
    assert (kept, trimmed) == ([True, False], [False, False])
    assert polygons[1].equals(house)


def test_a_row_of_overlapping_houses_all_keep_their_shape():
    houses = [box(10 * i, 0, 10 * i + 10.4, 10) for i in range(8)]
    contours = [box(10 * i + 0.5, 0, 10 * i + 9.5, 10) for i in range(8)]
    polygons, kept, trimmed = resolved(houses, contours, [0.95] * 8)
    assert not any(kept)
    assert sum(trimmed) == 7
    assert (shapely.area(polygons) > 95).all()


def rows_of_houses(seed, *, count=60):
    """Outlines that overlap here and there, with the contours they were made from."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 150, (count, 2)) * 1.0
    size = rng.integers(4, 9, (count, 2))
    contours, taken = [], None
    for (x, y), (w, h) in zip(corner, size, strict=True):
        house = box(x, y, x + w, y + h)
        if taken is None or not house.intersects(taken):
            contours.append(house)
            taken = house if taken is None else taken | house
    grown = [shapely.affinity.rotate(c.buffer(0.6, join_style="mitre"), rng.uniform(0, 8)) for c in contours]
    outlines = shapely.transform(np.array(grown, object), lambda xy: np.rint(xy * 1024) / 1024)
    return outlines, np.array(contours, object), np.round(rng.uniform(0.8, 1, len(contours)), 2)


def shifted(polygons, x, y):
    return shapely.transform(polygons, lambda xy: xy + np.array([x, y]))


@pytest.mark.parametrize("seed", range(5))
def test_groups_settle_alike_alone_and_together_wherever_the_pixels_begin(seed):
    outlines, contours, iou = rows_of_houses(seed)
    whole = outlines.copy()
    kept, trimmed = resolve_overlaps(whole, contours, iou)
    assert trimmed.any()
    reach = shapely.box(*reach_boxes(outlines, contours).T)
    ours, others = shapely.STRtree(reach).query(reach, predicate="intersects")
    group = connected_components(coo_array((np.ones(len(ours)), (ours, others)), shape=(len(reach),) * 2))[1]
    assert 1 < group.max() < len(group) - 1
    for number in range(group.max() + 1):
        members = np.flatnonzero(group == number)
        to = number * 1000.0 + 7, 123456.0
        alone, theirs = (shifted(p[members], *to) for p in (outlines, contours))
        kept_alone, trimmed_alone = resolve_overlaps(alone, theirs, iou[members])
        assert shapely.equals_exact(alone, shifted(whole[members], *to)).all()
        assert kept_alone.tolist() == kept[members].tolist()
        assert trimmed_alone.tolist() == trimmed[members].tolist()


def test_an_outline_far_outside_its_contour_and_a_firm_one_are_given_up():
    contours = [box(0, 0, 9, 10), box(100, 0, 110, 10)]
    polygons, kept, _ = resolved([box(0, 0, 40, 10), box(99, 0, 110, 10)], contours, [0.9, 0.9])
    assert kept == [True, False]
    assert polygons[0].equals(contours[0])
    outlines, theirs = np.array([box(99, 0, 110, 10)], object), np.array(contours[1:], object)
    assert resolve_overlaps(outlines, theirs, np.array([0.9]), locked=np.array([True]))[0].tolist() == [True]
    assert outlines[0].equals(contours[1])


def test_contours_that_overlap_end_as_they_were_and_exempt_pairs_are_left_alone():
    contours = [box(0, 0, 10, 10), box(4, 0, 20, 10)]
    polygons, contours = (np.array(p, object) for p in ([box(0, 0, 11, 10), box(3, 0, 20, 10)], contours))
    drawn = polygons.copy()
    kept, trimmed = resolve_overlaps(drawn, contours, np.array([0.9, 0.8]))
    assert kept.all()
    assert not trimmed.any()
    assert shapely.equals(drawn, contours).all()
    left_alone = polygons.copy()
    kept, trimmed = resolve_overlaps(left_alone, contours, np.array([0.9, 0.8]), exempt={(0, 1)})
    assert not (kept | trimmed).any()
    assert list(left_alone) == list(polygons)
