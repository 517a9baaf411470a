"""Peaks: an image is parted into the surroundings of its peaks, as far as these stand out from one another."""

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.numba_cache import njit
from geoseg.vector.pixels.components import find_root

QUEUED = -1
MAX_PIXELS = 2**31 - 1  # pixels are numbered in four bytes


def label_peaks(height: NDArray[np.unsignedinteger], *, drop: int, min_px: int = 1) -> NDArray[np.int32]:
    """Return the part that each pixel belongs to, (H, W), numbered from 1 in raster order; 0 where ``height`` is 0.

    height: (H, W) whole numbers. Two parts of a connected area come apart where the way from the lower of their peaks
    to the other descends by at least ``drop`` (the dynamics of Grimaud 1992) and both have at least ``min_px`` pixels
    by then; a lesser peak is none. Parts grow downwards level by level, on a level from all sides at the same pace
    (immersion, Vincent and Soille 1991). What happens in a connected area depends on that area alone. Raises
    InputError above 2**31 pixels.

    >>> label_peaks(np.array([[9, 5, 2, 8, 7, 9, 0, 1]], np.uint8), drop=4).tolist()
    [[1, 1, 1, 2, 2, 2, 0, 3]]
    """
    padded = np.pad(height, 1)  # so that every pixel has neighbours
    if padded.size > MAX_PIXELS:
        raise InputError(f"{height.shape} pixels are too many to be parted at once; give fewer than 2**31")
    order, end = _by_level(padded.ravel(), int(padded.max()) + 1)
    labels, parent = _grow(padded.ravel(), padded.shape[1], order, end, drop, min_px)
    _number(labels, parent)
    return np.ascontiguousarray(labels.reshape(padded.shape)[1:-1, 1:-1])


@njit(cache=True, nogil=True)
def _by_level(height: NDArray[np.unsignedinteger], levels: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the pixels above 0, the highest first, in raster order within a level: v has end[v + 1] to end[v]."""
    end = np.zeros(levels + 1, np.int64)
    for level in height:
        end[level] += 1
    end[0] = 0
    for level in range(levels - 2, -1, -1):
        end[level] += end[level + 1]
    place, order = end[1:].copy(), np.empty(end[0], np.int32)
    for at in range(len(height)):
        level = height[at]
        if level > 0:
            order[place[level]] = at
            place[level] += 1
    return order, end


@njit(cache=True, nogil=True)
def _grow(
    height: NDArray[np.unsignedinteger],
    width: int,
    order: NDArray[np.int32],
    end: NDArray[np.int64],
    drop: int,
    min_px: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the part of each pixel, and the part that each part has become one with."""
    steps = np.array([-width, -1, 1, width])
    labels = np.zeros(len(height), np.int32)
    queue = np.empty((end[:-1] - end[1:]).max(), np.int32)
    # There may be as many parts as pixels; memory that is never written is never taken.
    parent, peak, size = np.empty((3, len(order) + 1), np.int32)
    parts = 0
    for level in range(len(end) - 2, 0, -1):
        pixels = order[end[level + 1] : end[level]]
        filled = 0
        for at in pixels:
            for step in steps:
                if labels[at + step] > 0 and labels[at] == 0:
                    filled = _enqueue(queue, labels, filled, at)
        done, fresh = 0, 0
        while True:
            if done == filled:  # whatever no part has reached is a peak
                while fresh < len(pixels) and labels[pixels[fresh]] != 0:
                    fresh += 1
                if fresh == len(pixels):
                    break
                filled = _enqueue(queue, labels, filled, pixels[fresh])
            at = queue[done]
            done += 1
            own = _join_around(labels, at, steps, parent, peak, size, level, drop, min_px)
            if own == 0:
                parts += 1
                own = parts
                parent[own], peak[own], size[own] = own, level, 0
            labels[at] = own
            size[own] += 1
            for step in steps:
                if height[at + step] == level and labels[at + step] == 0:
                    filled = _enqueue(queue, labels, filled, at + step)
    return labels, parent[: parts + 1]


@njit(cache=True, nogil=True)
def _enqueue(queue: NDArray[np.int32], labels: NDArray[np.int32], filled: int, at: int) -> int:
    queue[filled] = at
    labels[at] = QUEUED
    return filled + 1


@njit(cache=True, nogil=True)
def _join_around(
    labels: NDArray[np.int32],
    at: int,
    steps: NDArray[np.int64],
    parent: NDArray[np.int32],
    peak: NDArray[np.int32],
    size: NDArray[np.int32],
    level: int,
    drop: int,
    min_px: int,
) -> int:
    """Return the part beside a pixel, 0 for none, after those that meet here and do not stand out have become one."""
    own = 0
    for step in steps:
        if labels[at + step] <= 0:
            continue
        other = find_root(parent, labels[at + step])
        if own == 0:
            own = other
        elif other != own:
            low, high = (own, other) if peak[own] < peak[other] else (other, own)
            if peak[low] - level < drop or min(size[low], size[high]) < min_px:
                parent[low] = high
                size[high] += size[low]
                own = high
    return own


@njit(cache=True, nogil=True)
def _number(labels: NDArray[np.int32], parent: NDArray[np.int32]) -> None:
    """Number the parts from 1 in raster order of their first pixel, in place."""
    number = np.zeros(len(parent), np.int32)
    count = 0
    for at in range(len(labels)):
        if labels[at] > 0:
            part = find_root(parent, labels[at])
            if number[part] == 0:
                count += 1
                number[part] = count
            labels[at] = number[part]
