"""Touching buildings come apart along the border that the network saw, and nothing else changes."""

import numpy as np
import pytest
from scipy import ndimage

from geoseg.polygons.instances import EDGES, cut_apart


def two_rooms(width=41, wall=20, gap=60):
    """One block of p(building) with a wall of low p(interior) in it."""
    probability = np.full((20, width), 1, np.uint8)
    probability[3:17, 3:-3] = 250
    interior = np.where(probability > 127, 240, 1).astype(np.uint8)
    interior[:, wall - 1 : wall + 2] = gap
    return probability, interior


def count(probability):
    return ndimage.label(probability >= 128, EDGES)[1]


def test_a_wall_cuts_once_and_thinly():
    probability, interior = two_rooms()
    out = cut_apart(probability, interior, threshold=0.5)
    assert (count(probability), count(out)) == (1, 2)
    changed = out != probability
    assert changed.sum() == 14  # one pixel per row of the block
    assert set(np.flatnonzero(changed.any(0))) <= {19, 20, 21, 22}
    np.testing.assert_array_equal(out[~changed], probability[~changed])


def test_without_a_border_blobs_stay_merged():
    probability, interior = two_rooms(gap=240)
    np.testing.assert_array_equal(cut_apart(probability, interior, threshold=0.5), probability)


def test_seeds_too_small_to_be_buildings_do_not_cut():
    probability, interior = two_rooms(wall=5)  # the room left of the wall is 1 px wide
    assert count(cut_apart(probability, interior, threshold=0.5)) == 2
    assert count(cut_apart(probability, interior, threshold=0.5, min_seed_px=20)) == 1


def test_nodata_and_areas_without_a_seed_are_left_alone():
    probability, interior = two_rooms()
    probability[:, :2], interior[:, :2] = 0, 0
    interior[:] = np.where(interior > 127, 100, interior)
    np.testing.assert_array_equal(cut_apart(probability, interior, threshold=0.5), probability)


@pytest.mark.parametrize("seed", range(5))
def test_every_part_keeps_one_seed_and_a_crop_around_an_area_gives_the_same(seed):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal((90, 120)), 4)
    probability = np.clip(128 + 900 * smooth, 1, 255).astype(np.uint8)
    interior = np.clip(40 + 1200 * ndimage.gaussian_filter(rng.standard_normal((90, 120)), 2), 1, 255).astype(np.uint8)
    out = cut_apart(probability, interior, threshold=0.5)
    assert ((out == probability) | (out == 1)).all()
    parts, n = ndimage.label(out >= 128, EDGES)
    seeds, _ = ndimage.label((interior >= 128) & (probability >= 128), EDGES)
    for part in range(1, n + 1):
        assert len(np.unique(seeds[(parts == part) & (seeds > 0)])) <= 1
    areas, _ = ndimage.label(probability >= 128, EDGES)
    for number, (rows, cols) in enumerate(ndimage.find_objects(areas), start=1):
        alone = np.where(areas[rows, cols] == number, probability[rows, cols], 1).astype(np.uint8)
        again = cut_apart(alone, interior[rows, cols], threshold=0.5)
        inside = areas[rows, cols] == number
        np.testing.assert_array_equal(again[inside], out[rows, cols][inside])
