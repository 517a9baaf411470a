"""A local mean field: pixels that are near and alike agree on their class (Krähenbühl and Koltun 2011).

It looks a bounded way (as Teichmann and Cipolla 2018) and counts in whole numbers, so that tiles with a halo change no
bit.
"""

from collections.abc import Sequence
from math import exp, log

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.uint8]
Counts = NDArray[np.int32]
SURE = 1024  # a probability of 1
LOG_STEPS = 64  # parts of a unit of log probability
LEAST = 1 / 256  # what a class that is not the answer has at least
SPREAD = 20  # difference, of 255, at which two pixels are hardly alike
STRENGTH = 4  # of all neighbours together, in units of log probability
ALIKE = 256  # weight of a neighbour that is equal
_WEIGHTS = np.array([round(ALIKE * exp(-d / (2 * SPREAD**2))) for d in range(255**2 + 1)], np.int32)
_POWERS = np.array([round(2**14 * exp(-d / LOG_STEPS)) for d in range(16 * LOG_STEPS)], np.int32)


def mean_field(classes: Ids, confidence: Ids, image: Ids, *, ids: Sequence[int], steps: int, radius: int) -> Ids:
    """Return classes (h, w) that neighbours agree on; a pixel depends on what is up to ``steps * radius`` px away.

    classes: (h, w), 0 where nothing is known, which stays; confidence: (h, w), of 255, other classes share the rest;
    image: (C, h, w); ids: of all classes.
    """
    kinds = np.array(ids, np.uint8)
    unary = _log_shares(len(kinds))[(classes == kinds[:, None, None]).astype(np.intp), confidence]
    known = (classes > 0).astype(np.int32)
    bands = image.astype(np.int32)
    now = _shares(unary) * known
    pairs = [(row, col) for row in range(radius + 1) for col in range(-radius, radius + 1) if (row, col) > (0, 0)]
    for _ in range(steps):
        said, heard = np.zeros_like(now), np.zeros_like(known)
        for row, col in pairs:
            one, two = (slice(None, -row or None), _cols(col)), (slice(row, None), _cols(-col))
            apart = ((bands[:, *one] - bands[:, *two]) ** 2).sum(0) // len(bands)
            weight = _WEIGHTS[apart] * known[one] * known[two]
            for here, there in ((one, two), (two, one)):
                said[:, *here] += weight * now[:, *there]
                heard[here] += weight
        now = _shares(unary + STRENGTH * said // (SURE // LOG_STEPS * np.maximum(heard, 1))) * known
    return np.where(classes > 0, kinds[now.argmax(0)], np.uint8(0))


def _cols(by: int) -> slice:
    """Return the columns that have a neighbour ``by`` to the right, or to the left where it is negative."""
    return slice(None, -by or None) if by >= 0 else slice(-by, None)


def _log_shares(count: int) -> Counts:
    """Return log probabilities in LOG_STEPS, (2, 256): of another class and of its own, by confidence."""
    own = [min(max(c / 255, 1 / count), 1 - LEAST) for c in range(256)]
    other = [max((1 - p) / (count - 1), LEAST) for p in own] if count > 1 else own
    return np.array([[round(LOG_STEPS * log(p)) for p in row] for row in (other, own)], np.int32)


def _shares(logs: Counts) -> Counts:
    """Return probabilities in SURE of log probabilities (K, h, w)."""
    power = _POWERS[np.minimum(logs.max(0) - logs, len(_POWERS) - 1)]
    return np.asarray(SURE * power // power.sum(0, dtype=np.int32))
