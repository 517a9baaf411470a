"""Windows for training: pixels and labels move together, and radiometry keeps to what it is told."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import maximum_filter, minimum_filter

from geoseg.training.areas import AreaPixels
from geoseg.training.augment import Recipe, random_window
from geoseg.training.spec import Augmentation
from geoseg.training.targets import IGNORE, UNKNOWN, BuildingTarget, ClassTarget

MEAN, STD = np.array([100, 50], np.float32), np.array([20, 10], np.float32)
PLAIN = Augmentation(gain=0, band_gain=0, offset=0, gamma=(1, 1), noise=0, blur=0, erase=0)


CLASSES = ClassTarget(
    values={"0": 1, "1": 2},
    classes=[{"id": i, "name": name, "color": (i, i, i)} for i, name in ((1, "dark"), (2, "bright"))],
)


def area(shape=(90, 120), seed=0):
    """An image whose value says its label: 80 or 120 in the first band."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((shape[0] // 10 + 1, shape[1] // 10 + 1)) < 0.5
    labels = np.kron(coarse, np.ones((10, 10)))[: shape[0], : shape[1]].astype(np.int32)
    image = np.stack([80 + 40 * labels, np.full(shape, 50)]).astype(np.float32)
    return AreaPixels(image, np.ones(shape, bool), labels)


def cut(pixels, seed, change=PLAIN, size=64, target=CLASSES):
    recipe = Recipe(size, change, target, MEAN, STD, (MEAN - 2.5 * STD, MEAN + 2.5 * STD))
    return random_window(pixels, recipe, np.random.default_rng(seed))[:2]


@pytest.mark.parametrize("seed", range(12))
def test_labels_move_with_their_pixels(seed):
    image, labels = cut(area(), seed)
    value = image[0] * 20 + 100
    known = labels != IGNORE
    one = [f(labels, 5, mode="constant", cval=c) for f, c in ((maximum_filter, 255), (minimum_filter, 0))]
    pure = one[0] == one[1]  # one class within bilinear reach
    assert (pure & known).sum() > 200
    np.testing.assert_allclose(value[pure & known], 80 + 40 * labels[pure & known].astype(float), atol=0.01)


def test_without_rotation_and_scale_windows_are_turned_by_quarters_and_flipped():
    rigid = PLAIN.model_copy(update={"rotate": False, "scale": (1.0, 1.0)})
    rows = np.repeat(np.arange(90, dtype=np.float32)[:, None], 90, 1) + 60
    field = AreaPixels(np.stack([rows, rows]), np.ones((90, 90), bool), np.zeros((90, 90), np.int32))
    seen = set()
    for seed in range(40):
        image, labels = cut(field, seed, rigid, size=32)
        if (labels != IGNORE).all():  # wholly inside
            down, right = (np.diff(image[0] * 20, axis=axis)[2:-2, 2:-2] for axis in (0, 1))
            assert np.ptp(down) < 1e-3
            assert np.ptp(right) < 1e-3
            seen.add((round(float(down.mean())), round(float(right.mean()))))
    assert seen == {(1, 0), (-1, 0), (0, 1), (0, -1)}


