"""Normalisation against plain numpy, bit for bit."""

import numpy as np

from geoseg.tiling.normalise import normalise


def test_normalising_is_the_plain_way_to_the_bit_and_never_looks_at_what_is_not_usable():
    rng = np.random.default_rng(0)
    image = rng.normal(100, 60, (4, 33, 57)).astype(np.float32)
    usable = rng.random((33, 57)) < 0.7
    mean, std = rng.random(4, np.float32), rng.random(4, np.float32) + 1
    expected = (image - mean[:, None, None]) / std[:, None, None]
    expected[:, ~usable] = 0
    image[:, ~usable] = np.nan
    np.testing.assert_array_equal(normalise(image, usable, mean=mean, std=std), expected)
    turned = normalise(image.transpose(0, 2, 1), usable.T, mean=mean, std=std)
    np.testing.assert_array_equal(turned, expected.transpose(0, 2, 1))
