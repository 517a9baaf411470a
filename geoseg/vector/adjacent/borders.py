"""Borders: how far two buildings of a block touch, by their contours."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.adjacent.edges import edges_in
from geoseg.vector.adjacent.loops import Loops

SPREAD = 0.6180339887498949  # makes one number of an edge, that of few others


class Borders(NamedTuple):
    """How long the borders are between the contours of M buildings that touch; each pair a, b stands as b, a too."""

    pair: NDArray[np.int64]
    """a * M + b, ascending, (B,)."""
    length: NDArray[np.float64]
    """Length of their border, (B,)."""


@njit(cache=True, nogil=True)
def borders_between(contours: Loops) -> Borders:
    """Return the borders of a coverage, M: the edges that two polygons have in common."""
    ends, building, _, _ = edges_in(contours)
    for i in range(len(ends)):
        ax, ay, bx, by = ends[i]
        if ax > bx or (ax == bx and ay > by):
            ends[i, 0], ends[i, 1], ends[i, 2], ends[i, 3] = bx, by, ax, ay
    key = ends[:, 0] + SPREAD * ends[:, 1] + SPREAD**2 * ends[:, 2] + SPREAD**3 * ends[:, 3]
    order, count = np.argsort(key, kind="mergesort"), len(contours.first) - 1
    pair, length, n = np.empty(len(ends), np.int64), np.empty(len(ends)), 0
    for k in range(len(order) - 1):
        i, m = order[k], k + 1
        while m < len(order) and key[order[m]] == key[i]:
            j = order[m]
            if (ends[i] == ends[j]).all():
                a, b = building[i], building[j]
                pair[n], pair[n + 1] = a * count + b, b * count + a
                length[n] = length[n + 1] = np.hypot(ends[i, 2] - ends[i, 0], ends[i, 3] - ends[i, 1])
                n += 2
            m += 1
    found = np.unique(pair[:n])
    total = np.zeros(len(found))
    for k in range(n):
        total[np.searchsorted(found, pair[k])] += length[k]
    return Borders(found, total)


@njit(cache=True, nogil=True)
def border_length(a: int, b: int, count: int, pair: NDArray[np.int64], length: NDArray[np.float64]) -> float:
    """Length of the border between two of ``count`` buildings, 0 where they do not touch; pair, length: ``Borders``."""
    at = np.searchsorted(pair, a * count + b)
    return length[at] if at < len(pair) and pair[at] == a * count + b else 0.0
