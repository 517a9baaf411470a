import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geoseg.values.box import Box
from geoseg.vector.pixels.components import find_components, sum_bytes
from geoseg.vector.pixels.runs import inside_runs
from geoseg.vector.tiles.tile_borders import join_tiles, tile_border

LOW = 128


def tiles_of(shape, size):
    return [
        Box(row, col, min(row + size, shape[0]), min(col + size, shape[1]))
        for row in range(0, shape[0], size)
        for col in range(0, shape[1], size)
    ]


def joined(probability, size):
    whole = Box(0, 0, *probability.shape)
    return join_tiles(
        tile_border(np.ascontiguousarray(probability[tile.within(whole)]), tile, LOW)
        for tile in tiles_of(probability.shape, size)
    )


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.sampled_from([0, 100, 200, 255])),
    st.integers(1, 9),
)
def test_blocks_are_the_components_that_touch_a_tile_border(probability, size):
    runs = inside_runs(probability, LOW)
    whole = find_components(runs)
    byte_sum = sum_bytes(probability, runs, whole)
    blocks, tiles = joined(probability, size)
    on_border = np.zeros(probability.shape, bool)
    for tile in tiles_of(probability.shape, size):
        on_border[tile.row0, tile.col0 : tile.col1] = on_border[tile.row1 - 1, tile.col0 : tile.col1] = True
        on_border[tile.row0 : tile.row1, tile.col0] = on_border[tile.row0 : tile.row1, tile.col1 - 1] = True
    labels = np.full(probability.shape, -1)
    for row in range(len(labels)):
        for k in range(runs.start[row], runs.start[row + 1]):
            labels[row, runs.first[k] : runs.end[k]] = whole.of_run[k]
    touching = np.setdiff1d(labels[on_border], [-1])
    assert blocks.first_pixel.tolist() == whole.first_pixel[touching].tolist()
    assert blocks.box.tolist() == whole.box[touching].tolist()
    assert blocks.area_px.tolist() == whole.area_px[touching].tolist()
    assert blocks.byte_sum.tolist() == byte_sum[touching].tolist()
    for _, pieces, block in tiles:
        assert labels[tuple(pieces.first_pixel.T)].tolist() == touching[block].tolist()


def spiral(size):
    """A line one pixel wide that winds inwards, one pixel away from itself."""
    out = np.zeros((size, size), np.uint8)
    out[0, :] = 255
    row, col, step = 0, size - 1, (1, 0)
    for length in (n for k in range(size - 1, 0, -2) for n in (k, k)):
        for _ in range(length):
            row, col = row + step[0], col + step[1]
            out[row, col] = 255
        step = step[1], -step[0]
    return out


@pytest.mark.parametrize("size", [5, 16, 64])
def test_a_spiral_through_many_tiles_is_one_block(size):
    probability = spiral(41)
    blocks, _ = joined(probability, size)
    assert len(blocks) == 1
    assert blocks.area_px.tolist() == [(probability > 0).sum()]
    assert blocks.box_px.tolist() == [41 * 41]


def test_an_empty_scene_has_no_blocks():
    blocks, tiles = joined(np.zeros((7, 9), np.uint8), 4)
    assert (len(blocks), tiles) == (0, [])
