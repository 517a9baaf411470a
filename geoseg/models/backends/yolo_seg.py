"""What a YOLO network of masks answers, as detections: boxes are chosen, and each gets the sum of its prototypes.

Masks as sums of prototypes: YOLACT, Bolya et al. 2019. No product goes through BLAS, whose sums depend on shapes.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.models.architectures.yolo_seg import YoloSegOptions
from geoseg.models.detecting import Detecting
from geoseg.objects.found import SCORES, Detection
from geoseg.values.box import Box

Floats = NDArray[np.float32]


class Candidates(NamedTuple):
    """N boxes, the best first."""

    corners: Floats
    """Left, top, right, bottom in pixels of the window, (N, 4)."""
    score: Floats
    """0..1, (N,)."""
    label: NDArray[np.intp]
    """Which of the network's classes, (N,)."""
    weights: Floats
    """Of the prototypes, (N, M)."""


def detections(
    said: Floats, prototypes: Floats, side: int, options: YoloSegOptions, rules: Detecting
) -> list[Detection]:
    """Return the objects of a window of ``side`` pixels, the best first; ``class_id``: of the network's classes.

    said: candidates as the head of ``options`` lays them out, without the axis of windows; prototypes: (M, h, w).
    """
    found = candidates(said, len(prototypes), options, rules)
    least = np.log(rules.least_mask / (1 - rules.least_mask))
    out = []
    for corners, score, label, weights in zip(*found, strict=True):
        left, top, right, bottom = np.clip(np.rint(corners), 0, side).astype(int).tolist()
        if left < right and top < bottom:
            box = Box(top, left, bottom, right)
            mask = mask_of(weights, prototypes, box, side) > least
            if mask.any():
                out.append(Detection(box, mask, int(label), int(np.rint(min(float(score), 1.0) * SCORES))))
    return out


def candidates(said: Floats, masks: int, options: YoloSegOptions, rules: Detecting) -> Candidates:
    """Return the best of what a network proposes, ``rules.per_window`` at most; equal ones in its own order."""
    if options.head == "end-to-end":
        corners, score, label, weights = said[:, :4], said[:, 4], said[:, 5].astype(np.intp), said[:, 6:]
    else:
        rows = said.T
        half, shares, weights = rows[:, 2:4] / 2, rows[:, 4 : rows.shape[1] - masks], rows[:, rows.shape[1] - masks :]
        corners = np.concatenate([rows[:, :2] - half, rows[:, :2] + half], 1)
        score, label = shares.max(1), shares.argmax(1)
    usable = np.isfinite(corners).all(1) & (score >= rules.least_score) & (label >= 0) & (label < len(rules.things))
    best = np.flatnonzero(usable)
    best = best[np.argsort(-score[best], kind="stable")]
    if options.head == "anchors":
        best = best[chosen(corners[best], label[best], options.overlap, rules.per_window)]
    best = best[: rules.per_window]
    return Candidates(corners[best], score[best], label[best], weights[best])


def chosen(corners: Floats, label: NDArray[np.intp], overlap: float, most: int) -> NDArray[np.intp]:
    """Return which boxes (N, 4), the best first, stay where no better one of their class covers them; ``most`` of them.

    >>> boxes = np.float32([[0, 0, 9, 9], [0, 0, 9, 8], [0, 0, 9, 8]])
    >>> chosen(boxes, np.array([0, 0, 1]), 0.7, 5).tolist()
    [0, 2]
    """
    area = np.prod(np.maximum(corners[:, 2:] - corners[:, :2], 0), 1)
    left, out = np.arange(len(corners)), list[np.intp]()
    while len(left) and len(out) < most:
        own, left = left[0], left[1:]
        out.append(own)
        low, high = np.maximum(corners[own, :2], corners[left, :2]), np.minimum(corners[own, 2:], corners[left, 2:])
        common = np.prod(np.maximum(high - low, 0), 1)
        left = left[(common <= overlap * (area[own] + area[left] - common)) | (label[left] != label[own])]
    return np.array(out, np.intp)


def mask_of(weights: Floats, prototypes: Floats, box: Box, side: int) -> Floats:
    """Return logits (h, w) over a box of a window: prototypes (M, h', w') times weights (M,), brought to its pixels."""
    places, own = [], []
    for low, high, size in ((box.row0, box.row1, prototypes.shape[1]), (box.col0, box.col1, prototypes.shape[2])):
        at = (np.arange(low, high) + 0.5) * size / side - 0.5
        first = max(int(np.floor(at[0])), 0)
        own.append(slice(first, min(int(np.floor(at[-1])) + 2, size)))
        places.append(at - first)
    coarse = np.einsum("m,mhw->hw", weights, prototypes[:, *own])
    from scipy import ndimage  # slow to load, and other networks do without

    return np.asarray(ndimage.map_coordinates(coarse, np.meshgrid(*places, indexing="ij"), order=1, mode="nearest"))