def test_one_seed_one_window():
    every = Augmentation()
    for a, b in zip(cut(area(), 7, every), cut(area(), 7, every), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(cut(area(), 7, every)[0], cut(area(), 8, every)[0])


@pytest.mark.parametrize("seed", range(6))
def test_invalid_pixels_are_neutral_ignored_and_darken_no_neighbour(seed):
    pixels = area()
    valid = np.random.default_rng(5).random((90, 120)) < 0.7
    holes = AreaPixels(
        np.where(valid, np.float32(100), np.float32(0)) * np.ones((2, 1, 1), np.float32),
        valid,
        np.where(valid, pixels.labels, UNKNOWN).astype(np.int32),
    )
    image, labels = cut(holes, seed)
    assert (image[:, labels == IGNORE] == 0).sum() > 100
    np.testing.assert_allclose(image[0][labels != IGNORE], 0, atol=1e-4)  # 100 is the mean: 0 once normalised
    np.testing.assert_allclose(image[1][labels != IGNORE], 3.5, atol=1e-4)  # 100 clipped at its band's mean + 3.5 std


def test_beyond_the_area_labels_are_ignored():
    _, labels = cut(area((20, 20)), 0, size=64)
    assert (labels == IGNORE).mean() > 0.5
    assert (labels != IGNORE).any()


def test_sparse_labels_are_found():
    pixels = area()
    labels = np.full((90, 120), UNKNOWN, np.int32)
    labels[71, 13] = 1
    rigid = PLAIN.model_copy(update={"scale": (1.4, 1.4)})
    for seed in range(5):
        _, window = cut(AreaPixels(pixels.image, pixels.valid, labels), seed, rigid)
        assert (window == 1).any()


def test_erasing_hides_a_rectangle():
    image, labels = cut(area(), 2, PLAIN.model_copy(update={"erase": 1.0}))
    hidden = (image == 0).all(0) & (labels == IGNORE)
    rows, cols = np.nonzero(hidden)
    assert hidden[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1].mean() > 0.6


def test_gains_offsets_and_noise_stay_within_their_range():
    flat = AreaPixels(np.full((2, 64, 64), 100, np.float32), np.ones((64, 64), bool), np.zeros((64, 64), np.int32))
    change = PLAIN.model_copy(update={"gain": 0.2, "offset": 0.1})
    levels = [cut(flat, seed, change)[0][0].mean() for seed in range(40)]
    # 100 lies at 0.5 of the unit range of 5 std: +-20 % and +-0.15 of it are at most (0.5 * 0.2 + 0.15) * 5 std
    assert np.ptp(levels) > 0.3
    assert np.abs(levels).max() <= 1.25 + 1e-3


def test_windows_come_at_every_resolution_of_their_range():
    rows = 60 + np.repeat(np.arange(400, dtype=np.float32)[:, None], 400, 1) * 0.2
    ramp = AreaPixels(np.stack([rows, rows]), np.ones((400, 400), bool), np.zeros((400, 400), np.int32), gsd_m=0.5)
    change = PLAIN.model_copy(update={"gsd_m": (0.2, 4.0), "rotate": False})
    steps = []
    for seed in range(30):
        image, labels = cut(ramp, seed, change, size=32)
        if (labels != IGNORE).all():  # the ramp rises by 0.2 a pixel of 0.5 m
            steps.append(max(np.abs(np.diff(image[0] * 20, axis=axis)).mean() for axis in (0, 1)) / 0.2 * 0.5)
    assert min(steps) < 0.4
    assert max(steps) > 2
    assert all(0.19 < step < 4.1 for step in steps)


def test_what_is_shown_smaller_is_averaged_not_skipped():
    """Stripes of one pixel become grey at an eighth of their size, where single pixels would be 80 or 120."""
    stripes = np.tile(np.array([80, 120], np.float32), (256, 128))
    area_ = AreaPixels(np.stack([stripes, stripes]), np.ones((256, 256), bool), np.zeros((256, 256), np.int32))
    change = PLAIN.model_copy(update={"scale": (0.125, 0.125), "rotate": False})
    image, labels = cut(area_, 3, change, size=32)
    np.testing.assert_allclose((image[0] * 20 + 100)[labels != IGNORE], 100, atol=3)  # blocks of 7 or 8


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_borders_keep_their_width_on_the_ground(scale):
    ids = np.zeros((128, 128), np.int32)
    ids[34:94, 34:94] = 1
    roof = AreaPixels(np.full((2, 128, 128), 100, np.float32), np.ones((128, 128), bool), ids, gsd_m=0.5)
    change = PLAIN.model_copy(update={"scale": (scale, scale), "rotate": False})
    widths = []
    for seed in range(8):
        _, labels = cut(roof, seed, change, size=64, target=BuildingTarget(border_m=2.0))
        row = labels[32]
        runs = np.flatnonzero(np.diff(np.concatenate([[0], (row == 2).astype(int), [0]])))
        widths += [b - a for a, b in zip(runs[::2], runs[1::2], strict=True) if a > 0 and b < 64]
    assert np.median(widths) == pytest.approx(2.0 / 0.5 * scale, abs=1)


def test_sharpening_and_gray_change_edges_and_colours_only():
    flat = np.stack([np.full((64, 64), v, np.float32) for v in (90, 55)])
    plain = AreaPixels(flat, np.ones((64, 64), bool), np.zeros((64, 64), np.int32))
    for change in ({"sharpen": 1.0}, {"gray": 1.0}):
        image, _ = cut(plain, 1, PLAIN.model_copy(update=change))
        assert np.ptp(image, axis=(1, 2)) == pytest.approx(0, abs=1e-4)  # what is flat stays flat
    unit = [(cut(plain, 1, PLAIN.model_copy(update={"gray": share}))[0][:, 0, 0] + 2.5) / 5 for share in (0.0, 1.0)]
    assert abs(np.diff(unit[1])[0]) < abs(np.diff(unit[0])[0])


def test_a_coarser_sensor_keeps_means_and_loses_detail():
    rng = np.random.default_rng(0)
    noisy = AreaPixels(
        rng.normal(100, 4, (2, 96, 96)).astype(np.float32), np.ones((96, 96), bool), np.zeros((96, 96), np.int32)
    )
    still = PLAIN.model_copy(update={"rotate": False, "scale": (1.0, 1.0)})
    plain, _ = cut(noisy, 3, still)
    coarse, _ = cut(noisy, 3, still.model_copy(update={"coarse": 1.0}))
    assert coarse.shape == plain.shape
    assert coarse[0].std() < 0.75 * plain[0].std()
    assert coarse[0].mean() == pytest.approx(plain[0].mean(), abs=0.02)


def test_pansharpening_keeps_detail_and_coarsens_colours():
    rng = np.random.default_rng(4)
    pixels = AreaPixels(
        rng.uniform(60, 90, (2, 90, 120)).astype(np.float32), np.ones((90, 120), bool), np.zeros((90, 120), np.int32)
    )
    recipe = Recipe(
        64, PLAIN, CLASSES, MEAN, np.array([10, 10], np.float32), (np.zeros(2, "f4"), np.full(2, 255, "f4"))
    )
    change = PLAIN.model_copy(update={"pansharpen": 1.0})
    plain, changed = (
        random_window(pixels, replace(recipe, change=c), np.random.default_rng(9))[0] * 10 + MEAN[:, None, None]
        for c in (PLAIN, change)
    )
    np.testing.assert_allclose(changed.mean(0), plain.mean(0), atol=0.01)
    colour, own = changed[0] - changed[1], plain[0] - plain[1]
    assert 0 < np.abs(np.diff(colour)).mean() < 0.5 * np.abs(np.diff(own)).mean()
    assert colour.mean() == pytest.approx(own.mean(), abs=0.5)


@pytest.mark.parametrize("bands", [2, 3])
def test_jpeg_changes_pixels_a_little_whatever_the_bands(bands):
    mean, std = np.full(bands, 100, np.float32), np.full(bands, 20, np.float32)
    rng = np.random.default_rng(0)
    image = rng.normal(100, 10, (bands, 96, 96)).astype(np.float32)
    noisy = AreaPixels(image, np.ones((96, 96), bool), np.zeros((96, 96), np.int32))
    still = PLAIN.model_copy(update={"rotate": False, "scale": (1.0, 1.0)})
    seen = []
    for change in (still, still.model_copy(update={"jpeg": 1.0})):
        recipe = Recipe(64, change, CLASSES, mean, std, (mean - 2.5 * std, mean + 2.5 * std))
        seen.append(random_window(noisy, recipe, np.random.default_rng(3))[0])
    away = np.abs(seen[1] - seen[0])
    assert away.shape == (bands, 64, 64)
    assert 0.01 < away.mean() < 0.5


def test_optional_bands_are_dropped_as_often_as_told_and_a_band_that_the_scene_lacks_is_never_seen():
    change = Augmentation(drop=0.5, gray=0.5, blur=0.5, coarse=0.5, noise=0.02, jpeg=0.5)
    recipe = Recipe(32, change, CLASSES, MEAN, STD, (MEAN - 2.5 * STD, MEAN + 2.5 * STD), optional=(1,))
    held, lacking = area(), area()
    lacking.image[1] = np.nan
    seen = [random_window(held, recipe, np.random.default_rng(seed))[0] for seed in range(60)]
    dropped = [not window[1].any() for window in seen]
    assert 15 <= sum(dropped) <= 45
    assert all(window[0].any() and np.isfinite(window).all() for window in seen)
    without = [random_window(lacking, recipe, np.random.default_rng(seed))[0] for seed in range(5)]
    assert all(window[0].any() and not window[1].any() and np.isfinite(window).all() for window in without)


@pytest.mark.parametrize("size", [32, 33])
def test_windows_that_are_neither_turned_nor_scaled_show_pixels_as_they_are(size):
    rng = np.random.default_rng(0)
    rough = AreaPixels(
        rng.integers(60, 140, (2, 90, 90)).astype(np.float32), np.ones((90, 90), bool), np.zeros((90, 90), np.int32)
    )
    rigid = PLAIN.model_copy(update={"rotate": False, "scale": (1.0, 1.0)})
    values = cut(rough, 1, rigid, size=size)[0] * STD[:, None, None] + MEAN[:, None, None]
    np.testing.assert_allclose(values, values.round(), atol=1e-3)


def flat_area():
    flat = np.stack([np.full((128, 128), 100), np.full((128, 128), 50)]).astype(np.float32)
    return AreaPixels(flat, np.ones((128, 128), bool), np.zeros((128, 128), np.int32))


def test_haze_brightens_and_flattens_and_a_shadow_darkens_a_strip():
    plain = cut(flat_area(), 1)[0]
    hazy = cut(flat_area(), 1, PLAIN.model_copy(update={"haze": 1.0}))[0]
    assert (hazy > plain + 0.02).all()
    strip = cut(flat_area(), 1, PLAIN.model_copy(update={"shadow": 1.0}))[0][0]
    dark = strip < plain[0] - 0.1
    assert 0.02 < dark.mean() < 0.7
    np.testing.assert_allclose(strip[~dark], plain[0][~dark], atol=1e-5)


def test_one_band_is_dropped_and_elastic_windows_keep_pixels_with_labels():
    dropped = cut(area(), 0, PLAIN.model_copy(update={"band_drop": 1.0}))[0]
    assert [bool((band == 0).all()) for band in dropped].count(True) == 1
    rigid = PLAIN.model_copy(update={"rotate": False, "scale": (1.0, 1.0)})
    (image, labels), (bent, bent_labels) = (
        cut(area(), 5, change) for change in (rigid, rigid.model_copy(update={"elastic": 1.0}))
    )
    assert (image != bent).mean() > 0.05
    value, known = bent[0] * 20 + 100, bent_labels != IGNORE
    assert (np.abs(value - 80 - 40 * bent_labels)[known] < 20.1).mean() > 0.97
    assert labels.shape == bent_labels.shape
