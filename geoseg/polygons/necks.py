"""Necks: buildings that a binary mask has run together, parted where it is narrow."""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from geoseg.polygons.components import find_root
from geoseg.polygons.instances import renumber
from geoseg.polygons.runs import threshold_byte

NECK_RATIO = 0.3  # of the width of the narrower building: parts bridges of 2-4 px; at 0.5 real wings come off
LEAST_WIDTH_PX = 6.0  # what is narrower is a bump, not a building


def label_necks(
    probability: NDArray[np.uint8], *, threshold: float = 0.5, neck_ratio: float = NECK_RATIO
) -> NDArray[np.int32]:
    """Return the building that each pixel belongs to, (H, W), as ``label_instances`` does, from p(building) alone.

    Two parts of a connected area come apart where the widest way from one to the other is at most ``neck_ratio`` times
    as wide as the narrower of the two: so a bridge parts two houses, and a wing stays with its house. Widths are those
    of the largest discs inside; areas grow from these, the deepest pixels first (Meyer and Beucher 1990). A border that
    a network has seen tells more, see ``label_instances``.

    >>> p = np.ones((13, 31), np.uint8)
    >>> p[1:12, 1:12] = p[1:12, 19:30] = p[5:7, 12:19] = 255
    >>> label_necks(p)[6, ::5].tolist()
    [0, 1, 1, 1, 2, 2, 0]
    """
    inside = probability >= threshold_byte(threshold)
    depth2 = np.rint(ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1] ** 2).astype(np.int64)
    rows, cols = np.nonzero(inside)
    order = np.lexsort((cols, rows, -depth2[rows, cols]))
    labels = _grow(2 * np.sqrt(depth2) - 1, rows[order], cols[order], neck_ratio)
    renumber(labels)
    return labels


@njit(cache=True, nogil=True)
def _grow(
    width: NDArray[np.float64], rows: NDArray[np.intp], cols: NDArray[np.intp], neck_ratio: float
) -> NDArray[np.int32]:
    """Give each pixel, the deepest first, to the widest part beside it; parts without a neck between them are one."""
    labels = np.zeros(width.shape, np.int32)
    parent, widest = np.arange(len(rows) + 1), np.zeros(len(rows) + 1)
    parts = 0
    for i in range(len(rows)):
        row, col = rows[i], cols[i]
        own = 0
        for step in range(4):
            r, c = row + (step == 1) - (step == 0), col + (step == 3) - (step == 2)
            if not (0 <= r < width.shape[0] and 0 <= c < width.shape[1]) or labels[r, c] == 0:
                continue
            other = find_root(parent, labels[r, c])
            if own in (0, other):
                own = other
                continue
            narrow, wide = (own, other) if widest[own] < widest[other] else (other, own)
            if widest[narrow] < LEAST_WIDTH_PX or width[row, col] > neck_ratio * widest[narrow]:
                parent[narrow] = wide
            own = wide
        if own == 0:
            parts += 1
            own, widest[parts] = parts, width[row, col]
        labels[row, col] = own
    for i in range(len(rows)):
        labels[rows[i], cols[i]] = find_root(parent, labels[rows[i], cols[i]])
    return labels
