"""Cleaning of class maps: whole and in tiles alike, and what it is for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from geoseg.classical.cleaning import CleaningRules, cleaned
from geoseg.values.box import Box

RULES = {
    "open": CleaningRules(open_px=1.5),
    "close": CleaningRules(close_px=2, class_id=1),
    "sieve": CleaningRules(sieve_px=7),
    "all": CleaningRules(1, 1, 5, class_id=2),
}


def in_tiles(classes, rules, side, halo):
    scene, out = Box(0, 0, *classes.shape), np.zeros_like(classes)
    for tile in scene.blocks(side):
        around = tile.grown(halo).clip(scene)
        out[tile.within(scene)] = cleaned(classes[around.within(scene)], rules)[tile.within(around)]
    return out


def noise(seed, shape, coarse=3):
    rng = np.random.default_rng(seed)
    large = np.kron(rng.integers(0, 4, (-(-shape[0] // coarse), -(-shape[1] // coarse))), np.ones((coarse, coarse)))
    return np.where(rng.random(shape) < 0.15, rng.integers(0, 4, shape), large[: shape[0], : shape[1]]).astype(np.uint8)


@pytest.mark.parametrize("name", RULES)
@given(seed=st.integers(0, 10**6), side=st.integers(5, 40), height=st.integers(1, 60))
def test_tiles_change_no_bit(name, seed, side, height):
    rules, classes = RULES[name], noise(seed, (height, 45))
    whole = cleaned(classes, rules)
    assert np.array_equal(in_tiles(classes, rules, side, rules.halo_px), whole)
    assert np.array_equal(whole == 0, classes == 0)


@pytest.mark.parametrize("name", ["open", "close", "sieve"])
def test_too_small_a_halo_shows(name):
    rules = RULES[name]
    found = [noise(seed, (60, 60), coarse) for seed in range(8) for coarse in (2, 3, 5)]
    assert any(not np.array_equal(in_tiles(c, rules, 11, rules.halo_px // 3), cleaned(c, rules)) for c in found)


def test_thin_parts_gaps_and_patches_leave():
    classes = np.ones((40, 40), np.uint8)
    classes[5:20, 5:20] = 2
    classes[10, 20:35] = 2
    classes[5:20, 12] = 3
    classes[30:32, 30:32] = 3
    opened = cleaned(classes, CleaningRules(open_px=1.5))
    assert (opened[10, 22:35] == 1).all()
    assert (opened[8:17, 12] == 2).all()
    assert (opened[30:32, 30:32] == 1).all()
    closed = cleaned(classes, CleaningRules(close_px=1.5, class_id=2))
    assert (closed[8:17, 12] == 2).all()
    assert closed[10, 30] == 2
    sieved = cleaned(classes, CleaningRules(sieve_px=10))
    assert (sieved[30:32, 30:32] == 1).all()
    assert (sieved[5:20, 12] == 3).all()
    assert np.array_equal(cleaned(classes, CleaningRules()), classes)


def test_opening_one_class_is_that_of_scipy_away_from_the_edge():
    classes = noise(3, (50, 50), 6)
    classes[classes == 0] = 1
    disc = np.hypot(*np.mgrid[-2:3, -2:3]) <= 2
    right = ndimage.binary_opening(classes == 2, disc)
    opened = cleaned(classes, CleaningRules(open_px=2, class_id=2))
    assert np.array_equal((opened == 2)[8:-8, 8:-8], right[8:-8, 8:-8])
