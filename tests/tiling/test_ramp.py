"""Ramps are raised cosines in 7 bits."""

from math import cos, pi

import numpy as np
import pytest

from geoseg.tiling.ramp import FULL, PROB_BITS, PROB_ONE, RAMP_BITS, RAMP_ONE, rising


def test_the_bits_fill_uint32_and_no_more():
    assert RAMP_ONE == 2**RAMP_BITS == 128
    assert PROB_ONE == 2**PROB_BITS - 1
    assert FULL == PROB_ONE * RAMP_ONE**2 < 2**32
    assert (2 ** (PROB_BITS + 1) - 1) * RAMP_ONE**2 >= 2**32  # one bit more would not fit


@pytest.mark.parametrize("ramp", [*range(1, 40), 64, 100, 256])
def test_a_ramp_is_a_raised_cosine_rounded(ramp):
    weights = rising(ramp).astype(int)
    exact = np.array([128 * (1 - cos(pi * (i + 0.5) / ramp)) / 2 for i in range(ramp)])
    assert np.abs(weights - exact).max() <= 0.5 + 1e-9
    assert (np.diff(weights) >= 0).all()
    np.testing.assert_array_equal(weights, 128 - weights[::-1])


def test_no_ramp_is_empty_and_a_ramp_cannot_be_changed():
    assert rising(0).shape == (0,)
    with pytest.raises(ValueError, match="read-only"):
        rising(8)[0] = 1
