"""Tiling is invisible: chunked, reordered integer blending against a naive whole-image oracle.

The oracle shares no code with geoseg: it mirrors the whole image with numpy, lays windows by a loop, and weighs and
sums in Python's and numpy's 64-bit integers.
"""

from math import cos, pi

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.tiling.axis import Axis
from geoseg.tiling.blend import Finished, accumulate, finish, quantise
from geoseg.tiling.windows import WindowGrid, chunks
from geoseg.values.box import Box

STEP = 2.0**-18
ONE = 2**18 - 1


def two(p):
    return np.stack([p, 1 - p]).astype(np.float32)


def identity(window):
    return two(window)


def constant(window):
    return two(np.full_like(window, 0.3))


def ramp(window):
    """Answer by the place in the window: what a tiling must blend and cannot hide."""
    rows = np.linspace(0, 0.9, window.shape[0], dtype=np.float32)[:, None]
    return two(rows + np.linspace(0, 0.1, window.shape[1], dtype=np.float32))


def context(window):
    """Answer by the pixels around, zeros outside the window: like a network, wrong towards its border."""
    padded = np.pad(window, 2)
    near = [padded[i : i + window.shape[0], j : j + window.shape[1]] for i in range(5) for j in range(5)]
    return two(np.clip(np.mean(near, 0), 0, 1))


NETWORKS = [identity, constant, ramp, context]


def oracle_weights(n, window, margin, ramp_px):
    """Return {start: weight of each pixel} of the windows that cover n pixels."""
    up = [round(128 * (0.5 - 0.5 * cos(pi * (k + 0.5) / ramp_px))) for k in range(ramp_px)]
    rising = [0] * margin + up
    flat = [128] * (window - 2 * len(rising))
    inner = rising + flat + [128 - w for w in up] + [0] * margin
    starts = [0]
    while starts[-1] + window < n:
        starts.append(starts[-1] + window - 2 * margin - ramp_px)
    out = {s: list(inner) for s in starts}
    out[0][: len(rising)] = [128] * len(rising)
    out[starts[-1]][window - len(rising) :] = [128] * len(rising)
    return out


def oracle(image, grid, network):
    """Blend the whole image at once: int64 (K, h, w)."""
    height, width = image.shape
    rows = oracle_weights(height, grid.rows.window, grid.rows.margin, grid.rows.ramp)
    cols = oracle_weights(width, grid.cols.window, grid.cols.margin, grid.cols.ramp)
    full = max(rows) + grid.rows.window, max(cols) + grid.cols.window
    padded = image
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (0, full[axis] - image.shape[axis])
        padded = np.pad(padded, pad, mode="edge" if image.shape[axis] == 1 else "reflect")
    total = np.zeros((2, *full), np.int64)
    for r, row_weight in rows.items():
        for c, col_weight in cols.items():
            part = np.s_[r : r + grid.rows.window, c : c + grid.cols.window]
            q = np.rint(network(padded[part]) * np.float32(ONE)).astype(np.int64)
            total[:, *part] += q * np.outer(row_weight, col_weight)
    return total[:, :height, :width]


def blend(image, grid, network, *, boxes, seed=0):
    """Blend chunk by chunk, chunks and windows in random order, each chunk seeing nothing but what its windows see."""
    rng = np.random.default_rng(seed)
    out = np.zeros((2, *image.shape), np.uint32)
    for i in rng.permutation(len(boxes)):
        box = boxes[i]
        acc = np.zeros((2, *box.shape), np.uint32)
        read = seen_box(grid, box)
        pixels = image[read.within(grid_box(grid))].copy()
        windows = grid.windows(box)
        for k in rng.permutation(len(windows)):
            window = windows[k]
            rows = grid.rows.fold(np.arange(window.row0, window.row1)) - read.row0
            cols = grid.cols.fold(np.arange(window.col0, window.col1)) - read.col0
            probs = quantise(network(pixels[rows[:, None], cols]))
            accumulate(acc, box, probs=probs, window=window, weights=grid.weights(window))
        out[:, *box.within(grid_box(grid))] = acc
    return out


def seen_box(grid, box):
    """Return the pixels that the windows touching ``box`` see."""
    rows = grid.rows.seen_span(grid.rows.touching(box.row0, box.row1))
    cols = grid.cols.seen_span(grid.cols.touching(box.col0, box.col1))
    return Box(rows[0], cols[0], rows[1], cols[1])


def grid_box(grid):
    return Box(0, 0, *grid.shape)


