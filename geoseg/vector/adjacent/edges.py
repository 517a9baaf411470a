"""Edges: the walls of polygons as one array."""

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray


class Edges(NamedTuple):
    """The W walls of the R rings of polygons."""

    ends: NDArray[np.float64]
    """From x, y to x, y of each wall, in the order of its ring, (W, 4)."""
    building: NDArray[np.intp]
    """The polygon that each wall belongs to, (W,)."""
    start: NDArray[np.int64]
    """Ring k has the walls start[k] to start[k + 1], (R + 1,)."""
    owner: NDArray[np.intp]
    """The polygon that each ring belongs to, (R,)."""


def edges_of(polygons: NDArray[np.object_]) -> Edges:
    """Return the walls of polygons, (M,)."""
    rings, owner = shapely.get_rings(polygons, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    begin = np.flatnonzero(ring[1:] == ring[:-1])
    start = np.searchsorted(ring[begin], np.arange(len(rings) + 1))
    return Edges(np.hstack([xy[begin], xy[begin + 1]]), owner[ring[begin]], start, owner)
