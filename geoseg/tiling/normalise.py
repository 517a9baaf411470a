"""Normalisation: the pixels as a model wants them."""

import numpy as np
from numpy.typing import NDArray


def normalise(
    image: NDArray[np.float32], usable: NDArray[np.bool_], *, mean: NDArray[np.float32], std: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return (image - mean) / std of (C, h, w) pixels, 0 where NaN or not ``usable`` (h, w); mean, std: per channel.

    Bands of a date without data are NaN.

    >>> usable = np.array([[True, False]])
    >>> normalise(np.float32([[[3, np.nan]]]), usable, mean=np.float32([1]), std=np.float32([4])).tolist()
    [[[0.5, 0.0]]]
    """
    from geoseg.tiling import compiled

    out = np.empty_like(image)
    compiled.normalise(image, usable, mean, std, out)
    return out
