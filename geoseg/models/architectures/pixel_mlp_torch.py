"""The pixel network's layers."""

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from geoseg.models.architectures.pixel_mlp import PixelMlpOptions

DARKEST = 0.02  # of the normalised range: below it logarithms and ratios would tell of noise


class PixelMlp(nn.Module):
    """A small perceptron that sees of each pixel how bright, how coloured and how rough the boxes around it are.

    Nothing is learnt of shapes, so there is little to overfit: made for few labels. All that it sees is the same when
    the ground is turned or mirrored. Boxes end at the window's edge: a margin of half the largest keeps windows alike.
    """

    def __init__(self, in_channels: int, out_channels: int, options: "PixelMlpOptions") -> None:
        super().__init__()
        self.options = options
        inputs = options.features(in_channels)
        layers: list[nn.Module] = [nn.BatchNorm2d(inputs)]
        for a, b in pairwise((inputs, *options.widths)):
            layers += [nn.Conv2d(a, b, 1), nn.ReLU(), nn.Dropout(options.dropout)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(options.widths[-1], out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, out_channels, h, w)."""
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            seen = describe(x.float() - self.options.black, self.options.boxes)
        p = torch.softmax(self.layers(seen).float(), 1)
        return box_mean(p, self.options.smooth).clamp_min(1e-6).log()


def describe(x: Tensor, boxes: Sequence[int]) -> Tensor:
    """Return (B, F, h, w) features of (B, C, h, w) values from 0 for black: at each pixel, and in boxes around it."""
    means = [x, *(box_mean(x, side) for side in boxes)]
    spreads = [
        (box_mean(x * x, side) - mean * mean).clamp_min(0).sqrt() for side, mean in zip(boxes, means[1:], strict=True)
    ]
    lit = [mean.clamp_min(DARKEST) for mean in means]
    relative = [spread / mean for spread, mean in zip(spreads, lit[1:], strict=True)]
    pairs = list(combinations(range(x.shape[1]), 2))
    one, other = ([pair[side] for pair in pairs] for side in (0, 1))
    contrasts = [(m[:, one] - m[:, other]) / (m[:, one] + m[:, other]) for m in lit]
    return torch.cat([*(m.log() for m in lit), *contrasts, *spreads, *relative], 1)


def box_mean(x: Tensor, side: int) -> Tensor:
    """Return the mean in the box of ``side`` x ``side`` pixels around each pixel, of what lies in the window."""
    if side == 1:
        return x
    pool, half = nn.functional.avg_pool2d, side // 2
    rows = pool(x, (side, 1), stride=1, padding=(half, 0), count_include_pad=False)
    return pool(rows, (1, side), stride=1, padding=(0, half), count_include_pad=False)
