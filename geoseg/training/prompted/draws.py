"""Prompts as users give them, drawn at random for an object's mask, and those that it is always judged by."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from geoseg.models.promptable import Asked

BOX, POINT, POINTS, OUTLINE = "box", "point", "points", "outline"
KINDS = (BOX, POINT, POINTS, OUTLINE)
SHARES = (0.4, 0.3, 0.15, 0.15)  # of the steps: prompts of one step are of one kind
MOST_JITTER_PX = 20.0  # as in Kirillov et al. 2023
RING_PX = 24  # beyond an object's box, where points outside of it are drawn
Mask = NDArray[np.bool_]


def drawn(kind: str, mask: Mask, jitter: float, rng: np.random.Generator) -> Asked:
    """Return a prompt of a kind for an object's mask (h, w).

    box: its box with moved corners; point: anywhere inside; points: two inside and one outside, near; outline: such a
    box and the point deepest inside.
    """
    if kind == BOX:
        return Asked(*_points([], []), _moved(box_of(mask), jitter, mask.shape[0], rng))
    if kind == POINT:
        return Asked(*_points(_some(mask, 1, rng), [1]))
    if kind == POINTS:
        beside = _beside(mask)
        outside = _some(beside if beside.any() else ~mask, 1, rng)
        return Asked(*_points([*_some(mask, 2, rng), *outside], [1, 1, 0]))
    return Asked(*_points([_deepest(mask)], [1]), _moved(box_of(mask), jitter, mask.shape[0], rng))


def judged(kind: str, mask: Mask) -> Asked:
    """Return the prompt that an object is judged by: its exact box, or the point deepest inside."""
    return Asked(*_points([], []), box_of(mask)) if kind == BOX else Asked(*_points([_deepest(mask)], [1]))


def box_of(mask: Mask) -> NDArray[np.float32]:
    """Return the box (x0, y0, x1, y1) around a mask that is not empty, from the window's corner."""
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([cols[0], rows[0], cols[-1] + 1, rows[-1] + 1], np.float32)


def _moved(box: NDArray[np.float32], jitter: float, side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    sides = np.tile(box[2:] - box[:2], 2)
    moved = box + np.clip(rng.normal(size=4) * jitter * sides, -MOST_JITTER_PX, MOST_JITTER_PX)
    moved = np.clip(moved, 0, side)
    moved[2:] = np.maximum(moved[2:], moved[:2] + 1)
    return moved.astype(np.float32)


def _some(mask: Mask, count: int, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Return the middles (x, y) of pixels of a mask."""
    at = np.flatnonzero(mask)
    return [(i % mask.shape[1] + 0.5, i // mask.shape[1] + 0.5) for i in at[rng.integers(len(at), size=count)].tolist()]


def _beside(mask: Mask) -> Mask:
    x0, y0, x1, y1 = box_of(mask).astype(int)
    ring = np.zeros_like(mask)
    ring[max(y0 - RING_PX, 0) : y1 + RING_PX, max(x0 - RING_PX, 0) : x1 + RING_PX] = True
    return ring & ~mask


def _deepest(mask: Mask) -> tuple[float, float]:
    """Return the middle (x, y) of the pixel farthest from the outside, the first of equals."""
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, col = divmod(int(depth.argmax()), mask.shape[1])
    return col + 0.5, row + 0.5


def _points(places: list[tuple[float, float]], labels: list[int]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    return np.array(places, np.float32).reshape(-1, 2), np.array(labels, np.int32)
