"""Arithmetic in torch gives the numbers of ``geoseg.tiling``, to the bit; here on the CPU, as on a GPU."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.device import blending, pixels
from geoseg.device.ready import Ready, downloaded, on_stream, uploaded
from geoseg.tiling import blend, resample
from geoseg.tiling.normalise import normalise
from geoseg.tiling.ramp import FULL, PROB_ONE
from geoseg.tiling.views import views_of
from geoseg.values.box import Box

CPU = torch.device("cpu")


def sums_of(rng, shape):
    """Return sums (K, h, w) that add up to about FULL, some of them equal."""
    shares = rng.integers(0, 5, shape) / 4
    return (shares / np.maximum(shares.sum(0), 1e-9) * FULL).astype(np.uint32)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "uint32", "float32", "float64"])
def test_stored_pixels_become_the_floats_that_numpy_makes(dtype):
    stored = np.array([[[0, 1, 200], [127, 3, 255]]]).astype(dtype)
    if np.dtype(dtype).kind == "u":
        stored[0, 0, 0] = np.iinfo(dtype).max
    found = uploaded(stored[:, ::-1], CPU).float()
    np.testing.assert_array_equal(downloaded(found), stored[:, ::-1].astype(np.float32))


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.tuples(st.integers(3, 20), st.integers(3, 20)), st.floats(0.2, 4))
def test_resampling_adds_up_in_the_same_order(seed, shape, ratio):
    rng = np.random.default_rng(seed)
    working = tuple(max(1, round(n * ratio)) for n in shape)
    taps = resample.Resampling(shape, working).to_working(Box(0, 0, *working))
    data, valid = rng.normal(100, 30, (2, *shape)).astype(np.float32), rng.random(shape) < 0.7
    data[:, ~valid] = np.nan
    expected, mask = resample.resample_valid(data, valid, taps)
    found, known = pixels.means(torch.from_numpy(data), torch.from_numpy(valid), taps, torch.float32)
    np.testing.assert_array_equal(found.numpy(), expected)
    np.testing.assert_array_equal(known.numpy(), mask)
    sums = rng.integers(0, FULL, (2, *shape), np.uint32)
    expected, _ = resample.resample_counts(sums, valid, taps)
    found = blending.resampled(torch.from_numpy(sums.astype(np.int64)), torch.from_numpy(valid), taps)
    np.testing.assert_array_equal(found.numpy(), expected)


@given(st.integers(0, 2**32))
def test_normalised_pixels_are_the_same_floats(seed):
    rng = np.random.default_rng(seed)
    image, usable = rng.normal(0, 1e3, (2, 5, 7)).astype(np.float32), rng.random((5, 7)) < 0.8
    image[0, 2] = np.nan
    mean, std = rng.normal(0, 100, 2).astype(np.float32), rng.uniform(0.1, 300, 2).astype(np.float32)
    expected = normalise(image, usable, mean=mean, std=std)
    found = pixels.normalised(torch.from_numpy(image), torch.from_numpy(usable), mean, std)
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("tta", ["d4", "flip@0.5,1.5"])
def test_views_and_their_answers_are_turned_and_scaled_alike(tta):
    rng = np.random.default_rng(1)
    for view in views_of(tta, (64, 96), multiple=32):
        batch = rng.random((2, 3, 64, 96), np.float32)
        shown = view.apply(batch)
        np.testing.assert_array_equal(blending.shown(view, torch.from_numpy(batch)).numpy(), shown)
        answers = (rng.random(shown.shape, np.float32) * 1.2 - 0.1).astype(np.float32)
        expected = blend.quantise(view.undo(answers))
        expected[:, 1:3] = np.stack(view.undo_vectors(expected[:, 1], expected[:, 2]), 1)
        found = blending.integers(torch.from_numpy(answers), view, [slice(1, 3)])
        np.testing.assert_array_equal(found.numpy(), expected)


@given(st.integers(0, 2**32), st.booleans())
def test_classes_and_bytes_are_decided_alike(seed, thresholds):
    rng = np.random.default_rng(seed)
    acc, valid = sums_of(rng, (4, 6, 9)), rng.random((6, 9)) < 0.8
    of = {
        "class_of_channel": (0, 1, 1, 2),
        "class_ids": (3, 1, 7),
        "thresholds": (0.2, 0.5, 0.05) if thresholds else (),
    }
    expected = blend.finish(acc, valid, **of)
    found = blending.finish(torch.from_numpy(acc.astype(np.int64)), torch.from_numpy(valid), **of)
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(own.numpy(), other)


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_sums_and_means_are_the_same_integers(seed, members):
    rng = np.random.default_rng(seed)
    said = [rng.integers(0, PROB_ONE + 1, (2, 8, 9), np.uint32) for _ in range(members)]
    rows, cols = rng.integers(0, 129, 8).astype(np.uint16), rng.integers(0, 129, 9).astype(np.uint16)
    box, expected = Box(0, 0, 8, 9), np.zeros((2, 8, 9), np.uint32)
    blend.accumulate(expected, box, probs=blend.mean_members(said), window=box, weights=(rows, cols))
    found = torch.zeros((2, 8, 9), dtype=torch.int64)
    blending.accumulate(found, blending.mean_members([torch.from_numpy(s.astype(np.int64)) for s in said]), rows, cols)
    np.testing.assert_array_equal(found.numpy(), expected)


def test_on_the_cpu_a_tensor_is_there_at_once():
    with on_stream(None):
        ready = Ready.of(torch.ones(3))
    assert ready.event is None
    assert ready.taken(CPU) is ready.tensor
