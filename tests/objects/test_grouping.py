"""Grouping: tiles of any size with their halo give what the whole scene gives; one pixel less does not."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geoseg.objects.grouping import LEVELS, NOBODY, SUB, GroupingRules, grouped
from geoseg.objects.segments import Segments, TileLayers, group_tile, panoptic_ids
from geoseg.values.box import Box

RULES = GroupingRules(things=(5, 2), span=(3 * SUB, 4 * SUB), peak_px=2, least=20, reach_px=2, min_px=1)
Tiled = tuple[NDArray[np.int64], Segments]


def noise(seed: int, shape: tuple[int, int]) -> TileLayers:
    """Layers in which centres are many, often equal, and offsets point anywhere."""
    rng = np.random.default_rng(seed)
    return TileLayers(
        rng.choice(np.array([0, 1, 2, 5], np.uint8), shape, p=(0.05, 0.15, 0.4, 0.4)),
        rng.integers(1, 256, shape).astype(np.uint8),
        rng.choice(np.array([0, 10, 20, 30, 40], np.uint16), shape, p=(0.5, 0.2, 0.1, 0.1, 0.1)),
        rng.integers(1, 65536, shape).astype(np.uint16),
        rng.integers(1, 65536, shape).astype(np.uint16),
    )


def in_tiles(layers: TileLayers, side: int, rules: GroupingRules = RULES, less_px: int = 0) -> Tiled:
    """Group tile by tile, and return the key of every pixel, and the segments."""
    scene = Box(0, 0, *layers.classes.shape)
    keys, found = np.full(scene.shape, NOBODY, np.int64), []
    for tile in scene.blocks(side):
        around = tile.grown(rules.halo_px - less_px).clip(scene)
        assert around is not None
        local, segments = group_tile(TileLayers(*(x[around.within(scene)] for x in layers)), tile, around, rules)
        keys[tile.within(scene)] = np.append(NOBODY, segments.key)[local]
        found.append(segments)
    return keys, Segments.joined(found[::-1])


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 40), st.integers(1, 17))
def test_tiles_give_what_the_whole_gives(seed: int, height: int, width: int, side: int) -> None:
    layers = noise(seed, (height, width))
    keys, segments = in_tiles(layers, side)
    whole_keys, whole = in_tiles(layers, 64)
    np.testing.assert_array_equal(keys, whole_keys)
    np.testing.assert_array_equal(segments.table, whole.table)


def test_pixel_belongs_to_the_nearest_centre_of_all() -> None:
    layers = noise(3, (30, 33))
    thing = np.isin(layers.classes, RULES.things)
    number, centres = grouped(thing, layers.centre, np.stack(layers[3:]), RULES)
    y, x = np.mgrid[:30, :33] * SUB
    y += (layers.offset_row.astype(np.int64) - LEVELS - 1) * RULES.span[0] // LEVELS
    x += (layers.offset_col.astype(np.int64) - LEVELS - 1) * RULES.span[1] // LEVELS
    far = (centres[:, 0, None, None] * SUB - y) ** 2 + (centres[:, 1, None, None] * SUB - x) ** 2
    near = far.min(0) <= (RULES.reach_px * SUB) ** 2
    assert len(centres) > 20
    assert 0.2 < near.mean() < 0.9
    np.testing.assert_array_equal(number, np.where(thing & near, far.argmin(0), NOBODY))


def test_sums_are_those_of_the_pixels() -> None:
    layers = noise(1, (30, 33))
    keys, segments = in_tiles(layers, 7)
    assert len(segments) > 20
    for i, key in enumerate(segments.key):
        own = keys == key
        rows, cols = np.nonzero(own)
        assert segments.box[i].tolist() == [rows.min(), cols.min(), rows.max() + 1, cols.max() + 1]
        assert segments.table[i, 7:].tolist() == [(layers.classes[own] == c).sum() for c in RULES.things]
        sure = ((layers.confidence[own].astype(int) - 1) / 254).mean()
        assert np.isclose(segments.score[i], (layers.centre[*segments.centre[i]] - 1) / 65534 * sure)
    stored = Segments.from_bytes(segments.to_bytes(), len(RULES.things))
    np.testing.assert_array_equal(stored.table, segments.table)


def test_halo_is_as_small_as_it_can_be() -> None:
    """A pixel points as far as it can, its centre lies as far on, and a larger value next to that is no centre."""
    rules = replace(RULES, span=(3 * SUB, 3 * SUB))
    width = rules.halo_px + 1
    blank = np.ones((1, width), np.uint16)
    layers = TileLayers(
        np.full((1, width), 2, np.uint8), blank.astype(np.uint8), blank.copy(), blank * 32768, blank * 32768
    )
    layers.offset_col[0, 0] = 65535
    layers.centre[0, rules.extent_px], layers.centre[0, rules.halo_px] = 30, 31
    whole = in_tiles(layers, width, rules)[0]
    assert whole[0, 0] == NOBODY
    np.testing.assert_array_equal(in_tiles(layers, 1, rules)[0], whole)
    assert in_tiles(layers, 1, rules, less_px=1)[0][0, 0] == rules.extent_px


def test_small_segments_and_things_of_nobody_are_nodata() -> None:
    ids = panoptic_ids(np.uint8([[0, 1, 2, 2, 5]]), np.uint32([[0, 0, 256, 0, 0]]), (2, 5))
    assert ids.tolist() == [[0, 1, 256, 0, 0]]
