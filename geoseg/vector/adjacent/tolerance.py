"""Closeness: the exact distance of polygons from their contours, and whether it is within the tolerance."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.adjacent.loops import Loops, area
from geoseg.vector.adjacent.loops import moved as moved_loops
from geoseg.vector.fit.fit import LEAST_IOU
from geoseg.vector.pixels.places import moved

LARGE = 3 * 10**7  # vertices times corners from which an index of the walls pays
IOU_DIGITS = 12  # decimals that sums in any order have in common


@dataclass(frozen=True, slots=True, eq=False)
class Closeness:
    """How near each of N polygons is to its contour."""

    iou: NDArray[np.float64]
    """IoU of the two, (N,)."""
    deviation_m: NDArray[np.float64]
    """Largest distance of the contour's vertices from the polygon's outline, (N,) metres."""
    rms_m: NDArray[np.float64]
    """Root mean square of these distances, (N,) metres."""

    @classmethod
    def of(
        cls, polygons: NDArray[np.object_], contours: NDArray[np.object_], pixel_m: NDArray[np.float64]
    ) -> "Closeness":
        """Measure valid polygons in pixel coordinates (col, row); pixel_m: width and height, (N, 2) or (2,), metres.

        Polygons may be empty, with an IoU of 0; contours may not. Coordinates are relative to each contour's own
        corner, so a shift by whole pixels changes no bit.
        """
        corner = np.floor(shapely.bounds(contours)[:, :2])
        drawn, seen = Loops.of(polygons), Loops.of(contours)
        iou = _ious(polygons, contours, drawn.moved(-corner), seen.moved(-corner))
        far = _vertices_from(drawn.moved(-corner, pixel_m), seen.moved(-corner, pixel_m))
        of = np.repeat(np.arange(len(contours)), seen.vertices)
        farthest = np.zeros(len(polygons))
        np.fmax.at(farthest, of, far)
        squares = np.bincount(of, weights=far * far, minlength=len(polygons))
        return cls(iou=iou, deviation_m=farthest, rms_m=np.sqrt(squares / seen.vertices))

    def within(self, bound_m: NDArray[np.float64] | float) -> NDArray[np.bool_]:
        """Whether the IoU is at least LEAST_IOU and the deviation at most ``bound_m``, (N,).

        An IoU of 0.8 also bounds the change of area by a quarter.
        """
        return (self.iou >= LEAST_IOU) & (self.deviation_m <= bound_m)


def ious(a: NDArray[np.object_], b: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return the IoU of each pair of valid shapes a[i], b[i], (N,), computed relative to the corner of b[i]."""
    corner = np.floor(shapely.bounds(b)[:, :2])
    return _ious(a, b, Loops.of(a).moved(-corner), Loops.of(b).moved(-corner))


def loop_ious(a: Loops, b: Loops) -> NDArray[np.float64]:
    """Return the IoU of each pair of valid polygons, (N,), see ``ious``."""
    out, large = _loop_ious(a, b)
    if large.any():
        out[large] = ious(a.polygons[large], b.polygons[large])
    return np.round(out, IOU_DIGITS)


