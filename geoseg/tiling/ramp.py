"""Integer blending weights: where two windows meet, a raised-cosine ramp rises in one as it falls in the other."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

RAMP_BITS = 7  # a weight along one axis is 0..128, so one of a pixel (row x column) has 14 bits
PROB_BITS = 18  # with 14 bits of weight the sum over all windows stays below 2^32: 18 is the most that uint32 holds
RAMP_ONE = 1 << RAMP_BITS
PROB_ONE = (1 << PROB_BITS) - 1  # the integer of probability 1
FULL = PROB_ONE << 2 * RAMP_BITS  # the accumulator of probability 1: 4294950912


@cache
def rising(ramp: int) -> NDArray[np.uint16]:
    """Return the ``ramp`` weights 0..128 that lead from none to full; read-only, and 128 - they are the falling side.

    >>> rising(4).tolist()
    [5, 40, 88, 123]
    """
    centre = (np.arange(ramp) + 0.5) / max(ramp, 1)
    out = np.rint(RAMP_ONE * (0.5 - 0.5 * np.cos(np.pi * centre))).astype(np.uint16)
    out.flags.writeable = False
    return out
