"""Where windows lie along an axis, against brute force over every pixel and every window."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.errors import ConfigError
from geoseg.tiling.axis import Axis


@st.composite
def axes(draw, max_window=70, max_size=300):
    window = draw(st.integers(1, max_window))
    margin = draw(st.integers(0, (window - 1) // 2))
    ramp = draw(st.integers(0, min(window // 2 - margin, window - 2 * margin - 1)))
    near = st.sampled_from([1, 2, window - 1, window, window + 1, 2 * window - 2 * margin, 97, 211])
    size = draw(st.one_of(near.filter(lambda n: n >= 1), st.integers(1, max_size)))
    return Axis(size, window, margin=margin, ramp=ramp)


def table(axis):
    """Weights of every window on every pixel from 0 to the end of the last window: (count, pixels)."""
    out = np.zeros((axis.count, axis.start(axis.count - 1) + axis.window), np.int64)
    for i in range(axis.count):
        out[i, axis.start(i) : axis.start(i) + axis.window] = axis.weight(i)
    return out


@given(axes())
def test_weights_sum_to_128_on_every_pixel_of_the_scene(axis):
    np.testing.assert_array_equal(table(axis)[:, : axis.size].sum(0), 128)


@given(axes())
def test_weights_are_full_at_both_ends_of_the_scene_and_zero_in_inner_margins(axis):
    first, last = axis.weight(0), axis.weight(axis.count - 1)
    inner = axis.margin + axis.ramp
    assert (first[: axis.window - inner] == 128).all()
    assert (last[inner:] == 128).all()
    for i in range(axis.count):
        weight = axis.weight(i)
        assert weight.shape == (axis.window,)
        assert weight.max() <= 128
        if i > 0:
            assert not weight[: axis.margin].any()
        if i < axis.count - 1:
            assert not weight[axis.window - axis.margin :].any()


@given(axes())
def test_the_least_number_of_windows_covers_the_axis_and_only_the_last_hangs_over(axis):
    ends = [axis.start(i) + axis.window for i in range(axis.count)]
    assert axis.start(0) == 0
    assert ends[-1] >= axis.size
    assert all(end < axis.size for end in ends[:-1])
    assert all(axis.start(i + 1) - axis.start(i) == axis.stride for i in range(axis.count - 1))
    assert all(axis.start(i) < axis.size for i in range(axis.count))


@given(axes(), st.data())
def test_touching_names_exactly_the_windows_that_weigh_something(axis, data):
    lo = data.draw(st.integers(0, axis.size - 1))
    hi = data.draw(st.integers(lo + 1, axis.size))
    weighs = table(axis)[:, lo:hi].any(1)
    assert list(axis.touching(lo, hi)) == np.flatnonzero(weighs).tolist()


def test_a_ramp_rounded_to_zero_does_not_touch():
    axis = Axis(2000, 512, margin=32, ramp=128)  # its first weights are 0.005 and 0.04 of 128: zero in 7 bits
    inside = axis.start(1) + axis.margin
    assert axis.weight(1)[axis.margin] == 0
    assert list(axis.touching(inside, inside + 1)) == [0]


@pytest.mark.parametrize(("lo", "hi"), [(-1, 5), (5, 5), (6, 5), (0, 101)])
def test_touching_refuses_pixels_outside_the_axis(lo, hi):
    with pytest.raises(ValueError, match="100"):
        Axis(100, 64, margin=8, ramp=8).touching(lo, hi)


@given(st.integers(1, 40), st.integers(0, 200))
def test_fold_mirrors_as_numpy_does(size, beyond):
    axis = Axis(size, 8, margin=0, ramp=0)
    mirrored = np.pad(np.arange(size), (0, beyond), mode="reflect")
    np.testing.assert_array_equal(axis.fold(np.arange(size + beyond)), mirrored)


@given(axes(), st.data())
def test_what_windows_see_is_the_hull_of_all_folded_pixels(axis, data):
    lo = data.draw(st.integers(0, axis.size - 1))
    hi = data.draw(st.integers(lo + 1, axis.size))
    pixels = np.concatenate(
        [axis.fold(np.arange(axis.start(i), axis.start(i) + axis.window)) for i in axis.touching(lo, hi)]
    )
    first, end = axis.seen_span(axis.touching(lo, hi))
    assert (first, end) == (pixels.min(), pixels.max() + 1)
    assert first <= lo < hi <= end


def test_mirrored_pixels_reach_back_before_the_first_window():
    axis = Axis(70, 64, margin=0, ramp=0)  # the second window covers 64..128, and pixel 127 is 11 mirrored at 69
    assert axis.seen_span(axis.touching(69, 70)) == (11, 70)


@pytest.mark.parametrize(
    ("size", "window", "margin", "ramp", "message"),
    [
        (0, 64, 0, 0, "size 0"),
        (10, 0, 0, 0, "window 0"),
        (10, 64, -1, 0, "margin -1"),
        (10, 64, 0, -2, "ramp -2"),
        (10, 64, 32, 0, "margin 32 .*no stride"),
        (10, 64, 0, 64, "ramp 64 .*no stride"),
        (10, 64, 20, 13, "ramp 13 .*at most"),
    ],
)
def test_lengths_that_make_no_sense_are_named(size, window, margin, ramp, message):
    with pytest.raises(ConfigError, match=message):
        Axis(size, window, margin=margin, ramp=ramp)


@pytest.mark.parametrize(("window", "margin", "ramp"), [(500, 0, 0), (512, 17, 0), (512, 32, 16)])
def test_misaligned_windows_are_refused(window, margin, ramp):
    with pytest.raises(ConfigError, match="multiple of the network's 32 px"):
        Axis(4000, window, margin=margin, ramp=ramp).check_alignment(32)


@pytest.mark.parametrize(("window", "margin", "ramp"), [(512, 0, 0), (512, 32, 32), (1024, 64, 0), (256, 16, 96)])
def test_aligned_windows_start_at_multiples(window, margin, ramp):
    axis = Axis(4000, window, margin=margin, ramp=ramp)
    axis.check_alignment(32)
    assert all(axis.start(i) % 32 == 0 for i in range(axis.count))