@njit(cache=True, nogil=True)
def _loop_ious(a: Loops, b: Loops) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the IoUs, (N,), and which pairs are LARGE and left out."""
    count = len(b.first) - 1
    out, large, by = np.zeros(count), np.zeros(count, np.bool_), np.full((count, 2), np.inf)
    for i in range(count):
        for v in range(b.start[b.first[i]], b.start[b.first[i + 1]]):
            by[i, 0], by[i, 1] = min(by[i, 0], b.xy[v, 0]), min(by[i, 1], b.xy[v, 1])
    by = -np.floor(by)
    a, b = moved_loops(a, by, np.ones_like(by)), moved_loops(b, by, np.ones_like(by))
    for i in range(count):
        vertices = a.start[a.first[i + 1]] - a.start[a.first[i]]
        large[i] = vertices * (b.start[b.first[i + 1]] - b.start[b.first[i]]) > LARGE
        if not large[i]:
            shared = shared_area(a, i, b, i)
            out[i] = shared / (area(a, i) + area(b, i) - shared)
    return out, large


def _ious(a: NDArray[np.object_], b: NDArray[np.object_], a_loops: Loops, b_loops: Loops) -> NDArray[np.float64]:
    """Return the IoU of each pair, (N,); the loops are relative to the same corners."""
    shared = _shared_areas(a_loops, b_loops)
    for i in np.flatnonzero(a_loops.vertices * b_loops.vertices > LARGE):
        corner = np.floor(shapely.bounds(b[i])[:2])
        shared[i] = shapely.intersection(moved(a[i], -corner), moved(b[i], -corner)).area
    return np.round(shared / (shapely.area(a) + shapely.area(b) - shared), IOU_DIGITS)


def _vertices_from(polygons: Loops, contours: Loops) -> NDArray[np.float64]:
    """Return the distance of each vertex of each contour from its polygon's outline, (V,)."""
    far = _distances(polygons, contours)
    for i in np.flatnonzero(polygons.vertices * contours.vertices > LARGE):
        ring = np.arange(polygons.first[i], polygons.first[i + 1])
        lines = [polygons.xy[polygons.start[k] : polygons.start[k + 1]] for k in ring]
        tree = shapely.STRtree(shapely.linestrings(np.concatenate([np.stack([xy[:-1], xy[1:]], 1) for xy in lines])))
        own = slice(*contours.start[contours.first[i : i + 2]])
        far[own] = tree.query_nearest(shapely.points(contours.xy[own]), all_matches=False, return_distance=True)[1]
    return far


@njit(cache=True, nogil=True)
def _distances(polygons: Loops, contours: Loops) -> NDArray[np.float64]:
    """Return the distance of each contour's vertex from its polygon's rings, NaN where those are none or LARGE."""
    out = np.full(len(contours.xy), np.nan)
    for i in range(len(polygons.first) - 1):
        a, b = polygons.start[polygons.first[i]], polygons.start[polygons.first[i + 1]]
        p, q = contours.start[contours.first[i]], contours.start[contours.first[i + 1]]
        if a == b or (b - a) * (q - p) > LARGE:
            continue
        for v in range(p, q):
            x, y, nearest = contours.xy[v, 0], contours.xy[v, 1], np.inf
            for ring in range(polygons.first[i], polygons.first[i + 1]):
                for k in range(polygons.start[ring], polygons.start[ring + 1] - 1):
                    ax, ay = polygons.xy[k, 0], polygons.xy[k, 1]
                    bx, by = polygons.xy[k + 1, 0], polygons.xy[k + 1, 1]
                    nearest = min(nearest, distance(x, y, ax, ay, bx, by))
            out[v] = nearest
    return out


@njit(cache=True, nogil=True)
def distance(x: float, y: float, ax: float, ay: float, bx: float, by: float) -> float:
    """Distance of a point from the segment a-b, with the roundings of GEOS."""
    dx, dy = bx - ax, by - ay
    length2 = dx * dx + dy * dy
    along = ((x - ax) * dx + (y - ay) * dy) / length2 if length2 > 0 else 0.0
    if along <= 0:
        return sqrt((x - ax) * (x - ax) + (y - ay) * (y - ay))
    if along >= 1:
        return sqrt((x - bx) * (x - bx) + (y - by) * (y - by))
    return abs(((ay - y) * dx - (ax - x) * dy) / length2) * sqrt(length2)


