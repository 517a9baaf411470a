"""Borders: how far two buildings of a block touch, by their contours."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.adjacent.edges import edges_of


class Borders(NamedTuple):
    """How long the borders are between the contours of M buildings that touch; each pair a, b stands as b, a too."""

    pair: NDArray[np.int64]
    """a * M + b, ascending, (B,)."""
    length: NDArray[np.float64]
    """Length of their border, (B,)."""


def borders_between(contours: NDArray[np.object_]) -> Borders:
    """Return the borders of a coverage, (M,): the edges that two polygons have in common."""
    ends, building, _, _ = edges_of(contours)
    back = (ends[:, 0] > ends[:, 2]) | ((ends[:, 0] == ends[:, 2]) & (ends[:, 1] > ends[:, 3]))
    ends[back] = ends[back][:, [2, 3, 0, 1]]
    order = np.lexsort(ends.T)
    same = np.flatnonzero((ends[order[1:]] == ends[order[:-1]]).all(axis=1))
    a, b, count = building[order[same]], building[order[same + 1]], len(contours)
    length = np.hypot(*(ends[order[same], 2:] - ends[order[same], :2]).T)
    pair, at = np.unique(np.concatenate([a * count + b, b * count + a]), return_inverse=True)
    return Borders(pair.astype(np.int64), np.bincount(at, weights=np.tile(length, 2), minlength=len(pair)))


@njit(cache=True, nogil=True)
def border_length(a: int, b: int, count: int, pair: NDArray[np.int64], length: NDArray[np.float64]) -> float:
    """Length of the border between two of ``count`` buildings, 0 where they do not touch; pair, length: ``Borders``."""
    at = np.searchsorted(pair, a * count + b)
    return length[at] if at < len(pair) and pair[at] == a * count + b else 0.0
