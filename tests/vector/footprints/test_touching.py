"""Outlines that touch share their walls vertex by vertex once they are fitted."""

import numpy as np
import pytest
import shapely
from rasterio.features import rasterize, shapes
from scipy import ndimage
from shapely import affinity

from geoseg.vector.fit.fit import ORTHO, UNCHANGED
from geoseg.vector.footprints.imported import VectorRules, fit_polygons, ious, settle_polygons
from geoseg.vector.footprints.staircase import Steps
from geoseg.vector.footprints.touching import share_walls

SURVEYED = VectorRules(pixel_m=0.25)
PIXELS = VectorRules(pixel_m=0.5, steps=Steps(0.0, 0.5, 0.5))


def turned(polygons, degrees: float) -> np.ndarray:
    return np.array([affinity.rotate(p, degrees, origin=(0, 0)) for p in polygons], object)


def row_houses(depths) -> list[shapely.Polygon]:
    return [shapely.box(7 * i, 0, 7 * i + 7, depth) for i, depth in enumerate(depths)]


def vectorised(polygons, seed: int, size_m: float = 90.0) -> np.ndarray:
    """The polygons as a network's labels in pixels of half a metre, their edges wobbling, and vectorised as stairs."""
    rng = np.random.default_rng(seed)
    size = int(2 * size_m)
    wobble = [ndimage.gaussian_filter(rng.normal(size=(size, size)), 4) * 8 for _ in range(2)]
    places = np.indices((size, size)) + np.array(wobble)
    moved = shapely.transform(np.array(polygons, object), lambda xy: 2 * xy + 60)
    labels = rasterize(zip(moved, range(1, 99), strict=False), (size, size), dtype=np.int32)
    labels = ndimage.map_coordinates(labels, places, order=0)
    for k in range(1, len(polygons) + 1):  # each in one piece
        pieces, _ = ndimage.label(labels == k)
        largest = np.bincount(pieces.ravel())[1:].argmax() + 1
        labels[(pieces > 0) & (pieces != largest)] = 0
    found = {int(v): shapely.geometry.shape(g) for g, v in shapes(labels, mask=labels > 0)}
    return np.array([affinity.affine_transform(found[k], [0.5, 0, 0, -0.5, 0, 0]) for k in sorted(found)], object)


def regular(outlines, rules):
    polygons, fit = fit_polygons(outlines, rules)
    walled, fit, shared = share_walls(polygons, outlines, fit, rules)
    settled, fit, trimmed = settle_polygons(walled, outlines, fit, rules)
    assert not trimmed[shared].any()
    return settled, fit, shared


def assert_block(polygons, outlines, *, closest_m: float) -> None:
    assert shapely.is_valid(polygons).all()
    assert shapely.coverage_is_valid(polygons)  # without overlap, and shared walls vertex by vertex
    union = shapely.coverage_union_all(polygons)
    assert union.geom_type == "Polygon"
    assert not union.interiors  # no gap
    assert shapely.area(polygons).sum() == pytest.approx(shapely.union_all(polygons).area, rel=1e-12)
    assert shapely.hausdorff_distance(polygons, outlines).max() < closest_m


@pytest.mark.parametrize("degrees", [0, 20, 45, 77.7])
def test_row_houses_as_drawn_keep_their_corners_and_share_their_walls(degrees):
    outlines = turned(row_houses([12, 14, 12, 12, 9]), degrees)
    polygons, fit, shared = regular(outlines, SURVEYED)
    assert shared.all()
    assert (fit.status == ORTHO).all()
    assert (fit.iou_contour > 0.99).all()
    assert_block(polygons, outlines, closest_m=0.1)


@pytest.mark.parametrize("seed", range(6))
def test_row_houses_as_labels_share_straight_walls(seed):
    outlines = vectorised(turned(row_houses([12, 14, 12, 12, 9]), 13 * seed - 30), seed)
    polygons, fit, shared = regular(outlines, PIXELS)
    assert shared.all()
    assert_block(polygons, outlines, closest_m=3)
    assert (ious(polygons, outlines) > 0.85).all()
    assert shapely.get_num_coordinates(polygons).max() <= 12  # stairs have about 100
    assert (fit.deviation_m < 3).all()


def test_walls_that_meet_in_a_point_and_a_house_in_a_court_are_shared():
    quarter = [shapely.box(x, y, x + 10, y + 10) for x in (0, 10) for y in (0, 10)]
    court = shapely.box(40, 0, 70, 30)
    inner = shapely.box(50, 10, 60, 20)
    outlines = turned([*quarter, court.difference(inner), inner], 33)
    polygons, _, shared = regular(outlines, SURVEYED)
    assert shared.all()
    assert_block(polygons[:4], outlines[:4], closest_m=0.1)
    assert_block(polygons[4:], outlines[4:], closest_m=0.1)


def test_outlines_apart_in_a_corner_or_overlapping_are_no_blocks():
    apart = [shapely.box(0, 0, 10, 10), shapely.box(10.5, 0, 20, 10)]
    corner = [shapely.box(40, 0, 50, 10), shapely.box(50, 10, 60, 20)]
    over = [shapely.box(80, 0, 90, 10), shapely.box(89, 0, 99, 10)]
    outlines = turned([*apart, *corner, *over], 12)
    polygons, fit = fit_polygons(outlines, SURVEYED)
    walled, after, shared = share_walls(polygons, outlines, fit, SURVEYED)
    assert not shared.any()
    assert [a is b for a, b in zip(walled, polygons, strict=True)] == [True] * 6
    assert after.status.tolist() == fit.status.tolist()


def test_a_block_without_regular_shape_stays_as_its_parts_were_fitted():
    star = shapely.Point(0, 0).buffer(20).boundary.buffer(0.3)
    outlines = np.array([star, shapely.Point(0, 0).buffer(20).difference(star)], object)
    outlines[1] = max(shapely.get_parts(outlines[1]), key=shapely.area)
    polygons, fit, _ = regular(outlines, SURVEYED)
    assert shapely.is_valid(polygons).all()
    assert fit.status[0] == UNCHANGED or shapely.hausdorff_distance(polygons[0], star) < 1