@njit(cache=True, nogil=True)
def corners_within(contours: Loops, j: int, polygons: Loops, i: int, far: float) -> bool:
    """Whether all vertices of one shape lie within ``far`` of another one's rings."""
    xy, near = polygons.xy, polygons.start[polygons.first[i]]  # a wall: the next vertex mostly lies near the same one
    for v in range(contours.start[contours.first[j]], contours.start[contours.first[j + 1]]):
        x, y = contours.xy[v]
        if distance(x, y, xy[near, 0], xy[near, 1], xy[near + 1, 0], xy[near + 1, 1]) <= far:
            continue
        found = False
        for ring in range(polygons.first[i], polygons.first[i + 1]):
            for k in range(polygons.start[ring], polygons.start[ring + 1] - 1):
                if not found and distance(x, y, xy[k, 0], xy[k, 1], xy[k + 1, 0], xy[k + 1, 1]) <= far:
                    found, near = True, k
        if not found:
            return False
    return True


@njit(cache=True, nogil=True)
def _shared_areas(a: Loops, b: Loops) -> NDArray[np.float64]:
    """Return the area that each pair of shapes has in common, (N,), 0 where they are LARGE.

    A shape is the sum of the areas below its edges, each with the sign of its sense; so what two shapes have in common
    is the sum over pairs of edges of the area below both, which is exact whatever they share.
    """
    out = np.zeros(len(a.first) - 1)
    for i in range(len(out)):
        p, q = a.start[a.first[i]], a.start[a.first[i + 1]]
        if (q - p) * (b.start[b.first[i + 1]] - b.start[b.first[i]]) > LARGE:
            continue
        out[i] = shared_area(a, i, b, i)
    return out


@njit(cache=True, nogil=True)
def shared_area(a: Loops, i: int, b: Loops, j: int) -> float:
    """Return the area that shape i of ``a`` and shape j of ``b`` have in common, see ``_shared_areas``."""
    total = 0.0
    for ring in range(a.first[i], a.first[i + 1]):
        for other in range(b.first[j], b.first[j + 1]):
            total += _sense(a, ring) * _sense(b, other) * _below_both(a, ring, b, other)
    return total


@njit(cache=True, nogil=True)
def _sense(loops: Loops, ring: int) -> float:
    """Return 1 for shells that run one way and holes that run the other, else -1."""
    area = 0.0
    for k in range(loops.start[ring], loops.start[ring + 1] - 1):
        area += (loops.xy[k + 1, 0] - loops.xy[k, 0]) * (loops.xy[k + 1, 1] + loops.xy[k, 1])
    return 1.0 if (area > 0) == loops.shell[ring] else -1.0


@njit(cache=True, nogil=True)
def _below_both(a: Loops, ring: int, b: Loops, other: int) -> float:
    """Integrate the lower of two edges over the stretch of x that they share, for all pairs, with their senses."""
    total = 0.0
    for i in range(a.start[ring], a.start[ring + 1] - 1):
        ax, ay, a_end, a_up = a.xy[i, 0], a.xy[i, 1], a.xy[i + 1, 0], a.xy[i + 1, 1]
        if ax == a_end:
            continue
        a_slope, a_low, a_high = (a_up - ay) / (a_end - ax), min(ax, a_end), max(ax, a_end)
        for j in range(b.start[other], b.start[other + 1] - 1):
            bx, b_end = b.xy[j, 0], b.xy[j + 1, 0]
            low, high = max(a_low, min(bx, b_end)), min(a_high, max(bx, b_end))
            if high <= low:
                continue
            by = b.xy[j, 1]
            b_slope = (b.xy[j + 1, 1] - by) / (b_end - bx)
            a0, a1 = ay + (low - ax) * a_slope, ay + (high - ax) * a_slope
            b0, b1 = by + (low - bx) * b_slope, by + (high - bx) * b_slope
            d0, d1, lower = a0 - b0, a1 - b1, 0.5 * (b0 + b1)
            if d0 <= 0 and d1 <= 0:
                lower = 0.5 * (a0 + a1)
            elif d0 < 0 or d1 < 0:  # they cross: below the second one by a triangle
                lower -= 0.5 * min(d0, d1) ** 2 / abs(d0 - d1)
            total += lower * (high - low) if (ax < a_end) == (bx < b_end) else -lower * (high - low)
    return total
