"""Touching buildings come apart along the border that the network saw, and nothing else changes."""

import numpy as np
import pytest
from scipy import ndimage

from geoseg.vector.pixels.instances import border_probability, label_instances

EDGES = ndimage.generate_binary_structure(2, 1)


def two_rooms(width=41, wall=20, seen=200):
    """One block of p(building) with a wall in it where p(border) is ``seen``."""
    probability = np.full((20, width), 1, np.uint8)
    probability[3:17, 3:-3] = 250
    border = np.ones_like(probability)
    border[3:17, wall - 1 : wall + 2] = seen
    return probability, border


def test_a_wall_parts_a_block_in_its_middle():
    probability, border = two_rooms()
    border[3:17, 20] = 255
    labels = label_instances(probability, border)
    np.testing.assert_array_equal(labels > 0, probability >= 128)
    assert set(np.unique(labels[:, 3:20])) == {0, 1}
    assert set(np.unique(labels[:, 21:-3])) == {0, 2}


def test_without_a_border_blobs_stay_merged():
    assert label_instances(*two_rooms(seen=40)).max() == 1


def test_a_border_with_a_gap_still_parts():
    probability, border = two_rooms()
    border[9:11] = 1  # two pixels: narrower than the seeds' opening
    assert label_instances(probability, border).max() == 2


def test_a_faint_border_between_sure_buildings_parts_and_noise_inside_one_does_not():
    assert label_instances(*two_rooms(seen=125)).max() == 2
    probability, border = two_rooms(seen=80)
    assert label_instances(probability, border).max() == 1
    probability[3:17, 19:22] -= 40  # where the network doubts the building as well, the fall is deep enough
    assert label_instances(probability, border).max() == 2


def test_weak_ground_beside_a_building_goes_with_what_it_is_not_parted_from():
    """Where p(building) is low p(border) is low too: the gap between two blobs is no way for either to grow."""
    probability, border = two_rooms(wall=20, seen=1)
    probability[3:17, 19:22], border[3:17, 19:22] = 130, 120
    probability[3:17, 22:26] = 200
    labels = label_instances(probability, border)
    assert labels.max() == 2
    assert (labels[3:17, 22:26] == 2).all()


def test_seeds_too_small_to_be_buildings_do_not_part():
    probability, border = two_rooms(wall=10)  # the room left of the wall is 6 px wide
    assert label_instances(probability, border).max() == 2
    assert label_instances(probability, border, min_seed_px=150).max() == 1


def test_nodata_is_outside_and_an_area_without_a_seed_is_one_building():
    probability, border = two_rooms(seen=1)
    probability[:, :2], border[:, :2] = 0, 0
    border[3:17, 3:-3] = 240
    labels = label_instances(probability, border)
    np.testing.assert_array_equal(labels, probability >= 128)


def test_border_and_interior_make_up_the_building():
    probability, border = two_rooms()
    interior = (probability - border + 1).astype(np.uint8)
    np.testing.assert_array_equal(border_probability(probability, interior)[3:17, 3:-3], border[3:17, 3:-3])


@pytest.mark.parametrize("seed", range(5))
def test_labels_are_connected_and_a_crop_around_an_area_gives_the_same(seed):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal((90, 120)), 6)
    probability = np.clip(150 + 2500 * smooth, 1, 255).astype(np.uint8)
    border = np.clip(1500 * ndimage.gaussian_filter(rng.standard_normal((90, 120)), 2) - 60, 1, 255).astype(np.uint8)
    labels = label_instances(probability, border)
    areas, count = ndimage.label(probability >= 128, EDGES)
    np.testing.assert_array_equal(labels > 0, areas > 0)
    assert labels.max() > count
    first = [int(np.flatnonzero(labels == k)[0]) for k in range(1, labels.max() + 1)]
    assert first == sorted(first)
    for k in range(1, labels.max() + 1):
        assert ndimage.label(labels == k, EDGES)[1] == 1
    for number, (rows, cols) in enumerate(ndimage.find_objects(areas), start=1):
        inside = areas[rows, cols] == number
        alone = np.where(inside, probability[rows, cols], 1).astype(np.uint8)
        again = label_instances(alone, border[rows, cols])
        _, expected = np.unique(labels[rows, cols][inside], return_inverse=True)
        np.testing.assert_array_equal(again[inside], expected + 1)
