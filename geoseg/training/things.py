"""What a network learns of objects: a bump at the centre of each, and from each of its pixels the way there."""

import numpy as np
from numpy.typing import NDArray

REACH = 3.5  # of a bump, in sigmas: beyond it is nothing


def bumps_and_offsets(ids: NDArray[np.int32], *, sigma_px: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return bumps (H, W) 0..1 and offsets (2, H, W) in rows and columns to the centre of mass; ids: 0 is no object.

    Bumps are Gaussians, of several the largest (Cheng et al. 2020).

    >>> bumps, offsets = bumps_and_offsets(np.array([[5, 5, 5, 0]], np.int32), sigma_px=1)
    >>> bumps.round(2).tolist(), offsets[1].tolist()
    ([[0.61, 1.0, 0.61, 0.14]], [[1.0, 0.0, -1.0, 0.0]])
    """
    rows, cols = np.nonzero(ids > 0)
    found, at = np.unique(ids[rows, cols], return_inverse=True)
    count = np.maximum(np.bincount(at, minlength=len(found)), 1)
    centres = np.stack([np.bincount(at, weights=w, minlength=len(found)) / count for w in (rows, cols)], 1)
    offsets = np.zeros((2, *ids.shape), np.float32)
    offsets[0, rows, cols], offsets[1, rows, cols] = centres[at, 0] - rows, centres[at, 1] - cols
    bumps, reach = np.zeros(ids.shape, np.float32), int(np.ceil(REACH * sigma_px))
    for row, col in centres:
        r0, c0 = max(int(row) - reach, 0), max(int(col) - reach, 0)
        own = bumps[r0 : int(row) + reach + 1, c0 : int(col) + reach + 1]
        y, x = np.ogrid[r0 : r0 + own.shape[0], c0 : c0 + own.shape[1]]
        np.maximum(own, np.exp(-((y - row) ** 2 + (x - col) ** 2) / (2 * sigma_px**2)), out=own, casting="same_kind")
    return bumps, offsets
