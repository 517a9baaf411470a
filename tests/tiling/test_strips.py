"""Strips of a chunk: their rows tile it, and all that a row is made from has been run when it leaves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.tiling.resample import Resampling
from geoseg.tiling.strips import strips
from geoseg.tiling.taps import source_box
from geoseg.tiling.windows import WindowGrid
from geoseg.values.box import Box

SHAPES = [((150, 231), (150, 231)), ((150, 231), (75, 116)), ((150, 231), (301, 470)), ((40, 500), (40, 170))]


@pytest.mark.parametrize(("scene", "working"), SHAPES)
@given(data=st.data())
def test_rows_leave_once_and_complete(scene, working, data):
    grid = WindowGrid.fit(working, window=64, margin=8, ramp=16, multiple=32)
    resampling = Resampling(scene, working)
    row0, col0 = data.draw(st.integers(0, scene[0] - 1)), data.draw(st.integers(0, scene[1] - 1))
    row1, col1 = data.draw(st.integers(row0 + 1, scene[0])), data.draw(st.integers(col0 + 1, scene[1]))
    chunk = Box(row0, col0, row1, col1)
    found = strips(grid, resampling, chunk)
    assert [s.rows[0] for s in found] == [row0, *(s.rows[1] for s in found[:-1])]
    assert found[-1].rows[1] == row1
    windows = [w for s in found for w in s.windows]
    assert windows == list(grid.windows(source_box(resampling.to_scene(chunk))))
    for i, strip in enumerate(found):
        assert strip.pixels.clip(Box(0, 0, *scene)) == strip.pixels
        assert strip.seen == _seen(grid, strip.windows)
        lo, hi = strip.rows
        if lo < hi:
            made_from = source_box(resampling.to_scene(Box(lo, col0, hi, col1)))
            assert made_from.clip(strip.sums) == made_from
            later = {w for s in found[i + 1 :] for w in s.windows}
            assert not later & set(grid.windows(made_from))


def _seen(grid, windows):
    rows = np.concatenate([grid.rows.fold(np.arange(w.row0, w.row1)) for w in windows])
    cols = np.concatenate([grid.cols.fold(np.arange(w.col0, w.col1)) for w in windows])
    return Box(int(rows.min()), int(cols.min()), int(rows.max()) + 1, int(cols.max()) + 1)


def test_a_window_reaches_exactly_the_pixels_that_it_counts_for():
    grid = WindowGrid.fit((150, 231), window=64, margin=8, ramp=16, multiple=32)
    chunk = Box(20, 30, 140, 200)
    for strip in strips(grid, Resampling((150, 231), (150, 231)), chunk):
        for window, reach in zip(strip.windows, strip.reaches, strict=True):
            rows, cols = grid.weights(window)
            r = [window.row0 + k for k in np.flatnonzero(rows) if chunk.row0 <= window.row0 + k < chunk.row1]
            c = [window.col0 + k for k in np.flatnonzero(cols) if chunk.col0 <= window.col0 + k < chunk.col1]
            assert reach.row0 <= min(r) and max(r) < reach.row1  # noqa: PT018
            assert reach.col0 <= min(c) and max(c) < reach.col1  # noqa: PT018
