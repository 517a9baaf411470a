"""What becomes of blocks of touching buildings whose outline reaches into another polygon."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
from shapely import box

from geoseg.vector.adjacent.block import Block
from geoseg.vector.adjacent.split import cut_along, split_block
from geoseg.vector.fit.fit import ORTHO, UNCHANGED
from geoseg.vector.tiles.outlines import ComponentTable, Fit, Outlines

ROW = box(0, 0, 60, 20)
HALVES = [box(0, 0, 30, 20), box(30, 0, 60, 20)]


def outlines(*drawn, worst=0):
    """Outlines of (polygon, contour), one fitted worst; the first is a block of two houses that touch at x = 30."""
    polygons, contours = (np.array(column, object) for column in zip(*drawn, strict=True))
    n = len(polygons)
    of = ComponentTable(
        first_pixel=np.array([[0, 100 * i] for i in range(n)]),
        area_px=shapely.area(contours).astype(np.int64),
        byte_sum=np.full(n, 10**6),
        blocked_by_oversized=np.zeros(n, np.bool_),
    )
    fit = Fit(
        np.full(n, ORTHO, np.int8), np.zeros(n), np.zeros(n), np.zeros(n), np.where(np.arange(n) == worst, 0.9, 0.95)
    )
    line = np.array([(30, -0.5), (30, 20.5)])
    anchors = np.array([(15.0, 10.0), (45.0, 10.0)])
    found = Outlines(polygons, contours, fit.iou_contour, np.ones((n, 2)), np.full(n, 4.0), of, fit)
    return with_block(found, line, anchors)


def with_block(found, line, anchors):
    """The outlines with the first one parted along a line."""
    parts, contours = (cut_along(column[0], [line], anchors) for column in (found.polygons, found.contours))
    split = split_block(parts, contours, anchors, scale=np.ones(2), tolerance=found.tolerance(0))
    block = Block(anchors, (line,), shapely.area(contours).astype(np.int64), np.array([10**5] * 2), split)
    return replace(found, blocks=np.array([block, *[None] * (len(found) - 1)], object))


def resolved(*drawn, worst=0):
    found = outlines(*drawn, worst=worst).resolved()
    assert shapely.is_valid(found.polygons).all()
    assert shapely.area(found.polygons).sum() == pytest.approx(shapely.union_all(found.polygons).area)
    assert not found.out_of_tolerance.any()
    return found


def test_a_block_that_nobody_meets_is_its_halves():
    found = resolved((ROW, ROW), (box(70, 0, 90, 20), box(70, 0, 90, 20)))
    assert shapely.equals(found.polygons[:2], HALVES).all()
    assert found.fit.status.tolist() == [ORTHO] * 3
    assert found.components.area_px.tolist() == [600, 600, 400]


def test_a_block_is_trimmed_and_its_halves_with_it():
    found = resolved((box(0, 0, 61, 20), ROW), (box(60.5, 0, 80, 20), box(61, 0, 80, 20)))
    assert shapely.bounds(found.polygons[1])[2] == pytest.approx(60.5, abs=0.03)
    assert found.polygons[0].equals(HALVES[0])
    assert shapely.coverage_is_valid(found.polygons[:2])
    assert found.fit.status.tolist() == [ORTHO] * 3


def test_what_is_left_of_a_trimmed_half_must_do_for_it():
    """The strip is a tenth of the block, but most of one of its buildings: the block goes back to its contour."""
    halves = shapely.union(box(0, 0, 52, 20), box(52, 0, 60, 20))
    drawn = outlines((halves, ROW), (box(55, -1, 80, 21), box(61, 0, 80, 20)))
    line, anchors = np.array([(52, -0.5), (52, 20.5)]), np.array([(20.0, 10.0), (57.0, 10.0)])
    found = with_block(drawn, line, anchors).resolved()
    assert shapely.equals(found.polygons[:2], [box(0, 0, 52, 20), box(52, 0, 60, 20)]).all()
    assert found.fit.status.tolist()[:2] == [UNCHANGED, UNCHANGED]
    assert shapely.area(found.polygons).sum() == pytest.approx(shapely.union_all(found.polygons).area)


def test_a_block_taken_back_to_its_contour_is_cut_along_the_traced_borders():
    found = resolved((box(0, 0, 80, 20), ROW), (box(61, 0, 90, 20), box(61, 0, 90, 20)))
    assert shapely.equals(found.polygons[:2], HALVES).all()
    assert found.fit.status.tolist() == [UNCHANGED, UNCHANGED, ORTHO]
    assert np.isnan(found.fit.direction_deg[:2]).all()
    assert found.fit.iou_contour.tolist() == [1, 1, 0.95]


def test_hemmed_in_means_the_contour_itself():
    drawn = outlines((box(0, 0, 61, 20), ROW), (box(70, 0, 90, 20), box(70, 0, 90, 20)))
    found = replace(
        drawn, components=replace(drawn.components, blocked_by_oversized=np.array([True, False]))
    ).resolved()
    assert shapely.equals(found.polygons[:2], HALVES).all()
    assert found.fit.status.tolist() == [UNCHANGED, UNCHANGED, ORTHO]


def test_a_lone_polygon_that_would_lose_too_much_goes_back_to_its_contour():
    found = resolved((ROW, ROW), (box(59, -20, 72, 40), box(61, 0, 72, 40)), worst=1)
    assert found.fit.status.tolist() == [ORTHO, ORTHO, UNCHANGED]
    assert found.polygons[2].equals(box(61, 0, 72, 40))
