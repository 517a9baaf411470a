import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geoseg.errors import ConfigError
from geoseg.vector.pixels.runs import inside_runs, threshold_byte


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 9, 10, 255])))
def test_runs_cover_exactly_the_inside_pixels_and_never_touch(probability):
    runs = inside_runs(probability, 10)
    again = np.zeros(probability.shape, bool)
    for row in range(len(probability)):
        ends = -1
        for k in range(runs.start[row], runs.start[row + 1]):
            assert ends < runs.first[k] < runs.end[k]
            again[row, runs.first[k] : runs.end[k]] = True
            ends = runs.end[k]
    assert runs.start[-1] == len(runs.first)
    assert (again == (probability >= 10)).all()


def test_threshold_byte_is_the_first_byte_at_or_above():
    for threshold in (0.001, 0.3, 0.5, 0.7, 0.999, 1.0):
        byte = threshold_byte(threshold)
        assert (byte - 1) / 254 >= threshold - 1e-9 > (byte - 2) / 254 - 2e-9
    for threshold in (0.0, -1.0, 1.01, float("nan")):
        with pytest.raises(ConfigError, match="threshold"):
            threshold_byte(threshold)
