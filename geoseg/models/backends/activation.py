"""Activations: what a network's channels say, 0..1, of the logits of one window; in numpy."""

import numpy as np
from numpy.typing import NDArray

from geoseg.models.outputs import Output
from geoseg.models.spec import ModelSpec

LARGEST_LOGIT = 80.0  # whose exponential float32 holds


def activated(logits: NDArray[np.float32], spec: ModelSpec) -> NDArray[np.float32]:
    """Return what each group of channels says, 0..1, of logits (K, h, w); see ``geoseg.models.outputs.Output``."""
    parts = [_activated(logits[spec.channels_of(group)], group) for group in spec.outputs]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _activated(logits: NDArray[np.float32], group: Output) -> NDArray[np.float32]:
    if group.activation == "softmax":
        return softmax(logits)
    if group.range is None:
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -LARGEST_LOGIT, LARGEST_LOGIT))), np.float32)
    low, high = group.range
    return np.clip((logits - np.float32(low)) / np.float32(high - low), 0, 1)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities of logits (K, h, w).

    >>> softmax(np.zeros((2, 1, 1), np.float32)).ravel().tolist()
    [0.5, 0.5]
    """
    shares = np.exp(logits - logits.max(0))
    shares /= shares.sum(0)
    return np.asarray(shares, np.float32)
