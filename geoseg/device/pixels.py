"""Pixels of a scene on a device: as physical values, resampled, normalised; and windows cut out of them.

The same as ``Scene.physical``, ``tiling.resample`` and ``tiling.normalise``, operation by operation.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoseg.device.ready import uploaded
from geoseg.tiling.taps import Taps

Limits = tuple[float, float] | None


def means(data: Tensor, valid: Tensor, taps: tuple[Taps, Taps], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return weighted means (C, h, w) of the valid pixels of (C, H, W), 0 where there is none, and where there is.

    Terms are added in the order of ``tiling.resample``, tap by tap, in the type ``dtype``.
    """
    (ri, rw), (ci, cw) = (_placed(one, valid.device, dtype) for one in taps)
    shape = len(ri), len(ci)
    total = torch.zeros(shape, dtype=dtype, device=valid.device)
    value = torch.zeros((len(data), *shape), dtype=dtype, device=valid.device)
    for a in range(ri.shape[1]):
        rows, known_rows = data.index_select(1, ri[:, a]), valid.index_select(0, ri[:, a])
        for b in range(ci.shape[1]):
            weight = rw[:, a, None] * cw[None, :, b]
            known = known_rows.index_select(1, ci[:, b]) & (weight > 0)
            total += torch.where(known, weight, 0)
            term = weight * rows.index_select(2, ci[:, b]).to(dtype)
            value += torch.where(known, term, 0)
    mask = total > 0
    return torch.where(mask, value / torch.where(mask, total, 1), 0), mask


def _placed(taps: Taps, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return uploaded(taps.index, device).to(torch.int64), uploaded(taps.weight, device).to(dtype)


def physical(stored: Tensor, scale: Sequence[float], offset: Sequence[float], limits: Sequence[Limits]) -> Tensor:
    """Return float32 values (C, h, w) as physical ones: times each band's scale, plus its offset, in limits."""
    if all(one == (1, 0, None) for one in zip(scale, offset, limits, strict=True)):
        return stored
    out = stored * _of_bands(scale, stored) + _of_bands(offset, stored)
    for band, span in zip(out, limits, strict=True):
        if span is not None:
            band.clamp_(*span)
    return out


def normalised(image: Tensor, usable: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return (image - mean) / std of (C, h, w) pixels, 0 where NaN or not usable (h, w)."""
    out = (image - _of_bands(mean, image)) / _of_bands(std, image)
    return torch.where(usable & ~out.isnan(), out, 0)


def spread(image: Tensor, inputs: Sequence[int], channels: int) -> Tensor:
    """Return bands as the input channels that they are; channels that none is are 0, their mean."""
    if len(image) == channels:
        return image
    out = torch.zeros((channels, *image.shape[1:]), dtype=image.dtype, device=image.device)
    out[list(inputs)] = image
    return out


def _of_bands(values: Sequence[float], like: Tensor) -> Tensor:
    return uploaded(np.array(values, np.float32)[:, None, None], like.device)


def cut(image: Tensor, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> Tensor:
    """Return some rows and columns of (C, h, w), which may be mirrored ones."""
    return image.index_select(1, uploaded(rows, image.device)).index_select(2, uploaded(cols, image.device))
