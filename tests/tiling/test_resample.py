"""Resampling: the same values whatever the box, constants and means kept, invalid pixels left out."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from geoseg.tiling.resample import Resampling, resample_counts, resample_valid
from geoseg.tiling.taps import axis_taps, source_box
from geoseg.values.box import Box
from geoseg.values.grid import Grid

sizes = st.tuples(st.integers(1, 23), st.integers(1, 23))


def boxes(shape):
    def axis(n):
        return st.tuples(st.integers(0, n - 1), st.integers(1, n)).filter(lambda p: p[0] < p[1])

    return st.tuples(axis(shape[0]), axis(shape[1])).map(lambda p: Box(p[0][0], p[1][0], p[0][1], p[1][1]))


def run(data, valid, taps, function=resample_valid):
    part = source_box(taps).within(Box(0, 0, *valid.shape))
    return function(data[:, *part], valid[part], taps)


def whole(shape):
    return Box(0, 0, *shape)


def slow_weights(n_source, n_target):
    """The weight matrix by the definition: overlap of cells downwards, a tent between centres upwards."""
    out = np.zeros((n_target, n_source))
    for i in range(n_target):
        if n_target <= n_source:
            lo, hi = i * n_source / n_target, (i + 1) * n_source / n_target
            for j in range(n_source):
                out[i, j] = max(0, min(hi, j + 1) - max(lo, j)) * n_target / n_source
        else:
            centre = min(max((i + 0.5) * n_source / n_target - 0.5, 0), n_source - 1)
            for j in range(n_source):
                out[i, j] = max(0, 1 - abs(centre - j))
    return out


@given(st.integers(1, 40), st.integers(1, 40))
def test_taps_are_the_definition_s(n_source, n_target):
    taps = axis_taps(n_source, n_target, 0, n_target)
    dense = np.zeros((n_target, n_source))
    for row, index, weight in zip(dense, taps.index + taps.source[0], taps.weight, strict=True):
        np.add.at(row, index, weight)
    np.testing.assert_allclose(dense, slow_weights(n_source, n_target), atol=1e-6)
    np.testing.assert_allclose(taps.weight.sum(1), 1, atol=1e-6)


@given(st.data(), sizes, sizes, st.integers(0, 2**32 - 1))
def test_any_box_is_the_crop_of_the_whole(data, scene, working, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 60_000, (2, *scene)).astype(np.uint16)
    valid = rng.random(scene) < 0.7
    there = Resampling(scene, working)
    image, mask = run(pixels, valid, there.to_working(whole(working)))
    box = data.draw(boxes(working))
    part, part_mask = run(pixels, valid, there.to_working(box))
    np.testing.assert_array_equal(part, image[:, *box.within(whole(working))])
    np.testing.assert_array_equal(part_mask, mask[box.within(whole(working))])
    counts = rng.integers(0, 2**32, (2, *working), dtype=np.uint32)
    back, back_mask = run(counts, mask, there.to_scene(whole(scene)), resample_counts)
    box = data.draw(boxes(scene))
    part, part_mask = run(counts, mask, there.to_scene(box), resample_counts)
    np.testing.assert_array_equal(part, back[:, *box.within(whole(scene))])
    np.testing.assert_array_equal(part_mask, back_mask[box.within(whole(scene))])


@given(sizes, sizes, st.integers(0, 2**32 - 1))
def test_values_are_weighted_means_of_valid_pixels(scene, working, seed):
    rng = np.random.default_rng(seed)
    pixels, valid = rng.normal(0, 100, (3, *scene)).astype(np.float32), rng.random(scene) < 0.8
    pixels[:, ~valid] = np.nan  # must never be looked at
    image, mask = run(pixels, valid, Resampling(scene, working).to_working(whole(working)))
    weights = np.einsum("ia,jb->ijab", slow_weights(scene[0], working[0]), slow_weights(scene[1], working[1])) * valid
    total = weights.sum((2, 3))
    sure = (total > 1e-6) | (total == 0)  # elsewhere rounding decides whether a tap counts
    np.testing.assert_array_equal(mask[sure], (total > 0)[sure])
    sums = np.einsum("ijab,cab->cij", weights, np.nan_to_num(pixels))
    expected = np.where(total > 1e-6, sums / np.maximum(total, 1e-6), 0)
    np.testing.assert_allclose(image[:, sure], expected[:, sure], rtol=1e-3, atol=0.05)
    assert (image[:, ~mask] == 0).all()


@given(sizes, sizes, st.integers(0, 2**32 - 1))
def test_constants_stay_and_validity_is_any_source(scene, working, seed):
    valid = np.random.default_rng(seed).random(scene) < 0.5
    there = Resampling(scene, working)
    image, mask = run(np.full((1, *scene), 37.25, np.float32), valid, there.to_working(whole(working)))
    np.testing.assert_allclose(image[0][mask], 37.25, rtol=1e-5)  # fp32 sums of up to 40 x 40 terms
    counts, _ = run(np.full((1, *working), 2**32 - 1, np.uint32), mask, there.to_scene(whole(scene)), resample_counts)
    assert set(np.unique(counts)) <= {0, 2**32 - 1}


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 5), st.integers(1, 5))
def test_integer_factors_are_block_means(h, w, down_rows, down_cols):
    pixels = np.random.default_rng(h + 7 * w).integers(0, 255, (2, h * down_rows, w * down_cols)).astype(np.uint8)
    taps = Resampling(pixels.shape[1:], (h, w)).to_working(Box(0, 0, h, w))
    image, mask = run(pixels, np.ones(pixels.shape[1:], bool), taps)
    np.testing.assert_allclose(image, pixels.reshape(2, h, down_rows, w, down_cols).mean((2, 4)), rtol=1e-5)
    assert image.mean() == pytest.approx(pixels.mean(), rel=1e-5)
    assert mask.all()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_identity_is_exact(dtype):
    pixels = (np.random.default_rng(0).normal(0, 50, (2, 9, 7))).astype(dtype)
    valid = np.random.default_rng(1).random((9, 7)) < 0.8
    same = Resampling((9, 7), (9, 7))
    box = Box(2, 1, 8, 7)
    assert same.is_identity
    assert source_box(same.to_working(box)) == box
    image, mask = run(pixels, valid, same.to_working(box))
    np.testing.assert_array_equal(mask, valid[2:8, 1:7])
    np.testing.assert_array_equal(image[:, mask], pixels[:, 2:8, 1:7][:, mask].astype(np.float32))


def test_bilinear_up_keeps_a_ramp_between_the_first_and_last_centre():
    ramp = np.arange(5, dtype=np.float32)[None, None].repeat(3, 1)
    image, _ = run(ramp, np.ones((3, 5), bool), Resampling((3, 5), (3, 20)).to_working(Box(0, 0, 3, 20)))
    np.testing.assert_allclose(image[0, 1], np.clip((np.arange(20) + 0.5) / 4 - 0.5, 0, 4), atol=1e-6)


@pytest.mark.parametrize(
    ("transform", "shape", "gsd_m", "working"),
    [
        (Affine(0.5, 0, 5e5, 0, -0.5, 5e6), (100, 200), None, (100, 200)),
        (Affine(0.5, 0, 5e5, 0, -0.5, 5e6), (100, 200), 0.7, (100, 200)),  # within 1.5x
        (Affine(0.5, 0, 5e5, 0, -0.5, 5e6), (100, 200), 1.0, (50, 100)),
        (Affine(0.5, 0, 5e5, 0, -0.5, 5e6), (100, 200), 0.25, (200, 400)),
        (Affine(0.5, 0, 5e5, 0, -2.0, 5e6), (100, 200), 1.0, (200, 100)),  # long pixels
        (Affine(0.5, 0, 5e5, 0, -0.5, 5e6), (1, 1), 10.0, (1, 1)),
    ],
)
def test_the_working_grid_has_the_model_s_resolution(transform, shape, gsd_m, working):
    grid = Grid(CRS.from_epsg(32633), transform, shape)
    assert Resampling.to_resolution(grid, gsd_m).working_shape == working


def test_degrees_are_resampled_to_true_metres():
    grid = Grid(CRS.from_epsg(4326), Affine(1e-4, 0, 20, 0, -1e-4, 60), (300, 300))  # 11.1 x 5.6 m
    there = Resampling.to_resolution(grid, 5.0)
    assert grid.resized(there.working_shape).ground_resolution_m() == pytest.approx((5, 5), rel=5e-3)
