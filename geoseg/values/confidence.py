"""PolygonConfidence: how likely a polygon is a building, from its pixels, its size and its shape.

How it is fitted is in training/confidence.py.
"""

from dataclasses import asdict, dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ConfigError

FIRM = 0.01  # mean probabilities nearer to 0 or 1 say no more
UNIT_M2 = 100.0  # a small house


@dataclass(frozen=True, slots=True)
class PolygonConfidence:
    """A logistic model of the chance that a polygon is a building: that its IoU with a true one is 0.5 or more."""

    constant: float
    """Log odds of a polygon whose features are all 0."""
    probability: float
    """Weight of the log odds of the mean probability over its pixels."""
    area: float
    """Weight of the natural logarithm of its area in units of 100 m²."""
    area_squared: float
    """Weight of that logarithm squared."""
    compactness: float
    """Weight of 4 pi area / perimeter² (Polsby and Popper 1991), 1 for a disk."""
    misfit: float
    """Weight of 1 - IoU of the polygon with its contour; exact contours have none."""

    def __post_init__(self) -> None:
        if not all(isfinite(v) for v in asdict(self).values()):
            raise ConfigError(f"a weight of {self} is no finite number")

    def of(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the chance of each polygon, (N,); features: (N, 5), see ``polygon_features``."""
        constant, *weights = asdict(self).values()
        odds = np.full(len(features), float(constant))
        for weight, feature in zip(weights, features.T, strict=True):
            odds += weight * feature  # in one order: a matrix product sums as it likes, by the number of rows
        return 1 / (1 + np.exp(-odds))


def polygon_features(
    *,
    mean_probability: NDArray[np.float64],
    area_m2: NDArray[np.float64],
    perimeter_m: NDArray[np.float64],
    iou_contour: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Return what ``PolygonConfidence`` weighs of N polygons, (N, 5), as its fields; each input is (N,)."""
    p = np.clip(mean_probability, FIRM, 1 - FIRM)
    size = np.log(np.maximum(area_m2, 1e-6) / UNIT_M2)
    compact = 4 * np.pi * area_m2 / np.maximum(perimeter_m, 1e-6) ** 2
    misfit = np.zeros_like(p) if iou_contour is None else 1 - np.nan_to_num(iou_contour, nan=1.0)
    return np.stack([np.log(p / (1 - p)), size, size**2, compact, misfit], 1)
