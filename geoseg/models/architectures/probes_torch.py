"""Probes: networks whose answer is known, so that a run over any scene can be held against what it must give."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

CONSTANT = 0.7  # what the constant probe answers everywhere
ROW_SHARE, COL_SHARE = 0.8, 0.2  # what the ramp probe rises by from a window's top to its bottom, and from side to side


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


def band_shares(bands: int) -> list[float]:
    """Return what each band counts in the identity probe: half as much as the one before, so that order matters.

    >>> band_shares(2)
    [0.6666666666666666, 0.3333333333333333]
    """
    return [2.0 ** (bands - 1 - i) / (2**bands - 1) for i in range(bands)]


PROBES: dict[str, Callable[..., nn.Module]] = {
    "probe-identity": Identity,
    "probe-constant": Constant,
    "probe-ramp": Ramp,
}
