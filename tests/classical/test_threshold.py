"""Otsu's threshold against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.classical.threshold import otsu


@given(st.lists(st.integers(0, 30), min_size=2, max_size=200).filter(lambda v: len(set(v)) > 1))
def test_no_cut_leaves_less_variance_within_the_parts(drawn):
    pixels = np.array(drawn, float)
    found = otsu(np.arange(31.0), np.bincount(drawn, minlength=31))

    def within(cut):
        parts = pixels[pixels <= cut], pixels[pixels > cut]
        return sum(((part - part.mean()) ** 2).sum() for part in parts)

    least = min(within(cut) for cut in np.unique(pixels)[:-1])
    assert within(found.value) == pytest.approx(least)
    assert found.separability == pytest.approx(1 - least / ((pixels - pixels.mean()) ** 2).sum())


def test_one_value_has_no_threshold():
    with pytest.raises(ValueError, match="one value"):
        otsu(np.float64([1, 2]), np.int64([0, 9]))
