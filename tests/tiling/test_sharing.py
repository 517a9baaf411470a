"""For which chunks a window counts, against the strips that chunks walk."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.tiling.resample import Resampling
from geoseg.tiling.sharing import Sharing
from geoseg.tiling.strips import strips
from geoseg.tiling.windows import WindowGrid, chunks
from geoseg.values.box import Box

SIDES = st.integers(1, 260)


@settings(max_examples=40, deadline=None)
@given(
    scene=st.tuples(SIDES, SIDES),
    scale=st.sampled_from([1.0, 0.5, 0.37, 1.6, 2.0]),
    margin_and_ramp=st.sampled_from([(0, 0), (8, 16), (12, 8), (16, 0), (0, 32)]),
    chunk_px=st.integers(20, 300),
)
def test_a_window_is_shared_by_the_chunks_that_walk_it(scene, scale, margin_and_ramp, chunk_px):
    working = tuple(max(1, round(side * scale)) for side in scene)
    resampling, (margin, ramp) = Resampling(scene, working), margin_and_ramp
    grid = WindowGrid.fit(working, window=64, margin=margin, ramp=ramp, multiple=32)
    found = Sharing.of(grid, resampling, chunk_px)
    walked = {}
    for _, box in chunks(scene, chunk_px):
        for strip in strips(grid, resampling, box):
            for window in strip.windows:
                walked.setdefault(window, {}).setdefault((box.row0 // chunk_px, box.col0 // chunk_px), strip.sums)
    for window, users in walked.items():
        assert found.users(window) == sorted(users)
        part, weights = found.part(window, users), grid.weights(window)
        for sums in users.values():  # all that weighs something for one of them lies in the part
            counts = np.outer(*weights)[sums.clip(window).within(window)] > 0
            outside = np.ones(counts.shape, bool)
            if (common := part.clip(sums.clip(window))) is not None:
                outside[common.within(sums.clip(window))] = False
            assert not (counts & outside).any()


def test_no_more_windows_wait_than_those_at_two_borders_and_beside_a_chunk():
    grid = WindowGrid.fit((2000, 3000), window=512, margin=32, ramp=32, multiple=32)
    same = Resampling((2000, 3000), (2000, 3000))
    alone, four = Sharing.of(grid, same, 4096), Sharing.of(grid, same, 1024)
    assert alone.most_waiting == 0
    assert alone.users(Box(0, 0, 512, 512)) == [(0, 0)]
    assert four.most_waiting == 2 * (grid.cols.count + 3)
