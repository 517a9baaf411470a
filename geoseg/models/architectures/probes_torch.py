"""The probes' layers."""

from zlib import crc32

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from geoseg.models.architectures.probes import COL_SHARE, CONSTANT, ROW_SHARE, band_shares
from geoseg.models.detecting import Detecting
from geoseg.objects.found import Detection
from geoseg.values.box import Box


class _Probe(nn.Module):
    """Answers (B, 2, h, w) logits whose softmax is (1 - p, p)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        if out_channels != 2:
            raise ValueError("a probe has two channels")
        self.shares = band_shares(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> logits (B, 2, h, w)."""
        p = self.answer(x)
        return torch.log(torch.stack([1 - p, p], 1))

    def answer(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> p (B, h, w)."""
        raise NotImplementedError


class Identity(_Probe):
    """p = the pixel: the weighted mean of its bands (``band_shares``), which normalisation has brought to 0..1."""

    def answer(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> p (B, h, w)."""
        p = torch.zeros_like(x[:, 0])
        for share, band in zip(self.shares, x.unbind(1), strict=True):
            p = p + share * band
        return p.clamp(0, 1)


class Bands(nn.Module):
    """Answers its bands, one for each channel."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        if in_channels != out_channels:
            raise ValueError(f"{in_channels} bands, but {out_channels} channels")

    def forward(self, x: Tensor) -> Tensor:
        """(B, K, h, w) -> logits (B, K, h, w)."""
        return x


class Numbered(nn.Module):
    """Detects each connected area of pixels of one number above 0; scores look random, classes go by number."""

    def __init__(self, _in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.classes = out_channels

    def detect(self, x: Tensor, rules: Detecting) -> list[Detection]:
        """(1, 1, h, w) -> what is in the window."""
        ids, out = x[0, 0].cpu().numpy().astype(np.int64), []
        for number, place in enumerate(ndimage.find_objects(ids), start=1):
            if place is None:
                continue
            areas, count = ndimage.label(ids[place] == number)
            for area in range(1, count + 1):
                mask, (rows, cols) = areas == area, place
                score = crc32(np.packbits(mask).tobytes(), number) % 65535
                box = Box(rows.start, cols.start, rows.stop, cols.stop)
                out.append(Detection(box, mask, number % self.classes, score))
        return out[: rules.per_window]

    def forward(self, x: Tensor) -> list[Detection]:
        """See ``detect``."""
        return self.detect(x, Detecting(things=("any",)))


class Constant(_Probe):
    """p = CONSTANT, whatever it sees."""

    def answer(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> p (B, h, w)."""
        return torch.full_like(x[:, 0], CONSTANT)


class Ramp(_Probe):
    """p by the place in the window alone: what blending must turn into one known surface."""

    def answer(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> p (B, h, w)."""
        height, width = x.shape[-2:]
        rows = ROW_SHARE * torch.linspace(0, 1, height, device=x.device, dtype=torch.float32)
        cols = COL_SHARE * torch.linspace(0, 1, width, device=x.device, dtype=torch.float32)
        return (rows[:, None] + cols).expand(len(x), height, width)
