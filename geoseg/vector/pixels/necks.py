"""Necks: buildings that a binary mask has run together, parted where it is narrow."""

from math import log

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geoseg.vector.pixels.peaks import label_peaks
from geoseg.vector.pixels.runs import threshold_byte

NECK_RATIO = 0.3  # of the width of the narrower building: parts bridges of 2-4 px; at 0.5 real wings come off
LEAST_WIDTH_PX = 6.0  # what is narrower is a bump, not a building, and no wing either: what is wider stays
STEPS_PER_E = 1000  # widths are told apart to a thousandth


def label_necks(
    probability: NDArray[np.uint8], *, threshold: float = 0.5, neck_ratio: float = NECK_RATIO
) -> NDArray[np.int32]:
    """Return the building that each pixel belongs to, (H, W), as ``label_instances`` does, from p(building) alone.

    Two parts of a connected area come apart where the widest way from one to the other is at most ``neck_ratio`` times
    as wide as the narrower of the two, and at most LEAST_WIDTH_PX: so a bridge parts two houses, and a wing stays with
    its house, however large that is. Widths are those of the largest discs inside; areas grow from these, the deepest
    pixels first (Meyer and Beucher 1990). A border that a network has seen tells more, see ``label_instances``.

    >>> p = np.ones((13, 31), np.uint8)
    >>> p[1:12, 1:12] = p[1:12, 19:30] = p[5:7, 12:19] = 255
    >>> label_necks(p)[6, ::5].tolist()
    [0, 1, 1, 1, 2, 2, 0]
    """
    inside = probability >= threshold_byte(threshold)
    width_px = 2 * ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1] - 1
    width_px = np.minimum(width_px, LEAST_WIDTH_PX / neck_ratio)  # a wider one parts no wider neck
    least_neck_px = neck_ratio * LEAST_WIDTH_PX  # what is as narrow as this parts anything that is wide enough
    height = 1 + np.rint(STEPS_PER_E * np.log(np.maximum(width_px / least_neck_px, 1)))
    return label_peaks(np.where(inside, height, 0).astype(np.uint16), drop=int(STEPS_PER_E * log(1 / neck_ratio)))
