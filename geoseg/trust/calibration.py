"""Calibration: how far probabilities say how often they are right, and what makes them do so."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from geoseg.values.scaling import Scaling

BINS = 15  # of equal width, as in Guo et al. 2017
RIDGE = 1e-3  # pull of a vector scaling towards a temperature
LEAST_LOG, MOST_LOG = np.log(0.05), np.log(20)  # of a scale
STEPS = np.arange(1, 100) / 100  # thresholds that are tried
ROUNDS = 3  # over the classes
LEAST_P = 2.0**-19  # half a step of a blended probability
Probabilities = NDArray[np.float64]  # (N, K)


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often pixels of each bin of confidence are right."""

    count: tuple[int, ...]
    confidence: tuple[float, ...]
    """Its mean, 0 where there is none."""
    right: tuple[float, ...]
    """Share of pixels whose class is true, 0 where there is none."""

    @property
    def ece(self) -> float:
        """Expected calibration error (Naeini et al. 2015): mean of |confidence - share that is right| over pixels."""
        far = np.abs(np.subtract(self.confidence, self.right))
        return float((far * self.count).sum() / max(1, sum(self.count)))

    def as_json(self) -> dict[str, Any]:
        """Return the bins and the error as JSON values."""
        bins = [list(row) for row in zip(self.count, self.confidence, self.right, strict=True)]
        return {"ece": round(self.ece, 4), "bins": bins}


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Reliability:
    """Return what pixels of confidence (N,) 0..1 are like.

    >>> reliability(np.array([0.9, 0.9, 0.9, 0.9]), np.array([True, True, True, False])).ece.__round__(3)
    0.15
    """
    at = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(at, minlength=BINS)
    means = [np.bincount(at, values, BINS) / np.maximum(count, 1) for values in (confidence, right)]
    return Reliability(*(tuple(np.round(values, 6).tolist()) for values in (count, *means)))


def scaled(log_p: Probabilities, scaling: Scaling) -> Probabilities:
    """Return calibrated probabilities (N, K) of the logs of channels' probabilities (N, K)."""
    z = log_p * scaling.scale + scaling.bias
    p = np.exp(z - z.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def logs(p: NDArray[np.floating]) -> Probabilities:
    """Return the logs (N, K) of blended probabilities of channels (K, N)."""
    return np.log(np.maximum(p.T, LEAST_P)).astype(np.float64)


def of_classes(p: Probabilities, class_of_channel: tuple[int, ...]) -> Probabilities:
    """Return the probabilities (N, C) of classes, which are sums over their channels."""
    out = np.zeros((len(p), max(class_of_channel) + 1))
    for channel, position in enumerate(class_of_channel):
        out[:, position] += p[:, channel]
    return out


def fit_scaling(
    log_p: Probabilities, truth: NDArray[np.integer[Any]], class_of_channel: tuple[int, ...], *, vector: bool = False
) -> Scaling:
    """Fit a scaling by likelihood to channels (N, K) and the positions of the true classes (N,).

    vector: a scale and a bias of each channel, else one temperature.
    """
    channels = log_p.shape[1]
    of_truth = np.asarray(class_of_channel)[None] == truth[:, None]

    def scaling(w: NDArray[np.float64]) -> Scaling:
        scale, bias = np.exp(w[:channels] if vector else np.repeat(w, channels)), w[channels:] if vector else w * 0
        return Scaling(tuple(scale.tolist()), tuple(np.resize(bias, channels).tolist()))

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        p = scaled(log_p, scaling(w))
        own = np.maximum((p * of_truth).sum(1, keepdims=True), 1e-12)
        slope = (p - p * of_truth / own) / len(p)
        of_scale = (slope * log_p).sum(0) * scaling(w).scale
        if not vector:
            return float(-np.log(own).mean()), np.array([of_scale.sum()])
        away = np.r_[w[:channels] - w[:channels].mean(), w[channels:]]
        return float(-np.log(own).mean() + RIDGE / 2 * away @ away), np.r_[of_scale, slope.sum(0)] + RIDGE * away

    start = np.zeros(2 * channels if vector else 1)
    bounds = [(LEAST_LOG, MOST_LOG)] * (channels if vector else 1) + [(-10.0, 10.0)] * (channels if vector else 0)
    found = scaling(minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x)
    return Scaling(*(tuple(float(f"{v:.5g}") for v in values) for values in (found.scale, found.bias)))


def decided(p: Probabilities, thresholds: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the position of each pixel's class: the one whose probability is the most times its threshold.

    Of two classes whose thresholds sum to 1, that is whether the one reaches its threshold.
    """
    return np.argmax(p / thresholds, 1)


def f1_scores(classes: NDArray[np.intp], truth: NDArray[np.integer[Any]], count: int) -> NDArray[np.float64]:
    """Return F1 of each of ``count`` classes; NaN of those without truth."""
    hit = np.bincount(truth[classes == truth], minlength=count)
    both = np.bincount(truth, minlength=count) + np.bincount(classes, minlength=count)
    there = np.bincount(truth, minlength=count) > 0
    return np.where(there, 2 * hit / np.maximum(both, 1), np.nan)


def fit_thresholds(p: Probabilities, truth: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Return thresholds (C,) with the highest mean F1 over classes that ``truth`` (N,) has, one class after the other.

    Those of two classes sum to 1. A class without truth keeps the one that it starts from.
    """
    count = p.shape[1]
    thresholds = np.full(count, 1 / count)
    there = np.flatnonzero(np.bincount(truth, minlength=count))
    for _ in range(ROUNDS if count > 2 else 1):
        for position in there[: 1 if count == 2 else None]:
            tried = [_with(thresholds, position, t) for t in STEPS]
            best = max(tried, key=lambda t: float(np.nanmean(f1_scores(decided(p, t), truth, count))))
            if np.nanmean(f1_scores(decided(p, best), truth, count)) > np.nanmean(
                f1_scores(decided(p, thresholds), truth, count)
            ):
                thresholds = best
    return thresholds


def precise_thresholds(p: Probabilities, truth: NDArray[np.integer[Any]], precision: float) -> NDArray[np.float64]:
    """Return for each class the lowest threshold from which a share ``precision`` of pixels is truly of it; (C,).

    Where none is, the highest that is tried. Those of two classes are that of the second, and what is left of 1.
    """
    out = np.full(p.shape[1], STEPS[-1])
    for position in range(p.shape[1]):
        order = [t for t in STEPS if (truth[p[:, position] >= t] == position).mean() >= precision]
        out[position] = min(order, default=STEPS[-1])
    return out if len(out) > 2 else np.array([1 - out[1], out[1]])


def _with(thresholds: NDArray[np.float64], position: int, value: float) -> NDArray[np.float64]:
    out = thresholds.copy()
    out[position] = value
    if len(out) == 2:
        out[1 - position] = 1 - value
    return out
