"""Touching buildings share their walls exactly, whatever the labels look like."""

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.crs import CRS
from rasterio.features import rasterize
from scipy import ndimage
from shapely import affinity

from geoseg.values.grid import Grid
from geoseg.vector import FootprintRules, extract_footprints
from geoseg.vector.fit.fit import STATUS
from geoseg.vector.pixels.instances import label_instances

UTM = CRS.from_epsg(32633)
PIXEL_M = 0.3


def footprints(probability, labels, **rules):
    transform = Affine(PIXEL_M, 0, 5e5, 0, -PIXEL_M, 5e6)
    grid = Grid(UTM, transform, probability.shape)
    return extract_footprints(probability, grid, FootprintRules(**rules), labels=labels)


def drawn(houses, *, noise=0.0, size_px=260):
    """Probability of any house, and labels whose borders wobble with ``noise``; houses in pixels."""
    labels = np.zeros((size_px, size_px), np.int32)
    for number, house in enumerate(houses, start=1):
        labels[rasterize([house], out_shape=labels.shape, dtype=np.uint8) > 0] = number
    rng = np.random.default_rng(3)
    shift = [ndimage.gaussian_filter(rng.standard_normal(labels.shape), 4) * 12 * noise for _ in range(2)]
    rows, cols = np.indices(labels.shape)
    moved = labels[
        np.clip(np.rint(rows + shift[0]).astype(int), 0, size_px - 1),
        np.clip(np.rint(cols + shift[1]).astype(int), 0, size_px - 1),
    ]
    inside = labels > 0
    nearest = ndimage.distance_transform_edt(moved == 0, return_distances=False, return_indices=True)
    labels = np.where(inside, moved[tuple(nearest)], 0).astype(np.int32)
    probability = (1 + np.rint(ndimage.gaussian_filter(inside.astype(float), 1.0) * 254)).astype(np.uint8)
    nearest = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    return probability, np.where(probability >= 128, labels[tuple(nearest)], 0).astype(np.int32)


def assert_tiles(found, gap_free_m2, *, most_parts=1, rel=0.03):
    """Valid, no overlap, no gap inside the block, every shared wall the same on both sides."""
    assert shapely.is_valid(found.geometries).all()
    assert shapely.coverage_is_valid(found.geometries)
    union = shapely.union_all(found.geometries)
    assert union.area == pytest.approx(shapely.area(found.geometries).sum(), rel=1e-9)
    assert union.area == pytest.approx(gap_free_m2, rel=rel)
    assert len(shapely.get_parts(union)) <= most_parts
    assert shapely.get_num_interior_rings(shapely.get_parts(union)).sum() == 0


@pytest.mark.parametrize("angle_deg", [0.0, 23.0, 61.5])
def test_row_houses_share_straight_walls(angle_deg):
    turn = {"angle": angle_deg, "origin": (130, 130)}
    houses = [affinity.rotate(shapely.box(40 + 36 * i, 95, 76 + 36 * i, 165), **turn) for i in range(5)]
    found = footprints(*drawn(houses, noise=0.6))
    assert len(found) == 5
    assert_tiles(found, 180 * 70 * PIXEL_M**2)
    assert (shapely.get_num_coordinates(found.geometries) == 5).all()
    back = [shapely.transform(g, lambda xy: (xy - (5e5, 5e6)) / (PIXEL_M, -PIXEL_M)) for g in found.geometries]
    for house in houses:
        assert max(house.intersection(g).area / house.union(g).area for g in back) > 0.94
    assert STATUS.index("unchanged") not in found.fit.status
    assert (found.fit.iou_contour > 0.93).all()
    assert (found.fit.rms_m < 0.5).all()
    assert found.area_px.sum() == (drawn(houses, noise=0.6)[1] > 0).sum()


def test_walls_end_in_the_corners_of_houses_of_unlike_depth():
    houses = [shapely.box(40 + 40 * i, 60 + 12 * (i % 2), 80 + 40 * i, 160) for i in range(4)]
    found = footprints(*drawn(houses, noise=0.5))
    assert_tiles(found, sum(h.area for h in houses) * PIXEL_M**2)
    assert shapely.get_num_coordinates(found.geometries).max() <= 7  # no notch where wall and jog meet


def test_four_houses_that_meet_in_one_point_and_one_within_another():
    quarters = [shapely.box(x, y, x + 60, y + 60) for x in (50, 110) for y in (50, 110)]
    found = footprints(*drawn([*quarters, shapely.box(65, 65, 90, 90)]))
    assert len(found) == 5
    assert_tiles(found, 120 * 120 * PIXEL_M**2)
    assert sorted(len(g.interiors) for g in found.geometries) == [0, 0, 0, 0, 1]


def test_a_filled_hole_on_a_border_does_not_part_the_wall():
    probability, labels = drawn([shapely.box(50, 50, 110, 120), shapely.box(110, 50, 170, 120)])
    probability[80:84, 107:113], labels[80:84, 107:113] = 1, 0
    found = footprints(probability, labels, min_hole_m2=10)
    assert len(found) == 2
    assert_tiles(found, 120 * 70 * PIXEL_M**2)
    assert (shapely.get_num_coordinates(found.geometries) == 5).all()


