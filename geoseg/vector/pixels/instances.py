"""Instances: touching buildings told apart by the borders that a network sees between them."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geoseg.vector.pixels.peaks import label_peaks
from geoseg.vector.pixels.runs import PROBABILITY_STEPS, threshold_byte

# How far p(interior) falls between two buildings. Measured: at 0.3 roofs of 0.13 m pixels are parted along ridges and
# shadows, at 0.5 the borders that pixels of 0.5 m have blurred are lost.
BORDER_DROP = 0.4
OPENING_PX = 3  # a gap in a border that is thinner does not count


def label_instances(
    probability: NDArray[np.uint8], border: NDArray[np.uint8], *, threshold: float = 0.5, min_seed_px: int = 1
) -> NDArray[np.int32]:
    """Return the building that each pixel belongs to, (H, W), numbered from 1 in raster order; 0 is outside.

    probability, border: (H, W) bytes of p(building), borders included, and of p(border between buildings), 0 = nodata.
    Within each connected area of p(building) >= ``threshold``, two buildings are where p(interior) = p(building) -
    p(border), opened by a square of 3 px, has two peaks with a fall of 0.4 or more between them, and each has at least
    ``min_seed_px`` pixels above the saddle; they grow from their peaks, see ``label_peaks``. What happens in an area
    depends on that area alone.

    >>> p = np.full((9, 17), 255, np.uint8)
    >>> b = np.tile(np.array([1] * 7 + [60, 200, 60] + [1] * 7, np.uint8), (9, 1))
    >>> label_instances(p, b)[4].tolist()
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]
    """
    inside = probability >= threshold_byte(threshold)
    interior = np.where(inside, np.maximum(probability, border) - border, 0)
    opened = ndimage.grey_opening(interior, OPENING_PX, mode="constant")
    return label_peaks(np.maximum(opened, inside), drop=round(BORDER_DROP * PROBABILITY_STEPS), min_px=min_seed_px)


def border_probability(probability: NDArray[np.uint8], interior: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return p(border between buildings), (H, W), from p(building) and p(interior); 0 where those are nodata.

    >>> border_probability(np.array([[255, 255, 0]], np.uint8), np.array([[255, 55, 0]], np.uint8)).tolist()
    [[1, 201, 0]]
    """
    return np.where(probability > 0, probability - np.minimum(probability, interior) + 1, 0).astype(np.uint8)
