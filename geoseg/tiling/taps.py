"""Taps: which pixels of one grid make those of another, along an axis; what is done with them is in ``resample``."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.values.box import Box


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """For pixels [lo, hi) of a target axis: which source pixels count, and how much.

    source: span [lo, hi) of source pixels; index: (n, T) relative to source[0]; weight: (n, T), rows sum to 1.
    """

    source: tuple[int, int]
    index: NDArray[np.int32]
    weight: NDArray[np.float32]


def axis_taps(n_source: int, n_target: int, lo: int, hi: int) -> Taps:
    """Return the taps of target pixels [lo, hi) on an axis where ``n_target`` pixels cover ``n_source``.

    >>> t = axis_taps(4, 2, 0, 2)
    >>> t.source, t.index.tolist(), t.weight.tolist()
    ((0, 4), [[0, 1], [2, 3]], [[0.5, 0.5], [0.5, 0.5]])
    >>> axis_taps(2, 4, 1, 2).weight.tolist()
    [[0.75, 0.25]]
    """
    i = np.arange(lo, hi, dtype=np.int64)
    if n_target == n_source:
        return Taps((lo, hi), (i - lo)[:, None].astype(np.int32), np.ones((len(i), 1), np.float32))
    if n_target < n_source:
        return _area_taps(n_source, n_target, i)
    centre = np.clip((i + 0.5) * n_source / n_target - 0.5, 0, n_source - 1)
    left = np.minimum(np.floor(centre).astype(np.int64), max(n_source - 2, 0))
    right = np.minimum(left + 1, n_source - 1)
    part = centre - left
    return _taps(np.stack([left, right], 1), np.stack([1 - part, part], 1))


def _area_taps(n_source: int, n_target: int, i: NDArray[np.int64]) -> Taps:
    # Integer arithmetic in units of 1/n_target source pixels: target i covers [i * n_source, (i + 1) * n_source).
    first = i * n_source // n_target
    width = -(-n_source // n_target) + 1
    cells = first[:, None] + np.arange(width)
    start = np.maximum(cells * n_target, (i * n_source)[:, None])
    stop = np.minimum((cells + 1) * n_target, ((i + 1) * n_source)[:, None])
    share = np.maximum(stop - start, 0)
    used = (share > 0).any(0).sum()
    cells, share = cells[:, :used], share[:, :used]
    return _taps(np.minimum(cells, n_source - 1), share / n_source)


def _taps(index: NDArray[np.int64], weight: NDArray[np.float64]) -> Taps:
    counted = index[weight > 0]
    lo, hi = int(counted.min()), int(counted.max()) + 1
    return Taps((lo, hi), np.clip(index - lo, 0, hi - lo - 1).astype(np.int32), weight.astype(np.float32))


def source_box(taps: tuple[Taps, Taps]) -> Box:
    """Return the box of source pixels that a pair of taps needs."""
    (r0, r1), (c0, c1) = taps[0].source, taps[1].source
    return Box(r0, c0, r1, c1)
