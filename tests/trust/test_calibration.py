"""Scalings undo what made probabilities too sure, and thresholds find the best F1: on numbers whose truth is drawn."""

import numpy as np
import pytest

from geoseg.tiling.blend import calibrated, finish
from geoseg.tiling.ramp import FULL
from geoseg.trust.calibration import (
    decided,
    f1_scores,
    fit_scaling,
    fit_thresholds,
    of_classes,
    precise_thresholds,
    reliability,
    scaled,
)
from geoseg.values.scaling import Scaling

CHANNELS = (0, 1, 1)  # background, interior and border of a building


def drawn(scale, bias=(0.0, 0.0, 0.0), n=20_000):
    """Logs of channels that are ``scale`` times too sure, and truth that is drawn as they should say."""
    rng = np.random.default_rng(0)
    right = rng.normal(0, 1.5, (n, 3))
    p = scaled(right, Scaling((1.0,) * 3, (0.0,) * 3))
    channel = (rng.random((n, 1)) > p.cumsum(1)).sum(1)
    z = (right - bias) * scale
    return z - np.log(np.exp(z).sum(1, keepdims=True)), np.array(CHANNELS)[channel]


def error(log_p, truth, scaling):
    p = of_classes(scaled(log_p, scaling), CHANNELS)
    return reliability(p.max(1), p.argmax(1) == truth).ece


def test_a_temperature_is_found_again():
    log_p, truth = drawn(2.5)
    found = fit_scaling(log_p, truth, CHANNELS)
    assert found.scale == pytest.approx([0.4] * 3, rel=0.05)
    assert found.bias == (0.0,) * 3
    assert error(log_p, truth, found) < 0.01
    assert error(log_p, truth, Scaling((1.0,) * 3, (0.0,) * 3)) > 0.08


def test_a_vector_scaling_finds_what_a_temperature_cannot():
    log_p, truth = drawn(1.0, bias=(1.5, 0.0, 0.0))
    alone, vector = (fit_scaling(log_p, truth, CHANNELS, vector=vector) for vector in (False, True))
    assert error(log_p, truth, vector) < 0.015
    assert error(log_p, truth, alone) > 0.05


def test_thresholds_give_the_best_f1_and_the_precision_that_is_asked_for():
    log_p, truth = drawn(1.0, bias=(-2.0, 0.0, 0.0))
    p = of_classes(np.exp(log_p), CHANNELS)
    found = fit_thresholds(p, truth)
    assert found.sum() == pytest.approx(1)
    tried = [np.nanmean(f1_scores((p[:, 1] >= t).astype(int), truth, 2)) for t in np.arange(1, 100) / 100]
    assert np.nanmean(f1_scores(decided(p, found), truth, 2)) == pytest.approx(max(tried), abs=1e-3)
    precise = decided(p, precise_thresholds(p, truth, 0.95)) == 1
    assert 0.94 < (truth[precise] == 1).mean() < 0.97


def test_classes_without_truth_keep_their_threshold():
    p = np.array([[0.5, 0.4, 0.1], [0.6, 0.3, 0.1], [0.5, 0.3, 0.2]])
    found = fit_thresholds(p, np.array([1, 0, 0]))
    assert decided(p, found).tolist() == [1, 0, 0]
    assert found[2] == pytest.approx(1 / 3)


def test_rasters_are_scaled_and_decided_as_the_fit_does():
    log_p, _ = drawn(1.0, n=64)
    acc = np.rint(np.exp(log_p).T * FULL).astype(np.uint32).reshape(3, 8, 8)
    valid = np.ones((8, 8), bool)
    valid[0, 0] = False
    scaling, thresholds = Scaling((0.4, 0.5, 0.6), (0.1, 0.0, -0.2)), [0.7, 0.3]
    own = calibrated(acc, valid, scaling)
    wanted = scaled(np.log(np.maximum(acc.reshape(3, -1).T / FULL, 2e-6)), scaling)
    assert np.abs(own.reshape(3, -1).T / FULL - wanted)[1:].max() < 1e-4
    assert not own[:, 0, 0].any()
    done = finish(own, valid, class_of_channel=CHANNELS, class_ids=(1, 2), thresholds=thresholds)
    p = of_classes(own.reshape(3, -1).T / FULL, CHANNELS)
    positions = decided(p, np.array(thresholds))
    assert (done.classes.ravel()[1:] == positions[1:] + 1).all()
    chosen = p[np.arange(64), positions]
    assert np.abs(done.confidence.ravel()[1:] - (1 + 254 * chosen[1:])).max() <= 0.51
    assert done.classes[0, 0] == done.confidence[0, 0] == 0
