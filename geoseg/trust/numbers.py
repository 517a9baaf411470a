"""Scores of numbers, such as heights, against truth. Sums add up, so rasters can be read in strips."""

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.trust.objects import ratio


@dataclass(frozen=True, slots=True)
class Differences:
    """How far numbers are from the true ones, in their unit; scores without a pixel are NaN.

    >>> d = differences(np.array([1.0, 2.0, 3.0, np.nan]), np.array([1.0, 3.0, 5.0, 0.0]))
    >>> d.pixels, d.bias, d.mae, round(d.rmse, 3), d.r2
    (3, 1.0, 1.0, 1.291, -1.5)
    """

    pixels: int = 0
    """Where both sides are known."""
    difference: float = 0.0
    """Sum of prediction - truth."""
    absolute: float = 0.0
    """Sum of its absolute values."""
    squared: float = 0.0
    """Sum of its squares."""
    truth: float = 0.0
    """Sum of the true numbers."""
    truth_squared: float = 0.0
    """Sum of their squares."""

    def __add__(self, other: "Differences") -> "Differences":
        return Differences(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def bias(self) -> float:
        """Mean of prediction - truth."""
        return ratio(self.difference, self.pixels)

    @property
    def mae(self) -> float:
        """Mean absolute error."""
        return ratio(self.absolute, self.pixels)

    @property
    def rmse(self) -> float:
        """Root of the mean squared error."""
        return ratio(self.squared, self.pixels) ** 0.5

    @property
    def r2(self) -> float:
        """Share of the truth's variance that is explained; below 0 its mean were better; NaN without variance."""
        spread = self.truth_squared - ratio(self.truth**2, self.pixels)
        return 1 - ratio(self.squared, spread if spread > 1e-12 * self.truth_squared else 0)


def differences(truth: NDArray[np.floating], predicted: NDArray[np.floating]) -> Differences:
    """Compare two arrays of one shape, NaN where they are not known; raises InputError where their shapes differ."""
    if truth.shape != predicted.shape:
        raise InputError(f"truth has shape {truth.shape} and the prediction {predicted.shape}; bring both to one grid")
    known = ~(np.isnan(truth) | np.isnan(predicted))
    right = truth[known].astype(np.float64)
    off = predicted[known] - right
    return Differences(
        int(known.sum()),
        float(off.sum()),
        float(np.abs(off).sum()),
        float(off @ off),
        float(right.sum()),
        float(right @ right),
    )
