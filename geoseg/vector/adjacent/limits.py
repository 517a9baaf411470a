"""Limits: whether the buildings of a block are near enough to their contours, for as many drafts as there are."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.adjacent.loops import Loops, area, moved
from geoseg.vector.adjacent.overlaps import REACH_PX
from geoseg.vector.adjacent.tolerance import IOU_DIGITS, LARGE, distance, ious, shared_area
from geoseg.vector.fit.fit import LEAST_IOU


class Seen(NamedTuple):
    """N contours, and how far from them polygons may be."""

    px: Loops
    """The contours in pixels, each relative to its own corner."""
    m: Loops
    """The same in metres."""
    box: NDArray[np.float64]
    """Their bounds in pixels, (N, 4)."""
    corner: NDArray[np.float64]
    """Their corners, (N, 2)."""
    pixel_m: NDArray[np.float64]
    """Width and height of a pixel, (N, 2) metres."""
    deviation_m: float
    """Largest distance, metres."""


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """What N polygons have to be near to, see ``Closeness.within``; contours are measured once."""

    contours: NDArray[np.object_]
    """Polygons in pixels, (N,)."""
    seen: Seen
    """The same as arrays."""

    @classmethod
    def of(cls, contours: NDArray[np.object_], pixel_m: NDArray[np.float64], deviation_m: float) -> "Limits":
        """Return the limits of polygons within ``deviation_m`` of their contours; pixel_m: width and height, (2,)."""
        box, loops = shapely.bounds(contours), Loops.of(contours)
        corner, sizes = np.floor(box[:, :2]), np.tile(pixel_m, (len(contours), 1))
        return cls(contours, Seen(loops.moved(-corner), loops.moved(-corner, sizes), box, corner, sizes, deviation_m))

    def allow(self, drawn: Loops, of: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which polygons, (K,) in pixels, are near enough to the contours ``of``, (K,).

        No more is measured than that takes. Of polygons that are invalid the answer is any.
        """
        out, large = _allowed(self.seen, drawn, of), self.seen.px.vertices[of] * drawn.vertices > LARGE
        if large.any():
            out[large] &= ious(drawn.polygons[large], self.contours[of[large]]) >= LEAST_IOU
        return out


@njit(cache=True, nogil=True)
def _allowed(seen: Seen, drawn: Loops, of: NDArray[np.int64]) -> NDArray[np.bool_]:
    out, by, scale = np.zeros(len(of), np.bool_), -seen.corner[of], seen.pixel_m[of]
    px, m = moved(drawn, by, np.ones_like(by)), moved(drawn, by, scale)
    for i in range(len(of)):
        out[i] = (
            drawn.first[i] < drawn.first[i + 1]
            and not _leaves_reach(drawn, i, seen.box[of[i]])
            and _is_near(m, i, seen.m, of[i], seen.deviation_m)
            and _shares_enough(px, i, seen.px, of[i])
        )
    return out


@njit(cache=True, nogil=True)
def _leaves_reach(drawn: Loops, i: int, box: NDArray[np.float64]) -> bool:
    """Whether a polygon leaves a box by more than REACH_PX."""
    for v in range(drawn.start[drawn.first[i]], drawn.start[drawn.first[i + 1]]):
        for axis in range(2):
            at = drawn.xy[v, axis]
            if at < box[axis] - REACH_PX or at > box[axis + 2] + REACH_PX:
                return True
    return False


@njit(cache=True, nogil=True)
def _is_near(polygons: Loops, i: int, contours: Loops, j: int, far: float) -> bool:
    """Whether all vertices of a contour lie within ``far`` of its polygon's rings."""
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
def _shares_enough(polygons: Loops, i: int, contours: Loops, j: int) -> bool:
    """Whether the IoU is LEAST_IOU or more, or it is too much to be computed here."""
    count = polygons.start[polygons.first[i + 1]] - polygons.start[polygons.first[i]]
    if count * (contours.start[contours.first[j + 1]] - contours.start[contours.first[j]]) > LARGE:
        return True
    shared = shared_area(polygons, i, contours, j)
    iou = shared / (area(polygons, i) + area(contours, j) - shared)
    return bool(np.rint(iou * 10.0**IOU_DIGITS) / 10.0**IOU_DIGITS >= LEAST_IOU)
