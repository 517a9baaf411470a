"""Polygons from elsewhere: fitted as rasters are, and neighbours settled."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.features import rasterize
from shapely import affinity
from test_staircase import blobs, staircases

from geoseg.vector import polygonize_probability
from geoseg.vector.fit.fit import AREA_CHANGE, LEAST_IOU, ORTHO, STATUS, UNCHANGED
from geoseg.vector.footprints.imported import VectorRules, fit_polygons, settle_polygons
from geoseg.vector.footprints.staircase import Steps

RULES = VectorRules(pixel_m=0.25)


def array(*polygons):
    out = np.empty(len(polygons), object)
    out[:] = polygons
    return out


@pytest.mark.parametrize("seed", range(4))
def test_staircases_become_what_their_raster_would(seed):
    mask = blobs(seed, size=120)
    stairs = shapely.transform(staircases(mask), lambda xy: xy * (0.5, -0.5))
    rules = VectorRules(pixel_m=0.5, steps=Steps(0.0, 0.5, 0.5))
    polygons, _, _ = settle_polygons(*(f := fit_polygons(stairs, rules))[:1], stairs, f[1], rules)
    raster = polygonize_probability(np.where(mask, 200, 55).astype(np.uint8), Affine(0.5, 0, 0, 0, -0.5, 0))
    assert len(polygons) == len(raster)
    for polygon in polygons:
        other = max(raster, key=lambda r: r.intersection(polygon).area)
        assert shapely.hausdorff_distance(polygon, other) < 1e-3


def test_a_shaky_outline_gets_right_corners_and_a_clean_one_its_own_back():
    rng = np.random.default_rng(4)
    house = affinity.rotate(shapely.Polygon([(0, 0), (14, 0), (14, 9), (8, 9), (8, 6), (0, 6)]), 31)
    line = shapely.segmentize(house, 1.0)
    shaky = shapely.transform(line, lambda xy: np.r_[m := xy[:-1] + rng.uniform(-0.15, 0.15, (len(xy) - 1, 2)), m[:1]])
    polygons, fit = fit_polygons(array(house, shaky), RULES)
    assert [STATUS[s] for s in fit.status] == ["ortho", "ortho"]
    for polygon, closest in zip(polygons, (0.02, 0.2), strict=True):
        assert len(polygon.exterior.coords) == 7
        assert shapely.hausdorff_distance(polygon, house) < closest
    np.testing.assert_allclose(fit.direction_deg, 90 - 31, atol=0.7)  # clockwise from north
    assert (fit.iou_contour > [0.99, 0.95]).all()
    assert (fit.deviation_m < [0.05, 0.4]).all()


def test_holes_stay_and_what_has_no_shape_is_kept():
    court = shapely.box(0, 0, 20, 20).difference(shapely.box(6, 6, 14, 14)).difference(shapely.box(1, 1, 1.1, 1.1))
    speck, star = shapely.box(0, 0, 0.2, 0.2), shapely.Point(50, 50).buffer(20).boundary.buffer(0.3)
    polygons, fit = fit_polygons(array(court, speck, star), RULES)
    assert polygons[0].equals_exact(court.simplify(0), 0.05) or polygons[0].area == pytest.approx(400 - 64, rel=0.01)
    assert len(polygons[0].interiors) == 1  # a hole below a pixel is filled
    assert fit.status[1] == UNCHANGED
    assert polygons[1] is speck
    assert shapely.is_valid(polygons).all()


def test_where_outlines_begin_and_what_stands_beside_changes_nothing():
    house = affinity.rotate(shapely.Polygon([(0, 0), (14, 0), (14, 9), (8, 9), (8, 6), (0, 6)]), 31)
    alone, _ = fit_polygons(array(house), RULES)
    again, _ = fit_polygons(array(shapely.box(-5, -5, 90, 90), house, house), RULES)
    assert again[1].equals_exact(alone[0], 0)
    assert again[2].equals_exact(alone[0], 0)
    nothing, fit = fit_polygons(np.empty(0, object), RULES)
    assert len(nothing) == len(fit.status) == 0


def settled(polygons, outlines):
    _, fit = fit_polygons(outlines, RULES)
    return settle_polygons(polygons, outlines, fit, RULES)


def test_a_polygon_that_reaches_into_its_neighbour_is_trimmed_and_one_without_is_untouched():
    outlines = array(shapely.box(0, 0, 10, 10), shapely.box(10.1, 0, 20, 10), shapely.box(50, 0, 60, 10))
    polygons = array(shapely.box(0, 0, 10.4, 10), outlines[1], outlines[2])
    out, fit, trimmed = settled(polygons, outlines)
    assert trimmed.sum() == 1
    assert shapely.intersection(out[0], out[1]).area == 0
    assert out[2] is polygons[2]
    assert fit.status.tolist() == [ORTHO] * 3
    assert fit.deviation_m[trimmed] > 0.09


def test_what_would_lose_too_much_goes_back_to_its_outline():
    outlines = array(shapely.box(0, 0, 10, 10), shapely.box(10.1, 0, 20, 10))
    out, fit, trimmed = settled(array(shapely.box(0, 0, 14, 10), shapely.box(6, 0, 20, 10)), outlines)
    assert not trimmed.any()
    assert fit.status.tolist() == [UNCHANGED, UNCHANGED]
    assert list(out) == list(outlines)
    assert (fit.iou_contour == 1).all()


def test_trimming_does_not_take_a_polygon_out_of_its_bounds():
    outlines = array(shapely.box(0, 0, 10, 10), shapely.box(10.1, 0, 20, 10))
    wide = shapely.box(0, 0, 10.9, 10)  # of the second polygon a twelfth would go, which shares 0.82 with its outline
    _, fit = fit_polygons(outlines, RULES)
    worse = replace(fit, iou_contour=np.array([0.9, 0.82]))
    out, fit, _ = settle_polygons(array(wide, shapely.box(10.1, 1.8, 20, 10)), outlines, worse, RULES)
    assert shapely.intersection(out[0], out[1]).area == 0
    assert (fit.iou_contour >= LEAST_IOU).all()
    assert fit.status[1] == UNCHANGED
    assert out[1] is outlines[1]


def test_outlines_that_overlap_stay_and_buildings_keep_their_parts():
    slip = array(shapely.box(0, 0, 10, 10), shapely.box(9.8, 0, 20, 10))
    out, fit, _ = settled(slip.copy(), slip)
    assert shapely.intersection(out[0], out[1]).area == 0  # a slip of the pen is mended
    house_and_tower = array(shapely.box(0, 0, 20, 20), shapely.box(5, 5, 10, 10), shapely.box(0, 0, 20, 20))
    out, fit, trimmed = settled(house_and_tower.copy(), house_and_tower)
    assert list(out) == list(house_and_tower)
    assert (fit.status == ORTHO).all()
    assert not trimmed.any()


def stairs_of(shape):
    """The outline of a shape's pixels of 1 m, without holes."""
    covered = rasterize([shape], out_shape=(50, 50), transform=Affine(1, 0, 0, 0, -1, 50))
    rows, cols = np.nonzero(covered)
    pixels = shapely.union_all(shapely.box(cols, 49 - rows, cols + 1, 50 - rows))
    return shapely.Polygon(max(shapely.get_parts(pixels), key=shapely.area).exterior)


