"""The local mean field: whole and in tiles alike, by its halo, and what it is for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.classical.crf import mean_field
from geoseg.values.box import Box


def toy(seed, shape=(50, 45), wrong=0.25):
    """Return noisy classes (some unknown), how sure they are, an image that shows the right ones, and these."""
    rng = np.random.default_rng(seed)
    right = np.kron(rng.integers(1, 4, (4, 4)), np.ones((15, 15), int)).astype(np.uint8)[: shape[0], : shape[1]]
    image = (right * 60 + rng.normal(0, 12, (2, *right.shape))).clip(0, 255).astype(np.uint8)
    classes = np.where(rng.random(right.shape) < wrong, rng.integers(0, 4, right.shape), right).astype(np.uint8)
    return classes, rng.integers(100, 255, right.shape).astype(np.uint8), image, right


def agreed(classes, sure, image, steps=2, radius=3):
    return mean_field(classes, sure, image, ids=[1, 2, 3], steps=steps, radius=radius)


def in_tiles(classes, sure, image, side, halo, **rules):
    scene, out = Box(0, 0, *classes.shape), np.zeros_like(classes)
    for tile in scene.blocks(side):
        around = tile.grown(halo).clip(scene)
        cut = around.within(scene)
        out[tile.within(scene)] = agreed(classes[cut], sure[cut], image[:, *cut], **rules)[tile.within(around)]
    return out


@settings(max_examples=12)
@given(
    seed=st.integers(0, 10**6),
    side=st.integers(7, 40),
    height=st.integers(1, 60),
    steps=st.integers(1, 3),
    radius=st.integers(1, 3),
)
def test_tiles_change_no_bit(seed, side, height, steps, radius):
    classes, sure, image, _ = toy(seed, (height, 45))
    rules = {"steps": steps, "radius": radius}
    assert np.array_equal(
        in_tiles(classes, sure, image, side, steps * radius, **rules), agreed(classes, sure, image, **rules)
    )


def test_a_halo_one_pixel_too_small_shows():
    toys = [toy(seed, wrong=0.8) for seed in range(12)]
    assert any(not np.array_equal(in_tiles(*t[:3], 9, 5), agreed(*t[:3])) for t in toys)


def test_noise_leaves_and_edges_of_the_image_stay():
    classes, sure, image, right = toy(1)
    found = agreed(classes, sure, image, steps=3)
    known = classes > 0
    assert (classes == right)[known].mean() < 0.9
    assert (found == right)[known].mean() > 0.97
    assert np.array_equal(found > 0, known)


def test_one_class_one_pixel_and_a_sure_pixel():
    one = np.ones((1, 1), np.uint8)
    assert mean_field(one, one, one[None], ids=[1], steps=2, radius=2) == 1
    classes = np.ones((7, 7), np.uint8)
    classes[3, 3] = 2
    unlike = np.zeros((1, 7, 7), np.uint8)
    unlike[0, 3, 3] = 200
    sure = np.full((7, 7), 255, np.uint8)
    assert agreed(classes, sure, unlike)[3, 3] == 2
    assert agreed(classes, np.full((7, 7), 140, np.uint8), np.zeros((1, 7, 7), np.uint8))[3, 3] == 1


@pytest.mark.parametrize("radius", [1, 8])
def test_sums_of_neighbours_fit_their_type(radius):
    same = np.ones((20, 20), np.uint8)
    found = mean_field(same, 255 * same, same[None], ids=[1, 2], steps=2, radius=radius)
    assert (found == 1).all()
