"""Rings: the borders around each patch, shell first, put together from arcs."""

from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.pixels.arcs import Arcs, Corners


@dataclass(frozen=True, slots=True, eq=False)
class RaggedPolygons:
    """Polygons as three arrays: ring r is xy[ends[r]:ends[r + 1]], closed; polygon p has the rings from shells[p] on.

    xy: (M, 2). ends: (R + 1,). shells: (N + 1,); the first ring of a polygon is its shell, the others are its holes.
    """

    xy: NDArray[np.float64]
    ends: NDArray[np.int64]
    shells: NDArray[np.int64]

    def geometries(self) -> NDArray[np.object_]:
        """Return them as shapely Polygons, (N,)."""
        return np.asarray(shapely.from_ragged_array(shapely.GeometryType.POLYGON, self.xy, (self.ends, self.shells)))


@dataclass(frozen=True, slots=True, eq=False)
class PatchRings:
    """Closed rings of all patches; patch p has ring[start[p]:start[p + 1]], its shell and then its holes.

    ring: (R,) the first half-arc of each, as ``Arcs.following`` goes on. points: (R,) corners of each, the first one
    again at its end. xy: (M, 2) int32 (col, row) along the arcs.
    """

    arcs: Arcs
    xy: NDArray[np.int32]
    ring: NDArray[np.int32]
    points: NDArray[np.int64]
    start: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        held = (self.arcs.corner, self.arcs.start, self.arcs.left, self.arcs.following)
        return sum(a.nbytes for a in (*held, self.xy, self.ring, self.points, self.start))

    @property
    def largest(self) -> int:
        """Corners of the patch that has most of them."""
        return int(np.diff(self._total()).max(initial=0))

    def _total(self) -> NDArray[np.int64]:
        """Return the corners before each patch, and all of them, shape (N + 1,)."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.points)])[self.start]

    def slices(self, max_points: int) -> list[slice]:
        """Return consecutive slices of patches with at most ``max_points`` corners each, or one patch."""
        total = self._total()
        found, begin = [], 0
        while begin < len(self):
            end = int(np.searchsorted(total, total[begin] + max_points, side="right")) - 1
            found.append(slice(begin, max(end, begin + 1)))
            begin = found[-1].stop
        return found

    def polygons(self, part: slice, transform: Affine) -> RaggedPolygons:
        """Return the polygons of a slice of the patches in the CRS, shells counter-clockwise there.

        transform: of pixel corners (col, row) to (x, y).
        """
        first, last = self.start[part.start], self.start[part.stop]
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.points[first:last])])
        xy = np.empty((ends[-1], 2))
        turned = transform.determinant > 0  # rows go up the map
        _write(self.ring[first:last], self.arcs.start, self.arcs.following, self.xy, transform[:6], turned, xy)
        return RaggedPolygons(xy, ends, self.start[part.start : part.stop + 1] - first)


def find_rings(corners: Corners, arcs: Arcs, patches: int) -> PatchRings:
    """Return the rings of ``patches`` patches along ``arcs``."""
    xy = np.column_stack([corners.x[arcs.corner], corners.y[arcs.corner]])
    ring, points, area = _rings(arcs.start, arcs.left, arcs.following, xy)
    patch = arcs.left[ring]
    order = np.lexsort((area > 0, patch))  # stable, so that holes keep the order of their arcs
    start = np.searchsorted(patch[order], np.arange(patches + 1))
    return PatchRings(arcs, xy, ring[order], points[order], start)


@njit(cache=True, nogil=True)
def _rings(
    start: NDArray[np.int64], left: NDArray[np.int32], following: NDArray[np.int32], xy: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Return first half-arc, corners, and twice the signed area of each ring; shells, with rows downwards, below 0."""
    seen = np.zeros(len(left), np.bool_)
    ring = np.empty(len(left), np.int32)
    points = np.empty(len(left), np.int64)
    area = np.empty(len(left), np.int64)
    n = 0
    for first in range(len(left)):
        if seen[first] or left[first] < 0:
            continue
        ring[n], points[n], area[n] = first, 1, 0
        half = first
        while not seen[half]:
            seen[half] = True
            a, b = start[half // 2], start[half // 2 + 1] - 1
            twice = np.int64(0)
            for i in range(a, b):
                twice += np.int64(xy[i, 0]) * xy[i + 1, 1] - np.int64(xy[i + 1, 0]) * xy[i, 1]
            area[n] += -twice if half & 1 else twice
            points[n] += b - a
            half = following[half]
        n += 1
    return ring[:n].copy(), points[:n].copy(), area[:n].copy()


@njit(cache=True, nogil=True)
def _write(
    ring: NDArray[np.int32],
    start: NDArray[np.int64],
    following: NDArray[np.int32],
    xy: NDArray[np.int32],
    transform: tuple[float, ...],
    turned: bool,
    out: NDArray[np.float64],
) -> None:
    """Write the mapped corners of each ring to ``out``, the first one again at its end; turned: backwards."""
    t, n = transform, 0
    for first in ring:
        begin, half = n, first
        while True:
            a, b = start[half // 2], start[half // 2 + 1] - 1
            for i in range(b - a):
                col, row = xy[b - i if half & 1 else a + i]
                out[n, 0], out[n, 1] = t[0] * col + t[1] * row + t[2], t[3] * col + t[4] * row + t[5]
                n += 1
            half = following[half]
            if half == first:
                break
        out[n, 0], out[n, 1] = out[begin, 0], out[begin, 1]
        n += 1
        if turned:
            for k in range((n - begin) // 2):
                i, j = begin + k, n - 1 - k
                for axis in range(2):
                    out[i, axis], out[j, axis] = out[j, axis], out[i, axis]
