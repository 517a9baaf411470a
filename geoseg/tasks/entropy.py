"""Entropy of class probabilities: how evenly they are spread, 0 where one class is certain, 1 where all are equal."""

from math import log

import numpy as np
from numpy.typing import NDArray

STEPS = 254  # of a probability byte: b means p = (b - 1) / STEPS
ONE = 2**32  # entropies are summed in integers, so that no bit depends on the order of the classes
# ONE x -p ln p by byte, 0 for nodata.
_OF_BYTE = np.array([0, 0, *(round(-ONE * p / STEPS * log(p / STEPS)) for p in range(1, STEPS + 1))], np.int64)


def entropy(probabilities: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the entropy of (N, h, w) probability bytes over ln N, as bytes 1..255 for 0..1; 0 where not ``valid``.

    >>> entropy(np.uint8([[[255, 128, 0]], [[1, 128, 0]]]), np.array([[True, True, False]])).tolist()
    [[1, 255, 0]]
    """
    most = round(ONE * log(max(2, len(probabilities))))
    out = np.zeros(valid.shape, np.uint8)
    for y, known in enumerate(valid):  # a row at a time: its sums have eight bytes a pixel
        total = _OF_BYTE[probabilities[:, y]].sum(0)
        out[y] = np.where(known, 1 + np.minimum((STEPS * total + most // 2) // most, STEPS), 0)
    return out
