"""Otsu's threshold, from a histogram."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEAST_SPREAD = 1 / 16  # of either side, as a share of the distance of their means: what a confidence is told with


class Threshold(NamedTuple):
    """Where a histogram is cut in two."""

    value: float
    """Values above belong to the upper part; half-way between two values that occur."""
    means: tuple[float, float]
    """Of the values below and above."""
    spread: float
    """Standard deviation of values about the mean of their part."""
    separability: float
    """Share of the variance that lies between the parts, 0..1."""


def otsu(values: NDArray[np.float64], counts: NDArray[np.int64]) -> Threshold:
    """Return the threshold that leaves the least variance within the two parts (Otsu 1979); the first of equals.

    values: (N,) ascending; counts: (N,) how often each occurs. Raises ValueError where fewer than two occur.

    >>> otsu(np.float64([0, 1, 8, 9, 10]), np.int64([4, 4, 0, 4, 4])).value
    5.0
    """
    values, counts = values[counts > 0], counts[counts > 0]
    if len(values) < 2:
        raise ValueError("one value has no threshold")
    below, sums = np.cumsum(counts)[:-1], np.cumsum(counts * values)
    above = counts.sum() - below
    low, high = sums[:-1] / below, (sums[-1] - sums[:-1]) / above
    between = below * above * (high - low) ** 2
    k = int(np.argmax(between))
    total = float((counts * (values - sums[-1] / counts.sum()) ** 2).sum())
    share = float(between[k] / counts.sum() / total)
    spread = np.sqrt(max(1 - share, 0) * total / counts.sum())
    return Threshold(
        value=float(values[k] + values[k + 1]) / 2,
        means=(float(low[k]), float(high[k])),
        spread=float(max(spread, LEAST_SPREAD * (high[k] - low[k]))),
        separability=share,
    )
