"""What mixes windows of a batch: rectangles (cutmix), rare objects (copy-paste), and whole windows (mixup)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from geoseg.training.spec import Augmentation

ALPHA = 0.4  # of the beta distribution that shares of a mixup are drawn from


class Mixed(NamedTuple):
    """Windows (B, C, h, w) with their labels (B, h, w); other: labels that count by ``1 - share`` beside them."""

    images: NDArray[np.float32]
    labels: NDArray[np.uint8]
    other: NDArray[np.uint8] | None = None
    share: float = 1.0


def mixed(
    images: NDArray[np.float32],
    labels: NDArray[np.uint8],
    change: Augmentation,
    rng: np.random.Generator,
    *,
    rare: Sequence[int] = (),
) -> Mixed:
    """Return a batch in which windows are mixed with the next one; rare: channels whose objects are pasted."""
    if change.cutmix > 0:
        images, labels = _cutmix(images, labels, change.cutmix, rng)
    if change.copy_paste > 0 and rare:
        images, labels = _pasted(images, labels, change.copy_paste, rng, rare)
    if change.mixup > 0 and rng.random() < change.mixup:
        share = float(rng.beta(ALPHA, ALPHA))
        images = np.float32(share) * images + np.float32(1 - share) * np.roll(images, -1, 0)
        return Mixed(images, labels, np.roll(labels, -1, 0), share)
    return Mixed(images, labels)


def _cutmix(
    images: NDArray[np.float32], labels: NDArray[np.uint8], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Give a share of the windows a rectangle of the next one, pixels and labels (Yun et al. 2019, CutMix)."""
    size = labels.shape[1]
    seen, known = images.copy(), labels.copy()
    for i in range(len(images)):
        if rng.random() < share:
            h, w = rng.integers(size // 4, size * 3 // 4, 2)
            r, c = rng.integers(0, size - h), rng.integers(0, size - w)
            other = (i + 1) % len(images)
            seen[i, :, r : r + h, c : c + w] = images[other, :, r : r + h, c : c + w]
            known[i, r : r + h, c : c + w] = labels[other, r : r + h, c : c + w]
    return seen, known


def _pasted(
    images: NDArray[np.float32],
    labels: NDArray[np.uint8],
    share: float,
    rng: np.random.Generator,
    rare: Sequence[int],
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Give a share of the windows half of the rare objects of the next one (Ghiasi et al. 2021, copy-paste)."""
    seen, known = images.copy(), labels.copy()
    for i in range(len(images)):
        if rng.random() < share:
            other = (i + 1) % len(images)
            objects, count = label(np.isin(labels[other], rare))
            chosen = np.r_[False, rng.random(count) < 0.5][objects]
            seen[i][:, chosen], known[i][chosen] = images[other][:, chosen], labels[other][chosen]
    return seen, known
