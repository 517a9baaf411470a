"""Edges: the walls of polygons as one array."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.adjacent.loops import Loops


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
    return edges_in(Loops.of(polygons))


@njit(cache=True, nogil=True)
def edges_in(loops: Loops) -> Edges:
    """Return the walls of the rings of shapes."""
    count, owner = len(loops.start) - 1, np.empty(len(loops.start) - 1, np.int64)
    for i in range(len(loops.first) - 1):
        owner[loops.first[i] : loops.first[i + 1]] = i
    ends, building = np.empty((len(loops.xy) - count, 4)), np.empty(len(loops.xy) - count, np.int64)
    for ring in range(count):
        for v in range(loops.start[ring], loops.start[ring + 1] - 1):
            wall = v - ring  # the last vertex of each ring before is no wall's first
            ends[wall, 0], ends[wall, 1] = loops.xy[v, 0], loops.xy[v, 1]
            ends[wall, 2], ends[wall, 3] = loops.xy[v + 1, 0], loops.xy[v + 1, 1]
            building[wall] = owner[ring]
    return Edges(ends, building, loops.start - np.arange(count + 1), owner)
