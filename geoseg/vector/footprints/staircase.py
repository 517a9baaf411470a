"""Staircases: outlines that follow the edges of pixels, as polygonised rasters do, and the contour they stand for."""

from math import atan2, cos, hypot, sin
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

ALIGNED = 0.98  # of all edges, by length, when every pixel lies alike: 1 is all of them, 0 none in particular
FEWEST_EDGES = 20
CONCAVE_SHARE = 0.2  # of its corners turn inwards, nearly half where steps abound; of houses on a grid few do
SHORTEST_SHARE = 0.1  # of a staircase's edges that are one pixel long; half of them usually are
WHOLE_SHARE = 0.98  # of its edges that are whole pixels long, within
WHOLE_PX, WHOLE_GROWTH = 0.15, 0.01  # so much and, for sizes that change over a layer in degrees, so much of the length


class Steps(NamedTuple):
    """The pixels of a staircase: direction of one of their edges (radians), and their size along it and across."""

    angle: float
    along: float
    across: float

    @property
    def size(self) -> float:
        """Side of a square pixel of the same area."""
        return (self.along * self.across) ** 0.5


def find_steps(polygons: NDArray[np.object_]) -> Steps | None:
    """Return the pixels along whose edges the polygons run, or None where they are no staircases.

    >>> find_steps(np.array([shapely.Polygon([(0, 0), (9, 0), (9, 5), (4, 3)])])) is None
    True
    """
    xy, ring = shapely.get_coordinates(shapely.get_rings(polygons), return_index=True)
    if _concave_share(xy, ring) < CONCAVE_SHARE:
        return None
    dx, dy = np.diff(xy, axis=0)[ring[1:] == ring[:-1]].T
    length, turn = np.hypot(dx, dy), 4 * np.arctan2(dy, dx)
    x, y = float((length * np.cos(turn)).sum()), float((length * np.sin(turn)).sum())
    if hypot(x, y) < ALIGNED * length.sum():
        return None
    angle = atan2(y, x) / 4
    u, v = np.abs(dx * cos(angle) + dy * sin(angle)), np.abs(dy * cos(angle) - dx * sin(angle))
    along, across = _common_step(u[u > v]), _common_step(v[v >= u])
    return None if along is None or across is None else Steps(angle, along, across)


def _concave_share(xy: NDArray[np.float64], ring: NDArray[np.intp]) -> float:
    """Return the share of corners that turn against their ring; first and last corner of each are left out."""
    edge = np.diff(xy, axis=0)
    inner = (ring[2:] == ring[:-2]).nonzero()[0]
    turn = np.sign(edge[inner, 0] * edge[inner + 1, 1] - edge[inner, 1] * edge[inner + 1, 0])
    lefts, rights = (np.bincount(ring[inner], weights=turn == side) for side in (1, -1))
    return float(np.minimum(lefts, rights).sum() / max(len(turn), 1))


def _common_step(lengths: NDArray[np.float64]) -> float | None:
    """Return the length of which nearly all ``lengths`` are whole multiples and many are one."""
    if len(lengths) < FEWEST_EDGES:
        return None
    step = float(np.quantile(lengths, SHORTEST_SHARE / 2))
    for _ in range(3):
        whole = np.maximum(np.rint(lengths / step), 1)
        near = whole <= 20
        step = float(lengths[near].sum() / whole[near].sum())
    whole = np.maximum(np.rint(lengths / step), 1)
    fits = _is_whole(lengths / step, whole)
    return step if fits.mean() >= WHOLE_SHARE and (whole == 1).mean() >= SHORTEST_SHARE else None


def _is_whole(pixels: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.abs(pixels - whole) <= WHOLE_PX + WHOLE_GROWTH * whole


def step_contours(
    xy: NDArray[np.float64], start: NDArray[np.int64], steps: Steps
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Replace rings that are staircases by the middles of their pixels' edges, which is where marching squares goes.

    Ring k has the points xy[start[k]:start[k + 1]], the first not repeated. Other rings stay as they are.
    """
    count = np.diff(start)
    ring = np.repeat(np.arange(len(count)), count)
    following = np.arange(1, len(xy) + 1)
    following[start[1:] - 1] = start[:-1]
    edge = xy[following] - xy
    u = np.abs(edge @ (cos(steps.angle), sin(steps.angle)))
    v = np.abs(edge @ (-sin(steps.angle), cos(steps.angle)))
    pixels = np.where(u > v, u / steps.along, v / steps.across)
    whole = np.maximum(np.rint(pixels), 1)
    straight = np.where(u > v, v / steps.across, u / steps.along) <= WHOLE_PX + WHOLE_GROWTH * whole
    odd = np.bincount(ring, weights=~(straight & _is_whole(pixels, whole)), minlength=len(count)) > 0
    parts = np.where(odd[ring], 1, whole).astype(np.int64)
    begin = np.where(odd[ring], 0.0, 0.5)
    edge_of = np.repeat(np.arange(len(xy)), parts)
    number = np.arange(len(edge_of)) - np.repeat(np.cumsum(parts) - parts, parts)
    share = (number + begin[edge_of]) / parts[edge_of]
    ends = np.concatenate([[0], np.cumsum(np.bincount(ring, weights=parts, minlength=len(count)))]).astype(np.int64)
    return xy[edge_of] + share[:, None] * edge[edge_of], ends
