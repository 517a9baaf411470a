"""k-means: the centres of pixels that are alike."""

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2, vq

STARTS, STEPS = 4, 30
LEAST_SPREAD = 1e-2  # of a cluster, in standard deviations of all: what a confidence is told with


class Clusters(NamedTuple):
    """Clusters of points, in ascending order of the sums of their centres' coordinates."""

    centres: NDArray[np.float64]
    """(K, C)."""
    spread: float
    """Root mean square distance of a coordinate from that of its centre."""
    shares: NDArray[np.float64]
    """Of the points, (K,)."""


def kmeans(points: NDArray[np.float64], k: int, *, seed: int) -> Clusters:
    """Return ``k`` clusters of points (N, C), the best of a few starts (Lloyd 1982; Arthur and Vassilvitskii 2007).

    Raises ValueError where fewer points differ.
    """
    differ = len(np.unique(points, axis=0))
    if differ < k:
        raise ValueError(f"{k} clusters of {differ} points that differ")
    starts = []
    for rng in np.random.default_rng(seed).spawn(STARTS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of an empty cluster: another start has none, or it stays so
            centres, _ = kmeans2(points, k, iter=STEPS, minit="++", rng=rng)
        starts.append((float((vq(points, centres)[1] ** 2).sum()), centres))
    squares, centres = min(starts, key=lambda start: start[0])
    centres = centres[np.argsort(centres.sum(1), kind="stable")]
    own, _ = vq(points, centres)
    spread = np.sqrt(squares / points.size)
    shares = np.bincount(own, minlength=k) / len(points)
    return Clusters(centres, float(max(spread, LEAST_SPREAD)), shares)
