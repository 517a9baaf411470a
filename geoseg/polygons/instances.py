"""Instances: touching buildings told apart by the borders that a network sees between them."""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from geoseg.polygons.runs import threshold_byte

SEED_THRESHOLD = 0.5  # p(interior) from which a pixel is surely inside one building
EDGES = ndimage.generate_binary_structure(2, 1)


def cut_apart(
    probability: NDArray[np.uint8], interior: NDArray[np.uint8], *, threshold: float, min_seed_px: int = 1
) -> NDArray[np.uint8]:
    """Return ``probability`` with a line one pixel wide, byte 1, wherever two buildings meet.

    probability, interior: (H, W) bytes of p(building) and of p(interior), 0 = nodata. Seeds are the connected areas of
    p(interior) >= 0.5 with at least ``min_seed_px`` pixels; within each connected area of p(building) >= ``threshold``
    that holds several, every pixel goes to one of them by a watershed over 1 - p(interior) (Vincent and Soille 1991).
    Areas with one seed or none stay whole. The cut through an area depends on that area alone.

    >>> p = np.full((1, 7), 255, np.uint8)
    >>> cut_apart(p, np.array([[200, 200, 120, 60, 120, 200, 200]], np.uint8), threshold=0.5).tolist()
    [[255, 255, 255, 255, 1, 255, 255]]
    """
    out = probability.copy()
    areas, _ = ndimage.label(probability >= threshold_byte(threshold), EDGES)
    seeds = _seeds(interior, areas, min_seed_px)
    for number, place in enumerate(ndimage.find_objects(areas), start=1):
        inside = areas[place] == number
        own = np.where(inside, seeds[place], 0)
        if len(np.unique(own[own > 0])) > 1:
            _flood(255 - interior[place], own, inside)
            out[place][_seams(own)] = 1
    return out


def _seeds(interior: NDArray[np.uint8], areas: NDArray[np.int32], min_seed_px: int) -> NDArray[np.int32]:
    """Number the connected areas of sure interior that are large enough; 0 elsewhere."""
    sure = (interior >= threshold_byte(SEED_THRESHOLD)) & (areas > 0)
    seeds, count = ndimage.label(sure, EDGES)
    too_small = np.bincount(seeds.ravel(), minlength=count + 1) < min_seed_px
    seeds[too_small[seeds]] = 0
    return seeds


@njit(cache=True, nogil=True)
def _flood(height: NDArray[np.uint8], owner: NDArray[np.int32], inside: NDArray[np.bool_]) -> None:
    """Let the seeds in ``owner`` grow over the pixels inside, lowest ``height`` first, first come first served.

    One queue per height, each a linked list of flat indices; a pixel enters at its own height or at the one that is
    being flooded, whichever is higher (Vincent and Soille 1991).
    """
    rows, cols = height.shape
    following = np.full(rows * cols, -1, np.int64)
    head, tail = np.full(256, -1, np.int64), np.full(256, -1, np.int64)
    for row in range(rows):
        for col in range(cols):
            if owner[row, col] > 0:
                _append(following, head, tail, 0, row * cols + col)
    for level in range(256):
        while head[level] >= 0:
            here = head[level]
            head[level] = following[here]
            row, col = here // cols, here % cols
            for step in range(4):
                r, c = row + (step == 1) - (step == 0), col + (step == 3) - (step == 2)
                if 0 <= r < rows and 0 <= c < cols and inside[r, c] and owner[r, c] == 0:
                    owner[r, c] = owner[row, col]
                    _append(following, head, tail, max(level, height[r, c]), r * cols + c)


@njit(cache=True, nogil=True)
def _append(
    following: NDArray[np.int64], head: NDArray[np.int64], tail: NDArray[np.int64], level: int, here: int
) -> None:
    following[here] = -1
    if head[level] < 0:
        head[level] = here
    else:
        following[tail[level]] = here
    tail[level] = here


def _seams(owner: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return the pixels whose left or upper neighbour belongs to another building."""
    seam = np.zeros(owner.shape, np.bool_)
    seam[:, 1:] = _differ(owner[:, 1:], owner[:, :-1])
    seam[1:] |= _differ(owner[1:], owner[:-1])
    return seam


def _differ(here: NDArray[np.int32], there: NDArray[np.int32]) -> NDArray[np.bool_]:
    return (here != there) & (here > 0) & (there > 0)
