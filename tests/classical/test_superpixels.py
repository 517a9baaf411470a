"""Superpixels: tiles with a halo give those of the whole; they keep to what is there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.classical import superpixels as module
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


def in_rows(cut, pixels, halo):
    """Return what ``cut`` makes of (h, w) pixels row by row, each with a halo."""
    scene = Box(0, 0, *pixels.shape)
    rows = []
    for tile in (Box(r, 0, r + 1, scene.col1) for r in range(scene.row1)):
        around = tile.grown(halo).clip(scene)
        found = cut(np.ascontiguousarray(pixels[around.within(scene)]), (around.row0, around.col0))
        rows.append(found[tile.within(around)])
    return np.concatenate(rows)


def test_the_halo_of_slic_is_what_it_must_be(monkeypatch):
    monkeypatch.setattr(module, "STEPS", 0)  # a step takes two cells more; how far it looks is seen at the first
    monkeypatch.setattr(module, "_likest", module._likest.py_func)
    spacing, shape = 5, (21, 1)
    halo = SuperpixelRules("slic", spacing).halo_px - module.MEAN_PX - module.MODES * module.MODE_PX

    def cut(pixels, corner):
        return module._slic.py_func(pixels[None], np.ones(pixels.shape, np.bool_), corner, shape, spacing, 1)

    smaller = 0
    for seed in range(12):
        pixels = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
        whole = cut(pixels, (0, 0))
        assert np.array_equal(in_rows(cut, pixels, halo), whole)
        smaller += not np.array_equal(in_rows(cut, pixels, halo - 1), whole)
    assert smaller > 3


def test_the_halo_of_waterpixels_is_what_it_must_be():
    spacing, shape = 4, (24, 12)
    halo = SuperpixelRules("waterpixels", spacing).halo_px - module.GRADIENT_PX
    valleys = np.full(shape, 200, np.uint8)
    valleys[9, 5] = 0  # the marker of its cell: from there up to the cell above, and down to the last row of that below
    valleys[4:9, 5] = valleys[4, 5:9] = valleys[4:16, 8] = 1

    def cut(pixels, corner):
        return module._waterpixels(pixels, corner, shape, spacing)

    whole = cut(valleys, (0, 0))
    assert whole[15, 8] == whole[9, 5]
    assert np.array_equal(in_rows(cut, valleys, halo), whole)
    assert in_rows(cut, valleys, halo - 1)[15, 8] != whole[15, 8]


@settings(max_examples=10)
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    side=st.integers(5, 60),
    spacing=st.integers(4, 11),
    method=st.sampled_from(["slic", "waterpixels"]),
)
def test_tiles_change_no_bit(seed, height, width, side, spacing, method):
    rng, rules, scene = np.random.default_rng(seed), SuperpixelRules(method, spacing), Box(0, 0, height, width)
    image = rng.integers(0, 256, (2, height, width)).astype(np.uint8)
    valid = rng.random((height, width)) > 0.1
    whole, tiles = superpixels(image, valid, (0, 0), scene.shape, rules), np.zeros(scene.shape, np.uint32)
    for tile in scene.blocks(side):
        around = tile.grown(rules.halo_px).clip(scene)
        cut = around.within(scene)
        part = np.ascontiguousarray(image[:, *cut])
        found = superpixels(part, valid[cut], (around.row0, around.col0), scene.shape, rules)
        tiles[tile.within(scene)] = found[tile.within(around)]
    assert np.array_equal(tiles, whole)
