"""Layers of the networks in temporal."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

INNER = 16  # channels by which attention compares dates


class Temporal(nn.Module):
    """Dates become one image, pixel by pixel, which a network then sees.

    Attention (after Garnot and Landrieu 2020, one head, a learned query): how much a date counts at a pixel depends on
    its bands there, not on its place in the stack. Weights sum to 1, so the image has the bands' own units.
    """

    def __init__(self, network: nn.Module, *, bands: int, attends: bool) -> None:
        super().__init__()
        self.network, self.bands = network, bands
        self.score = nn.Sequential(nn.Conv2d(bands, INNER, 1), nn.ReLU(), nn.Conv2d(INNER, 1, 1)) if attends else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, dates x bands, h, w) -> logits (B, out_channels, h, w)."""
        batch, channels, height, width = x.shape
        dates = channels // self.bands
        stack = x.reshape(batch, dates, self.bands, height, width)
        if self.score is None:
            return self.network(stack.mean(1))
        scores = self.score(stack.flatten(0, 1)).reshape(batch, dates, 1, height, width)
        return self.network((stack * torch.softmax(scores, 1)).sum(1))


def double_conv_3d(inputs: int, outputs: int) -> nn.Module:
    """Two 3 x 3 x 3 convolutions, each with batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for a, b in ((inputs, outputs), (outputs, outputs)):
        layers += [nn.Conv3d(a, b, 3, padding=1, bias=False), nn.BatchNorm3d(b), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class UNet3d(nn.Module):
    """A U-Net over (dates, rows, columns); rows and columns are halved, dates are kept."""

    def __init__(self, bands: int, out_channels: int, *, widths: Sequence[int]) -> None:
        super().__init__()
        self.bands = bands
        self.encoder = nn.ModuleList(double_conv_3d(a, b) for a, b in pairwise((bands, *widths)))
        up = list(reversed(widths))
        self.up = nn.ModuleList(nn.ConvTranspose3d(a, b, (1, 2, 2), (1, 2, 2)) for a, b in pairwise(up))
        self.decoder = nn.ModuleList(double_conv_3d(2 * b, b) for b in up[1:])
        self.head = nn.Conv2d(widths[0], out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, dates x bands, h, w) -> logits (B, out_channels, h, w)."""
        batch, channels, height, width = x.shape
        y = x.reshape(batch, channels // self.bands, self.bands, height, width).transpose(1, 2)
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            y = block(y if level == 0 else nn.functional.max_pool3d(y, (1, 2, 2)))
            skips.append(y)
        y = skips.pop()
        for up, block in zip(self.up, self.decoder, strict=True):
            y = block(torch.cat([skips.pop(), up(y)], 1))
        return self.head(y.mean(2))
