"""Blending on a device: the integers of windows, their sums, and the bytes that these become.

The same as ``tiling.blend`` and ``tiling.views``. Sums are int64, since torch computes nothing in uint32; they stay
below 2^32.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoseg.device.pixels import means
from geoseg.device.ready import uploaded
from geoseg.tiling.blend import weights_of
from geoseg.tiling.ramp import FULL, PROB_ONE
from geoseg.tiling.taps import Taps, axis_taps
from geoseg.tiling.views import View

STEPS = 254  # of a probability byte


def shown(view: View, batch: Tensor) -> Tensor:
    """Return the view of (B, C, h, w)."""
    batch = batch if view.sizes is None else _resized(batch, view.sizes[1])
    batch = batch.flip(-1) if view.mirrored else batch
    return torch.rot90(batch, view.quarters, (2, 3))


def brought_back(view: View, batch: Tensor) -> Tensor:
    """Return (B, K, h, w) answers to a view where the window's pixels lie."""
    batch = torch.rot90(batch, -view.quarters, (2, 3))
    batch = batch.flip(-1) if view.mirrored else batch
    return batch if view.sizes is None else _resized(batch, view.sizes[0])


def _resized(batch: Tensor, shape: tuple[int, int]) -> Tensor:
    taps = tuple(axis_taps(old, new, 0, new) for old, new in zip(batch.shape[2:], shape, strict=True))
    flat = batch.reshape(-1, *batch.shape[2:])
    every = torch.ones(flat.shape[1:], dtype=torch.bool, device=batch.device)
    out, _ = means(flat, every, (taps[0], taps[1]), torch.float32)
    return out.reshape(*batch.shape[:2], *shape)


def integers(values: Tensor, view: View, vectors: Sequence[slice]) -> Tensor:
    """Return answers (B, K, h, w) of 0..1 to a view as integers 0..2^18-1, ties to even; the caller looks for NaN.

    vectors: channels, two each, that are vectors along the view's rows and columns.
    """
    said = torch.round(brought_back(view, values) * PROB_ONE).clamp(0, PROB_ONE).to(torch.int64)
    for own in vectors:
        rows, cols = view.undo_vectors(said[:, own.start], said[:, own.start + 1], _times)
        said[:, own] = torch.stack((rows, cols), 1)
    return said


def _times(part: Tensor, factor: float) -> Tensor:
    """Return one part of vectors, ``factor`` times as long, within the range; see ``View.undo_vectors``."""
    middle = PROB_ONE / 2
    return torch.round((part.double() - middle) * factor + middle).clamp(0, PROB_ONE).to(torch.int64)


def mean_members(members: Sequence[Tensor]) -> Tensor:
    """Return the mean of several networks' or views' integers, halves rounded up."""
    if len(members) == 1:
        return members[0]
    total = torch.stack(tuple(members)).sum(0)
    return torch.div(total + len(members) // 2, len(members), rounding_mode="floor")


def accumulate(acc: Tensor, probs: Tensor, rows: NDArray[np.uint16], cols: NDArray[np.uint16]) -> None:
    """Add integers (K, h, w), times the weights of their rows and columns, to sums (K, h, w)."""
    down, across = (uploaded(weights, acc.device) for weights in (rows, cols))
    acc += probs * (down[:, None] * across[None, :])


def resampled(acc: Tensor, usable: Tensor, taps: tuple[Taps, Taps]) -> Tensor:
    """Return sums (K, h, w) of those of another grid (K, H, W), each rounded once from a float64 mean."""
    mean, _ = means(acc, usable, taps, torch.float64)
    return torch.round(mean).clamp(max=2**32 - 1).to(torch.int64)


def finish(
    acc: Tensor,
    valid: Tensor,
    *,
    class_of_channel: Sequence[int],
    class_ids: Sequence[int],
    thresholds: Sequence[float] = (),
) -> tuple[Tensor, Tensor, Tensor]:
    """Return classes, their confidence (h, w) and the probabilities (N, h, w) of sums, see ``tiling.blend.finish``."""
    sums = torch.zeros((len(class_ids), *valid.shape), dtype=torch.int64, device=acc.device)
    for own, channel in zip(class_of_channel, acc, strict=True):
        sums[own] += channel
    sums.clamp_(max=FULL)
    classes, chosen, best = (torch.zeros(valid.shape, dtype=torch.int64, device=acc.device) for _ in range(3))
    for n, (own, weight) in enumerate(zip(class_ids, weights_of(thresholds, len(class_ids)), strict=True)):
        weighed = sums[n] * weight
        better = torch.ones_like(valid) if n == 0 else weighed > best  # the first one at ties
        classes, chosen = torch.where(better, own, classes), torch.where(better, sums[n], chosen)
        best = torch.where(better, weighed, best)
    known = torch.where(valid, classes, 0).to(torch.uint8)
    return known, to_bytes(chosen, valid), to_bytes(sums, valid)


def to_bytes(sums: Tensor, valid: Tensor) -> Tensor:
    """Return 1 + round(254 x probability) of sums (..., h, w), halves up; 0 where not ``valid``."""
    steps = torch.div(STEPS * sums + FULL // 2, FULL, rounding_mode="floor")
    return torch.where(valid, 1 + steps, 0).to(torch.uint8)
