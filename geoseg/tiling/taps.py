"""Taps: which pixels of one grid make those of another, along an axis; what is done with them is in ``resample``."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.values.box import Box
from geoseg.values.resampling import Rule


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """For pixels [lo, hi) of a target axis: which source pixels count, and how much.

    source: span [lo, hi) of source pixels; index: (n, T) relative to source[0]; weight: (n, T), rows sum to 1, or less
    where a pixel hangs over the source's end.
    """

    source: tuple[int, int]
    index: NDArray[np.int32]
    weight: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AxisMap:
    """Where the pixels of a target axis lie on a source axis, exactly.

    Target pixel i covers [start + i * step, start + (i + 1) * step) / unit, in source pixels::

        source  |   0   |   1   |   2   |      start = 1, step = 4, unit = 2:
        target      |       0       |          pixel 0 covers source pixels 0.5 to 2.5
    """

    length: int  # of the source axis, in pixels
    start: int
    step: int
    unit: int

    def taps(self, lo: int, hi: int, rule: Rule) -> Taps:
        """Return the taps of target pixels [lo, hi); those that lie outside the source have no weight."""
        i = np.arange(lo, hi, dtype=np.int64)
        if rule == "average":
            return self._average(i)
        twice = 2 * (self.start + i * self.step) + self.step  # of the centre, in units
        inside = ((twice >= 0) & (twice <= 2 * self.unit * self.length))[:, None]
        if rule == "nearest":
            return _taps(np.minimum(twice // (2 * self.unit), self.length - 1)[:, None], inside.astype(np.float64))
        centre = np.clip(twice / (2 * self.unit) - 0.5, 0, self.length - 1)
        left = np.minimum(np.floor(centre).astype(np.int64), max(self.length - 2, 0))
        right = np.minimum(left + 1, self.length - 1)
        part = centre - left
        return _taps(np.stack([left, right], 1), np.stack([1 - part, part], 1) * inside)

    def _average(self, i: NDArray[np.int64]) -> Taps:
        begin = self.start + i * self.step
        cells = begin[:, None] // self.unit + np.arange(-(-self.step // self.unit) + 1)
        first = np.maximum(cells * self.unit, begin[:, None])
        last = np.minimum((cells + 1) * self.unit, (begin + self.step)[:, None])
        share = np.where((cells >= 0) & (cells < self.length), np.maximum(last - first, 0), 0)
        used = (share > 0).any(0)
        return _taps(cells[:, used], share[:, used] / self.step)


def axis_taps(n_source: int, n_target: int, lo: int, hi: int) -> Taps:
    """Return the taps of target pixels [lo, hi) on an axis where ``n_target`` pixels cover ``n_source``.

    >>> t = axis_taps(4, 2, 0, 2)
    >>> t.source, t.index.tolist(), t.weight.tolist()
    ((0, 4), [[0, 1], [2, 3]], [[0.5, 0.5], [0.5, 0.5]])
    >>> axis_taps(2, 4, 1, 2).weight.tolist()
    [[0.75, 0.25]]
    """
    rule: Rule = "nearest" if n_target == n_source else "average" if n_target < n_source else "bilinear"
    return AxisMap(n_source, 0, n_source, n_target).taps(lo, hi, rule)


def _taps(index: NDArray[np.int64], weight: NDArray[np.float64]) -> Taps:
    counted = index[weight > 0]
    lo, hi = (int(counted.min()), int(counted.max()) + 1) if len(counted) else (0, 1)
    return Taps((lo, hi), np.clip(index - lo, 0, hi - lo - 1).astype(np.int32), weight.astype(np.float32))


def source_box(taps: tuple[Taps, Taps]) -> Box:
    """Return the box of source pixels that a pair of taps needs."""
    (r0, r1), (c0, c1) = taps[0].source, taps[1].source
    return Box(r0, c0, r1, c1)
