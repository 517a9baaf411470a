"""Parts of an image around its peaks, against the obvious way: what is above a level, level by level."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from geoseg.errors import InputError
from geoseg.vector.pixels import peaks
from geoseg.vector.pixels.peaks import label_peaks

images = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 6))


def obvious_count(height, drop):
    """Peaks that do not reach a higher one, or an equal one counted before, without a descent by ``drop``."""
    count, taken = 0, np.zeros(height.shape, bool)
    for top in np.unique(height[height > 0])[::-1]:
        for number in range(1, ndimage.label(height >= max(int(top) - drop + 1, 1))[1] + 1):
            around = ndimage.label(height >= max(int(top) - drop + 1, 1))[0] == number
            if height[around].max() == top and not taken[around].any():
                count += 1
                taken |= around & (height == top)
    return count


@given(images, st.integers(1, 6))
def test_there_are_as_many_parts_as_peaks_that_stand_out(height, drop):
    labels = label_peaks(height, drop=drop)
    assert labels.max() == obvious_count(height, drop)
    np.testing.assert_array_equal(labels > 0, height > 0)
    first = [int(np.flatnonzero(labels == k)[0]) for k in range(1, labels.max() + 1)]
    assert first == sorted(first)
    for k in first:
        assert ndimage.label(labels == labels.ravel()[k])[1] == 1


@given(images, st.integers(1, 6), st.integers(1, 9))
def test_parts_are_large_enough_or_all_of_their_area(height, drop, min_px):
    labels = label_peaks(height, drop=drop, min_px=min_px)
    areas, _ = ndimage.label(height)
    for k in range(1, labels.max() + 1):
        assert (labels == k).sum() >= min(min_px, (areas == areas[labels == k][0]).sum())


@given(images, st.integers(1, 6))
def test_an_area_alone_is_parted_alike_in_any_type(height, drop):
    labels = label_peaks(height, drop=drop)
    areas, count = ndimage.label(height)
    for number in range(1, count + 1):
        alone = label_peaks(np.where(areas == number, height, 0).astype(np.uint16), drop=drop)
        _, expected = np.unique(labels[areas == number], return_inverse=True)
        np.testing.assert_array_equal(alone[areas == number], expected + 1)


def test_a_level_is_shared_from_all_sides_at_the_same_pace():
    height = np.ones((5, 21), np.uint8)
    height[:, 0] = height[:, -1] = 9
    np.testing.assert_array_equal(label_peaks(height, drop=5)[:, [9, 11]], [[1, 2]] * 5)


def test_more_pixels_than_can_be_numbered_are_refused(monkeypatch):
    monkeypatch.setattr(peaks, "MAX_PIXELS", 100)
    with pytest.raises(InputError, match="fewer than"):
        label_peaks(np.ones((20, 20), np.uint8), drop=1)
