"""Instances: touching buildings told apart by the borders that a network sees between them."""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from geoseg.polygons.runs import threshold_byte

SEED_THRESHOLD = 0.5  # p(building) - p(border) from which a pixel is surely inside one building
SEED_OPENING = np.hypot(*np.mgrid[-2:3, -2:3]) < 2.5  # a disc of 5 px: what is thinner is a gap in a border
EDGES = ndimage.generate_binary_structure(2, 1)


def label_instances(
    probability: NDArray[np.uint8], border: NDArray[np.uint8], *, threshold: float = 0.5, min_seed_px: int = 1
) -> NDArray[np.int32]:
    """Return the building that each pixel belongs to, (H, W), numbered from 1 in raster order; 0 is outside.

    probability, border: (H, W) bytes of p(building), borders included, and of p(border between buildings), 0 = nodata.
    Seeds are the connected areas where p(building) - p(border) >= 0.5, opened by a disc of 5 px, with at least
    ``min_seed_px`` pixels. Within each connected area of p(building) >= ``threshold`` every pixel goes to a seed by a
    watershed over p(border) (Vincent and Soille 1991); an area with one seed or none is one building. What happens in
    an area depends on that area alone.

    >>> p = np.full((9, 17), 255, np.uint8)
    >>> b = np.tile(np.array([1] * 7 + [60, 200, 60] + [1] * 7, np.uint8), (9, 1))
    >>> label_instances(p, b)[4].tolist()
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]
    """
    inside = probability >= threshold_byte(threshold)
    areas, count = ndimage.label(inside, EDGES)
    sure = (probability.astype(np.int16) - border >= threshold_byte(SEED_THRESHOLD)) & inside
    labels = _seeds(sure, areas, count, min_seed_px)
    _flood(border, labels, inside)
    renumber(labels)
    return labels


def border_probability(probability: NDArray[np.uint8], interior: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return p(border between buildings), (H, W), from p(building) and p(interior); 0 where those are nodata.

    >>> border_probability(np.array([[255, 255, 0]], np.uint8), np.array([[255, 55, 0]], np.uint8)).tolist()
    [[1, 201, 0]]
    """
    return np.where(probability > 0, probability - np.minimum(probability, interior) + 1, 0).astype(np.uint8)


def _seeds(sure: NDArray[np.bool_], areas: NDArray[np.int32], count: int, min_seed_px: int) -> NDArray[np.int32]:
    """Number the seeds; an area that has none is its own."""
    opened = ndimage.binary_opening(sure, SEED_OPENING)
    seeds, seed_count = ndimage.label(opened, EDGES)
    too_small = np.bincount(seeds.ravel(), minlength=seed_count + 1) < min_seed_px
    seeds[too_small[seeds]] = 0
    seeded = np.zeros(count + 1, np.bool_)
    seeded[areas[seeds > 0]] = True
    alone = ~seeded[areas] & (areas > 0)
    seeds[alone] = areas[alone] + seed_count
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


@njit(cache=True, nogil=True)
def renumber(labels: NDArray[np.int32]) -> None:
    """Number the labels from 1 in raster order of their first pixel, in place."""
    new = np.zeros(labels.max() + 1, np.int32)
    count = 0
    for row in range(labels.shape[0]):
        for col in range(labels.shape[1]):
            old = labels[row, col]
            if old > 0:
                if new[old] == 0:
                    count += 1
                    new[old] = count
                labels[row, col] = new[old]
