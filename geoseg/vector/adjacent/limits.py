"""Limits: whether the buildings of a block are near enough to their contours, for as many drafts as there are."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.adjacent.loops import Loops, area, moved
from geoseg.vector.adjacent.overlaps import REACH_PX
from geoseg.vector.adjacent.tolerance import IOU_DIGITS, LARGE, corners_within, ious, shared_area
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
        out, large = allowed(self.seen, drawn, of)
        large &= out
        if large.any():
            out[large] &= ious(drawn.polygons[large], self.contours[of[large]]) >= LEAST_IOU
        return out


@njit(cache=True, nogil=True)
def allowed(seen: Seen, drawn: Loops, of: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which polygons, (K,) in pixels, are near enough, and of which the IoU is too much to be computed here."""
    out, large, by, scale = np.zeros(len(of), np.bool_), np.zeros(len(of), np.bool_), -seen.corner[of], seen.pixel_m[of]
    px, m = moved(drawn, by, np.ones_like(by)), moved(drawn, by, scale)
    for i in range(len(of)):
        large[i] = _vertices(drawn, i) * _vertices(seen.px, of[i]) > LARGE
        out[i] = (
            drawn.first[i] < drawn.first[i + 1]
            and not _leaves_reach(drawn, i, seen.box[of[i]])
            and corners_within(seen.m, of[i], m, i, seen.deviation_m)
            and (large[i] or _shares_enough(px, i, seen.px, of[i]))
        )
    return out, large


@njit(cache=True, nogil=True)
def _vertices(loops: Loops, i: int) -> int:
    return loops.start[loops.first[i + 1]] - loops.start[loops.first[i]]


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
def _shares_enough(polygons: Loops, i: int, contours: Loops, j: int) -> bool:
    """Whether the IoU is LEAST_IOU or more."""
    shared = shared_area(polygons, i, contours, j)
    iou = shared / (area(polygons, i) + area(contours, j) - shared)
    return bool(np.rint(iou * 10.0**IOU_DIGITS) / 10.0**IOU_DIGITS >= LEAST_IOU)
