"""Windows for training: pixels and labels move together, and radiometry keeps to what it is told."""

import numpy as np
import pytest
from scipy.ndimage import maximum_filter, minimum_filter

from geoseg.training.augment import AreaPixels, random_window
from geoseg.training.labels import IGNORE
from geoseg.training.spec import Augmentation

MEAN, STD = np.array([100, 50], np.float32), np.array([20, 10], np.float32)
PLAIN = Augmentation(gain=0, band_gain=0, offset=0, gamma=(1, 1), noise=0, blur=0, erase=0)


def area(shape=(90, 120), seed=0):
    """An image whose value says its label: 80 or 120 in the first band."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((shape[0] // 10 + 1, shape[1] // 10 + 1)) < 0.5
    labels = np.kron(coarse, np.ones((10, 10)))[: shape[0], : shape[1]].astype(np.uint8)
    image = np.stack([80 + 40 * labels, np.full(shape, 50)]).astype(np.float32)
    return AreaPixels(image, np.ones(shape, bool), labels)


def cut(pixels, seed, change=PLAIN, size=64):
    return random_window(pixels, size=size, change=change, mean=MEAN, std=STD, rng=np.random.default_rng(seed))


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
    field = AreaPixels(np.stack([rows, rows]), np.ones((90, 90), bool), np.zeros((90, 90), np.uint8))
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
        np.where(valid, pixels.labels, IGNORE).astype(np.uint8),
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
    labels = np.full((90, 120), IGNORE, np.uint8)
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
    flat = AreaPixels(np.full((2, 64, 64), 100, np.float32), np.ones((64, 64), bool), np.zeros((64, 64), np.uint8))
    change = PLAIN.model_copy(update={"gain": 0.2, "offset": 0.1})
    levels = [cut(flat, seed, change)[0][0].mean() for seed in range(40)]
    # 100 lies at 0.5 of the unit range of 5 std: +-20 % and +-0.15 of it are at most (0.5 * 0.2 + 0.15) * 5 std
    assert np.ptp(levels) > 0.3
    assert np.abs(levels).max() <= 1.25 + 1e-3