@pytest.mark.parametrize("arm", [6, 7])
def test_small_houses_keep_their_corners_at_any_angle(arm):
    house = shapely.Polygon([(0, 0), (13, 0), (13, arm), (arm, arm), (arm, 12), (0, 12)])
    turned = array(*(affinity.translate(affinity.rotate(house, angle), 15.3, 14.4) for angle in range(0, 90, 3)))
    rules = VectorRules(pixel_m=1, steps=Steps(0.0, 1.0, 1.0))
    polygons, fit = fit_polygons(array(*map(stairs_of, turned)), rules)
    assert np.bincount(shapely.get_num_coordinates(polygons)).argmax() == 7
    assert np.mean(shapely.get_num_coordinates(polygons) == 7) > 0.9
    iou = shapely.area(shapely.intersection(polygons, turned)) / shapely.area(shapely.union(polygons, turned))
    assert iou.mean() > 0.95
    assert fit.iou_contour.min() > 0.85


def test_no_fit_changes_a_ragged_outline_beyond_the_bounds():
    rng = np.random.default_rng(3)
    turns = [np.arange(n) * 2 * np.pi / n for n in rng.integers(5, 14, 200)]
    stars = [rng.uniform(2.5, 9, len(t)) * (np.cos(t), np.sin(t)) + 25 for t in turns]
    stairs = array(*(stairs_of(shapely.Polygon(star.T)) for star in stars))
    polygons, fit = fit_polygons(stairs, VectorRules(pixel_m=1, steps=Steps(0.0, 1.0, 1.0)))
    iou = shapely.area(shapely.intersection(polygons, stairs)) / shapely.area(shapely.union(polygons, stairs))
    assert iou.min() >= LEAST_IOU
    assert np.abs(shapely.area(polygons) / shapely.area(stairs) - 1).max() <= AREA_CHANGE
    assert (fit.status == UNCHANGED).any()  # the bounds were met
    assert (fit.status != UNCHANGED).mean() > 0.7
    np.testing.assert_allclose(fit.iou_contour, iou)