def cut(grid, chunk_px):
    return [b for _, b in chunks(grid.shape, chunk_px)]


def picture(shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def margins_and_ramps(window):
    return [(m, r) for m in range(window // 2 + 1) for r in range(window // 2 - m + 1) if window - 2 * m - r > 0]


SHAPES = [(1, 1), (1, 29), (29, 1), (5, 7), (12, 12), (13, 12), (13, 13), (11, 31), (29, 23)]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_margin_and_ramp_gives_the_oracles_bytes(shape):
    image = picture(shape)
    for margin, ramp_px in margins_and_ramps(12):
        grid = WindowGrid(*(Axis(n, 12, margin=margin, ramp=ramp_px) for n in shape))
        for network in (ramp, context):
            want = oracle(image, grid, network)
            got = blend(image, grid, network, boxes=cut(grid, 16), seed=margin)
            np.testing.assert_array_equal(got, want, err_msg=f"{network.__name__} margin {margin} ramp {ramp_px}")


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 41), (13, 13), (31, 29)])
def test_every_chunk_size_and_order_gives_the_oracles_bytes(shape, network):
    image = picture(shape, 3)
    grid = WindowGrid(*(Axis(n, 12, margin=2, ramp=3) for n in shape))
    want = oracle(image, grid, network)
    for chunk_px in (1, 2, 3, 7, 11, 12, 13, 29, 64):
        got = blend(image, grid, network, boxes=cut(grid, chunk_px), seed=chunk_px)
        np.testing.assert_array_equal(got, want, err_msg=f"chunk {chunk_px}")


