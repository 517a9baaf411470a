"""Superpixels: tiles with a halo give those of the whole; they keep to what is there."""

import numpy as np
import pytest

from geoseg.classical.superpixels import SuperpixelRules, superpixels
from geoseg.values.box import Box

SHAPE = (150, 170)
RNG = np.random.default_rng(5)
REGIONS = np.kron(RNG.integers(0, 9, (6, 7)), np.ones((25, 25), int))[: SHAPE[0], : SHAPE[1]]
IMAGE = (RNG.integers(20, 230, (9, 3))[REGIONS] + RNG.integers(-8, 9, (*SHAPE, 3))).clip(0, 255).astype(np.uint8)
IMAGE = np.ascontiguousarray(np.moveaxis(IMAGE, -1, 0))
VALID = np.ones(SHAPE, np.bool_)
VALID[40:70, 30:90] = False
RULES = [SuperpixelRules("slic", 4), SuperpixelRules("waterpixels", 9)]


def tiled(rules, side, halo):
    out, scene = np.zeros(SHAPE, np.uint32), Box(0, 0, *SHAPE)
    for tile in scene.blocks(side):
        around = tile.grown(halo).clip(scene)
        cut = around.within(scene)
        part = np.ascontiguousarray(IMAGE[:, *cut])
        found = superpixels(part, VALID[cut], (around.row0, around.col0), SHAPE, rules)
        out[tile.within(scene)] = found[tile.within(around)]
    return out


@pytest.mark.parametrize("rules", RULES, ids=lambda rules: rules.method)
def test_tiles_with_a_halo_give_those_of_the_whole_and_with_a_smaller_one_others(rules):
    whole = tiled(rules, 500, 0)
    assert np.array_equal(tiled(rules, 37, rules.halo_px), whole)
    assert np.array_equal(tiled(rules, 64, rules.halo_px), whole)
    assert not np.array_equal(tiled(rules, 37, rules.spacing_px), whole)
    assert np.array_equal(whole == 0, ~VALID)


@pytest.mark.parametrize("rules", RULES, ids=lambda rules: rules.method)
def test_they_keep_to_the_regions(rules):
    found = tiled(rules, 500, 0)
    pure = [np.bincount(REGIONS[found == n]).max() / (found == n).sum() for n in np.unique(found[found > 0])]
    assert np.mean(pure) > 0.93
    cells = -(-SHAPE[0] // rules.spacing_px) * -(-SHAPE[1] // rules.spacing_px)
    assert 0.7 * cells < len(pure) <= cells
