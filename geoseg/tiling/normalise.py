"""Normalisation: the pixels as a model wants them, in one pass."""

import numba
import numpy as np
from numpy.typing import NDArray


def normalise(
    image: NDArray[np.float32], usable: NDArray[np.bool_], *, mean: NDArray[np.float32], std: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return (image - mean) / std of (C, h, w) pixels, 0 where not ``usable`` (h, w); mean, std: one per channel.

    >>> usable = np.array([[True, False]])
    >>> normalise(np.float32([[[3, np.nan]]]), usable, mean=np.float32([1]), std=np.float32([4])).tolist()
    [[[0.5, 0.0]]]
    """
    out = np.empty(image.shape, np.float32)
    _normalise(image, usable, mean, std, out)
    return out


@numba.njit(nogil=True, cache=True)
def _normalise(image, usable, mean, std, out):  # type: ignore[no-untyped-def]
    for c in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                value = (image[c, y, x] - mean[c]) / std[c]
                out[c, y, x] = value if usable[y, x] else np.float32(0)
