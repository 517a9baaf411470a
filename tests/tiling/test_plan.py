"""Windows and chunks, against counts by brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.errors import ConfigError
from geoseg.tiling.axis import Axis
from geoseg.tiling.windows import WindowGrid, chunks, redundancy
from geoseg.values.box import Box


def all_windows(grid):
    """Every window of a grid with the pixels it weighs something on, over the whole scene."""
    height, width = grid.window_shape
    out = {}
    for i in range(grid.rows.count):
        for j in range(grid.cols.count):
            weight = np.outer(grid.rows.weight(i), grid.cols.weight(j))
            top, left = grid.rows.start(i), grid.cols.start(j)
            mask = np.zeros((top + height, left + width), bool)
            mask[top:, left:] = weight > 0
            out[Box(top, left, top + height, left + width)] = mask
    return out


@given(st.integers(1, 90), st.integers(1, 90), st.data())
def test_windows_are_those_that_weigh_something_on_the_box_row_by_row(height, width, data):
    grid = WindowGrid(Axis(height, 32, margin=4, ramp=8), Axis(width, 24, margin=2, ramp=3))
    row0, col0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    row1, col1 = data.draw(st.integers(row0 + 1, height)), data.draw(st.integers(col0 + 1, width))
    every = all_windows(grid)
    assert grid.count == len(every)
    want = [w for w, mask in every.items() if mask[row0:row1, col0:col1].any()]
    assert list(grid.windows(Box(row0, col0, row1, col1))) == want == sorted(want)


def test_weights_belong_to_their_window():
    grid = WindowGrid(Axis(90, 32, margin=4, ramp=8), Axis(80, 24, margin=2, ramp=3))
    for window, mask in all_windows(grid).items():
        rows, cols = grid.weights(window)
        np.testing.assert_array_equal(np.outer(rows, cols) > 0, mask[window.row0 :, window.col0 :])


@pytest.mark.parametrize(
    ("size", "window", "count"),
    [(1, 32, 1), (31, 32, 1), (32, 32, 1), (33, 64, 1), (480, 480, 1), (511, 512, 1), (512, 512, 1), (513, 512, 2)],
)
def test_an_axis_that_fits_in_a_window_gets_the_smallest_multiple_that_holds_it(size, window, count):
    grid = WindowGrid.fit((size, 5000), window=512, margin=32, ramp=32, multiple=32)
    assert grid.shape == (size, 5000)
    assert grid.window_shape == (window, 512)
    assert grid.rows.count == count
    grid.rows.check_alignment(32)


@pytest.mark.parametrize("shape", [(100, 100), (5000, 5000)])
@pytest.mark.parametrize(("margin", "ramp"), [(30, 32), (32, 33), (300, 0)])
def test_a_model_with_a_bad_margin_is_refused_whatever_the_scene(shape, margin, ramp):
    with pytest.raises(ConfigError):
        WindowGrid.fit(shape, window=512, margin=margin, ramp=ramp, multiple=32)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 70))
def test_chunks_cover_every_pixel_once_in_order(height, width, chunk_px):
    seen = np.zeros((height, width), int)
    found = list(chunks((height, width), chunk_px))
    for _, box in found:
        seen[box.within(Box(0, 0, height, width))] += 1
    assert (seen == 1).all()
    assert [b for _, b in found] == sorted(b for _, b in found)
    assert [i for i, _ in found] == sorted({i for i, _ in found})


def test_chunk_ids_are_stable():
    found = dict(chunks((13 * 512, 8 * 512), 512))
    assert found["r00012_c00007"] == Box(12 * 512, 7 * 512, 13 * 512, 8 * 512)


def test_redundancy_counts_windows_run_by_several_chunks():
    grid = WindowGrid.fit((3000, 2500), window=512, margin=32, ramp=32, multiple=32)
    boxes = [b for _, b in chunks(grid.shape, 512)]
    apart = [[box] for box in boxes]
    assert redundancy(grid, apart) == sum(len(grid.windows(b)) for b in boxes) / len(
        grid.windows(Box(0, 0, 3000, 2500))
    )
    assert redundancy(grid, apart) > 1.5
    assert redundancy(grid, [boxes]) == redundancy(grid, [[Box(0, 0, 3000, 2500)]]) == 1.0
    assert 1 < redundancy(grid, [boxes[::2], boxes[1::2]]) < redundancy(grid, apart)