@st.composite
def jobs(draw):
    axes = []
    for _ in range(2):
        window = draw(st.integers(1, 40))
        margin = draw(st.integers(0, (window - 1) // 2))
        ramp_px = draw(st.integers(0, min(window // 2 - margin, window - 2 * margin - 1)))
        most = window + 4 * (window - 2 * margin - ramp_px)  # five windows: more of them tell nothing new
        size = draw(st.one_of(st.sampled_from([1, 2, window, window + 1, 53, 89]), st.integers(1, most)))
        size = min(size, most)
        axes.append(Axis(size, window, margin=margin, ramp=ramp_px))
    return WindowGrid(*axes)


@given(jobs(), st.sampled_from(NETWORKS), st.integers(8, 100), st.integers(0, 2**32 - 1))
def test_any_job_gives_the_oracles_bytes(grid, network, chunk_px, seed):
    image = picture(grid.shape, seed)
    got = blend(image, grid, network, boxes=cut(grid, chunk_px), seed=seed)
    np.testing.assert_array_equal(got, oracle(image, grid, network))


@given(jobs(), st.integers(8, 100), st.integers(0, 2**32 - 1))
def test_probes_come_back_to_the_quantisation_step(grid, chunk_px, seed):
    rows, cols = np.linspace(0, 0.6, grid.rows.size), np.linspace(0, 0.4, grid.cols.size)
    slope = (rows[:, None] + cols).astype(np.float32)  # a ramp over the scene
    for image, network, want in (
        (picture(grid.shape, seed), identity, picture(grid.shape, seed)),
        (slope, identity, slope),
        (picture(grid.shape, seed), constant, np.full(grid.shape, np.float32(0.3))),
    ):
        got = blend(image, grid, network, boxes=cut(grid, chunk_px), seed=seed)
        assert np.abs(got[0] / (ONE * 2.0**14) - want).max() <= STEP


def disturbed_blend(image, grid, *, depth):
    """Blend with answers spoilt ``depth`` (rows, cols) deep along every side of a window that has a neighbour."""
    acc = np.zeros((2, *image.shape), np.uint32)
    for window in grid.windows(grid_box(grid)):
        rows, cols = np.arange(window.row0, window.row1), np.arange(window.col0, window.col1)
        probs = quantise(context(image[grid.rows.fold(rows)[:, None], grid.cols.fold(cols)]))
        if window.row0 > 0:
            probs[:, : depth[0]] = ONE
        if window.row1 < grid.rows.size:
            probs[:, len(rows) - depth[0] :] = ONE
        if window.col0 > 0:
            probs[:, :, : depth[1]] = ONE
        if window.col1 < grid.cols.size:
            probs[:, :, len(cols) - depth[1] :] = ONE
        accumulate(acc, grid_box(grid), probs=probs, window=window, weights=grid.weights(window))
    return acc


def test_what_a_network_says_in_its_margin_never_matters_and_beyond_it_does():
    grid = WindowGrid(Axis(90, 32, margin=5, ramp=6), Axis(70, 24, margin=3, ramp=4))
    image = picture(grid.shape)
    clean = disturbed_blend(image, grid, depth=(0, 0))
    np.testing.assert_array_equal(clean, oracle(image, grid, context))
    np.testing.assert_array_equal(disturbed_blend(image, grid, depth=(5, 3)), clean)
    for deeper in ((8, 3), (5, 6)):
        assert (disturbed_blend(image, grid, depth=deeper) != clean).any()


def test_pixels_that_no_window_sees_never_matter():
    grid = WindowGrid.fit((300, 500), window=64, margin=8, ramp=16, multiple=32)
    image = picture(grid.shape)
    for _, box in chunks(grid.shape, 128):
        read = seen_box(grid, box)
        spoilt = np.full(grid.shape, np.nan, np.float32)
        spoilt[read.within(grid_box(grid))] = image[read.within(grid_box(grid))]
        got = blend(spoilt, grid, context, boxes=[box])  # quantise would refuse NaN
        want = blend(image, grid, context, boxes=[box])
        np.testing.assert_array_equal(got, want)


def run(shape, *, window, margin, ramp_px, network, chunk_px, valid=None) -> Finished:
    """A whole small run: fit, blend, finish; classes 1 and 2."""
    grid = WindowGrid.fit(shape, window=window, margin=margin, ramp=ramp_px, multiple=32)
    acc = blend(np.ones(shape, np.float32), grid, network, boxes=cut(grid, chunk_px))
    valid = np.ones(shape, bool) if valid is None else valid
    return finish(acc, valid, class_of_channel=(0, 1), class_ids=(1, 2))


@pytest.mark.parametrize("shape", [(600, 600), (300, 900)])
@pytest.mark.parametrize(("margin", "ramp_px"), [(0, 64), (32, 0), (32, 64)])
def test_d1_no_ring_of_nodata_at_the_scene_border_and_corners_count_fully(shape, margin, ramp_px):
    """geoai predict_geotiff lost a 1-px ring (weight 0 there), and its default gave corners 1.3e-5 instead of 1.0."""
    done = run(shape, window=256, margin=margin, ramp_px=ramp_px, network=identity, chunk_px=200)
    assert (done.classes == 1).all()
    assert (done.confidence == 255).all()
    assert (done.probabilities[0] == 255).all()
    assert (done.probabilities[1] == 1).all()


@pytest.mark.parametrize("shape", [(300, 300), (300, 700), (700, 300)])
def test_d2_a_scene_smaller_than_the_window_is_not_all_zero(shape):
    """geoai semantic_inference_on_geotiff never ran the last batch of such scenes: silently all zero."""
    done = run(shape, window=512, margin=32, ramp_px=32, network=identity, chunk_px=512)
    assert (done.classes == 1).all()


@pytest.mark.parametrize("shape", [(100, 100), (200, 700), (256, 256), (129, 1000), (500, 700)])
def test_d5_no_line_is_lost_at_odd_sizes(shape):
    """NRCan geo-inference gave 100 x 100 as all class 0, and lost a 1-px line of others (Hann is 0 at 0)."""
    done = run(shape, window=256, margin=0, ramp_px=128, network=constant, chunk_px=256)
    assert (done.classes == 2).all()
    assert (done.confidence == 1 + round(254 * 0.7)).all()


@pytest.mark.parametrize("shape", [(200, 700), (700, 200), (224, 225), (1, 700)])
def test_d6_one_axis_smaller_than_the_window_and_the_other_larger(shape):
    """TerraTorch's tiled_inference raised RuntimeError there."""
    image = picture(shape, 6)
    grid = WindowGrid.fit(shape, window=224, margin=32, ramp=32, multiple=32)
    got = blend(image, grid, identity, boxes=cut(grid, 512))
    assert np.abs(got[0] / (ONE * 2.0**14) - image).max() <= STEP


def test_nodata_is_exactly_where_pixels_are_invalid():
    shape = (300, 420)
    valid = np.random.default_rng(8).random(shape) > 0.2
    valid[:, 0] = valid[100:200, 150:] = False
    done = run(shape, window=128, margin=16, ramp_px=32, network=constant, chunk_px=100, valid=valid)
    for layer in (done.classes, done.confidence, *done.probabilities):
        np.testing.assert_array_equal(layer == 0, ~valid)
    assert set(np.unique(done.classes)) == {0, 2}
