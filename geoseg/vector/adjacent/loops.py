"""Loops: the rings of shapes as arrays, as compiled code reads them."""

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.pixels.subpixel import signed_area


class Loops(NamedTuple):
    """The rings of N shapes, which may have several parts."""

    xy: NDArray[np.float64]
    """Vertices of all rings, the last of each its first, (V, 2)."""
    start: NDArray[np.int64]
    """Ring k has the vertices start[k] to start[k + 1], (R + 1,)."""
    first: NDArray[np.int64]
    """Shape i has the rings first[i] to first[i + 1], (N + 1,)."""
    shell: NDArray[np.bool_]
    """Which rings are shells, (R,)."""

    @classmethod
    def of(cls, shapes: NDArray[np.object_]) -> "Loops":
        """Return the rings of polygons and multipolygons, each shell before its holes."""
        count = shapely.get_num_coordinates(shapes)
        plain = (shapely.get_type_id(shapes) == shapely.GeometryType.POLYGON) & (count > 0)
        if plain.all() and not shapely.get_num_interior_rings(shapes).any():  # as most are: no ring is taken out
            start = np.append(0, np.cumsum(count, dtype=np.int64))
            return cls(shapely.get_coordinates(shapes), start, np.arange(len(start)), np.ones(len(shapes), np.bool_))
        parts, shape = shapely.get_parts(shapes, return_index=True)
        rings, part = shapely.get_rings(parts, return_index=True)
        xy, ring = shapely.get_coordinates(rings, return_index=True)
        start = np.searchsorted(ring, np.arange(len(rings) + 1))
        shell = np.ones(len(rings), np.bool_)
        shell[1:] = part[1:] > part[:-1]
        return cls(xy, start, np.searchsorted(shape[part], np.arange(len(shapes) + 1)), shell)

    @property
    def vertices(self) -> NDArray[np.int64]:
        """Number of vertices of each shape, (N,)."""
        at = self.start[self.first]
        return at[1:] - at[:-1]

    @property
    def polygons(self) -> NDArray[np.object_]:
        """The shapes, (N,), of which each is one polygon."""
        rings = shapely.linearrings(self.xy, indices=np.repeat(np.arange(len(self.shell)), np.diff(self.start)))
        return shapely.polygons(rings, indices=np.repeat(np.arange(len(self.first) - 1), np.diff(self.first)))

    def moved(self, by: NDArray[np.float64], scale: NDArray[np.float64] | float = 1.0) -> "Loops":
        """Move each shape by (x, y), then scale it; by: (N, 2), scale: one, (2,) or (N, 2)."""
        return moved(self, by, np.full(by.shape, scale))


@njit(cache=True, nogil=True)
def moved(loops: Loops, by: NDArray[np.float64], scale: NDArray[np.float64]) -> Loops:
    """Move each shape by (x, y), then scale it; by, scale: (N, 2)."""
    out = np.empty_like(loops.xy)
    for i in range(len(by)):
        for v in range(loops.start[loops.first[i]], loops.start[loops.first[i + 1]]):
            for axis in range(2):
                out[v, axis] = (loops.xy[v, axis] + by[i, axis]) * scale[i, axis]
    return Loops(out, loops.start, loops.first, loops.shell)


@njit(cache=True, nogil=True)
def area(loops: Loops, i: int) -> float:
    """Return the area of shape i."""
    total = 0.0
    for ring in range(loops.first[i], loops.first[i + 1]):
        own = signed_area(loops.xy[loops.start[ring] : loops.start[ring + 1]])
        total += abs(own) if loops.shell[ring] else -abs(own)
    return total


@njit(cache=True, nogil=True)
def taken(loops: Loops, chosen: NDArray[np.int64]) -> Loops:
    """Return the shapes chosen, (K,)."""
    return mixed(loops, loops, chosen, np.zeros(len(chosen), np.bool_))


@njit(cache=True, nogil=True)
def mixed(a: Loops, b: Loops, chosen: NDArray[np.int64], second: NDArray[np.bool_]) -> Loops:
    """Return the shapes chosen, (K,), each from ``b`` where ``second``, (K,), and from ``a`` elsewhere."""
    vertices, rings = 0, 0
    for k in range(len(chosen)):
        of, i = (b if second[k] else a), chosen[k]
        vertices += of.start[of.first[i + 1]] - of.start[of.first[i]]
        rings += of.first[i + 1] - of.first[i]
    xy, start, shell = np.empty((vertices, 2)), np.zeros(rings + 1, np.int64), np.empty(rings, np.bool_)
    first, ring = np.zeros(len(chosen) + 1, np.int64), 0
    for k in range(len(chosen)):
        of, i = (b if second[k] else a), chosen[k]
        for at in range(of.first[i], of.first[i + 1]):
            low, high = of.start[at], of.start[at + 1]
            start[ring + 1], shell[ring] = start[ring] + high - low, of.shell[at]
            xy[start[ring] : start[ring + 1]] = of.xy[low:high]
            ring += 1
        first[k + 1] = ring
    return Loops(xy, start, first, shell)


@njit(cache=True, nogil=True)
def centroid(loops: Loops, i: int) -> tuple[float, float]:
    """Return the centroid of shape i, one polygon, with the roundings of GEOS."""
    x, y, total = 0.0, 0.0, 0.0
    ax, ay = loops.xy[loops.start[loops.first[i]]]
    for ring in range(loops.first[i], loops.first[i + 1]):
        low, high = loops.start[ring], loops.start[ring + 1]
        sign = 1.0 if (signed_area(loops.xy[low:high]) < 0) == loops.shell[ring] else -1.0
        for k in range(low, high - 1):
            bx, by, cx, cy = loops.xy[k, 0], loops.xy[k, 1], loops.xy[k + 1, 0], loops.xy[k + 1, 1]
            twice = sign * ((bx - ax) * (cy - ay) - (cx - ax) * (by - ay))
            x += twice * (ax + bx + cx)
            y += twice * (ay + by + cy)
            total += twice
    return x / 3 / total, y / 3 / total