@pytest.mark.parametrize("neck_px", [1, 2, 3])
@pytest.mark.parametrize("shift_px", [-12, 0, 9])
def test_houses_that_touch_in_a_narrow_place_come_apart_there(neck_px, shift_px):
    houses = [shapely.box(50, 60, 110, 120), shapely.box(114, 60 + shift_px, 170, 100 + shift_px)]
    probability, labels = drawn(houses)
    neck = slice(80, 80 + neck_px), slice(105, 120)
    probability[neck] = 250
    labels[neck] = np.where(np.arange(105, 120) < 112, 1, 2)
    found = footprints(probability, labels)
    assert len(found) == 2
    assert_tiles(found, sum(h.area for h in houses) * PIXEL_M**2, most_parts=2)
    assert STATUS.index("unchanged") not in found.fit.status


@pytest.mark.parametrize(
    ("angle_deg", "dx", "dy"), [(0, -4, -6), (10, -2, -6), (23, 0, -4), (40, 0, -2), (45, -6, -6), (45, -2, -2)]
)
def test_a_border_that_first_misses_the_outline_lands_elsewhere_and_the_block_stays_fitted(angle_deg, dx, dy):
    row = [shapely.box(60, 110, 100, 170), shapely.box(100, 110, 140, 170)]
    corner = shapely.box(140 + dx, 60, 190 + dx, 110 - dy)  # touches the row in a corner only
    houses = [affinity.rotate(house, angle_deg, origin=(130, 130)) for house in (*row, corner)]
    found = footprints(*drawn(houses, noise=0.6))
    assert len(found) == 3
    assert_tiles(found, shapely.union_all(houses).area * PIXEL_M**2, most_parts=2, rel=0.04)
    assert STATUS.index("unchanged") not in found.fit.status
    assert (found.fit.iou_contour > 0.9).all()
    assert shapely.get_num_coordinates(found.geometries).max() <= 10


@pytest.mark.parametrize("seed", range(6))
def test_no_block_of_rough_ground_stays_whole(seed):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal((2, 140, 140)), (0, 2.5, 2.5))
    probability = np.clip(140 + 1200 * smooth[0], 1, 255).astype(np.uint8)
    border = np.clip(900 * smooth[1], 1, 255).astype(np.uint8)
    labels = label_instances(probability, border)
    for method in ("regular", "contour"):
        found = footprints(probability, labels, method=method)
        assert len(found) == labels.max()
        assert shapely.is_valid(found.geometries).all()
        total = shapely.area(found.geometries).sum()
        assert shapely.area(shapely.union_all(found.geometries)) == pytest.approx(total)


def test_what_is_of_one_label_comes_out_as_without_labels():
    probability, labels = drawn([shapely.box(50, 50, 110, 120), shapely.box(140, 50, 200, 120)])
    alone = footprints(probability, None)
    same = footprints(probability, labels)
    assert [g.wkb for g in same.geometries] == [g.wkb for g in alone.geometries]


def test_pixels_of_degrees_give_right_corners_on_the_ground():
    houses = [affinity.rotate(shapely.box(40 + 50 * i, 95, 90 + 50 * i, 165), 30, origin=(130, 130)) for i in range(3)]
    squeezed = [affinity.scale(house, xfact=0.5, origin=(0, 0)) for house in houses]
    probability, labels = drawn(squeezed)
    grid = Grid(UTM, Affine(2 * PIXEL_M, 0, 5e5, 0, -PIXEL_M, 5e6), probability.shape)
    found = extract_footprints(probability, grid, FootprintRules(), labels=labels)
    assert_tiles(found, sum(h.area for h in houses) * PIXEL_M**2)
    for polygon in found.geometries:
        assert polygon.area / shapely.minimum_rotated_rectangle(polygon).area > 0.97


@given(
    arrays(np.int32, st.tuples(st.integers(3, 14), st.integers(3, 14)), elements=st.integers(0, 4)),
    st.sampled_from(["regular", "contour"]),
)
def test_any_labels_give_valid_polygons_that_do_not_overlap(coarse, method):
    labels = np.kron(coarse, np.ones((3, 3), np.int32))
    parts = np.zeros_like(labels)
    for value in range(1, 5):
        numbered, count = ndimage.label(labels == value)
        parts[numbered > 0] = numbered[numbered > 0] + parts.max()
        assert count >= 0
    probability = np.where(parts > 0, 255, 1).astype(np.uint8)
    found = footprints(probability, parts.astype(np.int32), method=method)
    assert shapely.is_valid(found.geometries).all()
    total = shapely.area(found.geometries).sum()
    assert shapely.area(shapely.union_all(found.geometries)) == pytest.approx(total)
    assert found.area_px.sum() == (parts > 0).sum()
    assert ndimage.label(parts > 0)[1] <= len(found) <= parts.max()


def test_a_block_inside_a_crop_is_split_alike():
    houses = [affinity.rotate(shapely.box(60 + 30 * i, 95, 90 + 30 * i, 150), 17, origin=(130, 130)) for i in range(4)]
    probability, labels = drawn(houses, noise=0.6)
    row, col = 31, 17
    back = np.array([col, row])
    pixels = Affine.identity()
    whole = extract_footprints(probability, Grid(UTM, pixels, probability.shape), FootprintRules(), labels=labels)
    part = np.ascontiguousarray(probability[row:, col:]), np.ascontiguousarray(labels[row:, col:])
    cut = extract_footprints(part[0], Grid(UTM, pixels, part[0].shape), FootprintRules(), labels=part[1])
    moved = [shapely.transform(g, lambda xy: xy + back).wkb for g in cut.geometries]
    assert len(moved) == 4
    assert moved == [g.wkb for g in whole.geometries]
