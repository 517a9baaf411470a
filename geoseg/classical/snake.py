"""Snakes: an outline is drawn to the strongest edges near it and stays smooth (Kass, Witkin and Terzopoulos 1988).

Each point moves along its normal, all at once and at the least cost, by dynamic programming (Amini, Weymouth and Jain
1990): nothing is stuck in a weak edge that lies before a strong one.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geoseg.classical.grid_graph import Floats

SPACING_PX = STEP_PX = 0.5  # of points along an outline, and of places along a normal
BLUR_PX = 1.0
BENT = 0.05  # cost of a step aside from one point to the next, in strengths of the strongest edge
PASSES = (1.0, 0.5, 0.5)  # how far is looked, as a share of the reach: corners need a second look


def snake(image: Floats, valid: NDArray[np.bool_], outline: Floats, *, reach_px: float) -> Floats:
    """Return a closed outline (M, 2) near ``outline`` (N, 2), each in (x, y) from the corner of the first pixel.

    image: (C, H, W), blind where it is not ``valid``; reach_px: how far points may move along their normals in a pass.
    """
    weight = ndimage.gaussian_filter(valid.astype(np.float64), BLUR_PX)
    sure = ndimage.binary_erosion(valid, np.ones((3, 3)), 2, border_value=1).astype(np.float64)
    blurred = [ndimage.gaussian_filter(band * valid, BLUR_PX) / np.maximum(weight, 1e-9) for band in image]
    for share in PASSES:
        points = _resampled(outline)
        away = np.arange(-reach_px * share, reach_px * share + STEP_PX / 2, STEP_PX)
        places = points[:, None] + away[:, None] * _normals(points)[:, None]
        at = places[..., ::-1].transpose(2, 0, 1) - 0.5
        profiles = [ndimage.map_coordinates(band, at, order=1, mode="nearest") for band in blurred]
        edge = np.sqrt(sum(np.gradient(profile, axis=1) ** 2 for profile in profiles))
        edge *= ndimage.map_coordinates(sure, at, order=0, mode="nearest")
        if not edge.max() > 0:
            break
        outline = places[np.arange(len(points)), _cheapest(-edge / edge.max())]
    return outline


def _resampled(outline: Floats) -> Floats:
    """Return points at equal distances along a closed outline, the last of which is not the first again."""
    ring = np.vstack([outline, outline[:1]])
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(ring, axis=0).T))])
    count = max(12, round(along[-1] / SPACING_PX))
    at = np.arange(count) * (along[-1] / count)
    return np.column_stack([np.interp(at, along, ring[:, k]) for k in (0, 1)])


def _normals(points: Floats) -> Floats:
    """Return unit normals of a closed outline, all to one side."""
    tangent = ndimage.gaussian_filter1d(np.roll(points, -1, 0) - np.roll(points, 1, 0), 2, axis=0, mode="wrap")
    length = np.maximum(np.hypot(*tangent.T), 1e-9)
    return np.column_stack([tangent[:, 1], -tangent[:, 0]]) / length[:, None]


def _cheapest(cost: Floats) -> NDArray[np.int64]:
    """Return which place of each point (N, M) is taken, so that the sum is least and none is over a step from the next.

    The ring is cut where a way that need not close is surest: half-way along it.
    """
    cut = len(cost) // 2
    held = _path(cost)[cut]
    rolled = np.roll(cost, -cut, axis=0)
    rolled = np.vstack([rolled, rolled[:1]])
    for end in (0, -1):
        rolled[end, np.arange(cost.shape[1]) != held] = np.inf
    return np.roll(_path(rolled)[:-1], cut)


def _path(cost: Floats) -> NDArray[np.int64]:
    """Return the least way through (N, M) from the first row to the last, by Viterbi's algorithm."""
    count, places = cost.shape
    came = np.zeros((count, places), np.int64)
    total, index = cost[0], np.arange(places)
    for k in range(1, count):
        near = np.full((3, places), np.inf)
        near[0], near[1, 1:], near[2, :-1] = total, total[:-1] + BENT, total[1:] + BENT
        best = near.argmin(0)
        came[k] = index + np.array([0, -1, 1])[best]
        total = cost[k] + near[best, index]
    path = np.empty(count, np.int64)
    path[-1] = total.argmin()
    for k in range(count - 1, 0, -1):
        path[k - 1] = came[k, path[k]]
    return path
