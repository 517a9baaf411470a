"""The pixel network's layers."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from geoseg.models.architectures.pixel_mlp import SECOND_WIDTH

if TYPE_CHECKING:
    from geoseg.models.architectures.pixel_mlp import PixelMlpOptions

# About the mean and spread of features: fixed, since the windows of a batch differ from those of a run.
BRIGHT, ROUGH = (0.5, 0.4), (0.15, 0.12)
LEAST_P = 1e-3  # added to probabilities before their logarithm
DARKEST = 0.02  # normalised: what is darker counts as this, since its logarithm would tell of noise


class PixelMlp(nn.Module):
    """A small perceptron that sees of each pixel how bright, how coloured and how rough the boxes around it are.

    A second one decides by what the first says on average around it. Nothing is learnt of shapes, so there is little to
    overfit: made for few labels. All that it sees is the same when the ground is turned or mirrored. Boxes end at the
    window's edge: windows agree where half the largest box of either kind lies inside.
    """

    def __init__(self, in_channels: int, out_channels: int, options: "PixelMlpOptions") -> None:
        super().__init__()
        self.options = options
        inputs = options.features(in_channels)
        layers: list[nn.Module] = []
        for a, b in pairwise((inputs, *options.widths)):
            layers += [nn.Conv2d(a, b, 1), nn.ReLU(), nn.Dropout(options.dropout)]
        self.first = nn.Sequential(*layers, nn.Conv2d(options.widths[-1], out_channels, 1))
        around = out_channels * (1 + len(options.context))
        self.second = nn.Sequential(
            nn.Conv2d(around, SECOND_WIDTH, 1), nn.ReLU(), nn.Conv2d(SECOND_WIDTH, out_channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, out_channels, h, w)."""
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            seen = describe(x.float() - self.options.black, self.options.boxes)
        p = torch.softmax(self.first(seen).float(), 1)
        around = [(box_mean(p, side) + LEAST_P).log() for side in (1, *self.options.context)]
        return around[1] + self.second(torch.cat(around, 1))


def describe(x: Tensor, boxes: Sequence[int]) -> Tensor:
    """Return (B, F, h, w) features of (B, C, h, w) values from 0 for black: how bright, how coloured, how rough.

    Logarithms of the pixel and of the means of boxes, so that a gain is a shift and a ratio of bands a difference; and
    the spread in each box as a share of its mean.
    """
    bright, rough = [x.clamp_min(DARKEST).log()], []
    for side in boxes:
        mean, square = box_mean(torch.cat([x, x * x], 1), side).chunk(2, 1)
        lit = mean.clamp_min(DARKEST)
        bright.append(lit.log())
        rough.append((square - mean * mean).clamp_min(0).sqrt() / lit)
    return torch.cat([*((b - BRIGHT[0]) / BRIGHT[1] for b in bright), *((r - ROUGH[0]) / ROUGH[1] for r in rough)], 1)


def box_mean(x: Tensor, side: int) -> Tensor:
    """Return the mean in the box of ``side`` x ``side`` pixels around each pixel, of what lies in the window."""
    if side == 1:
        return x
    pool, half = nn.functional.avg_pool2d, side // 2
    rows = pool(x, (side, 1), stride=1, padding=(half, 0), count_include_pad=False)
    return pool(rows, (1, side), stride=1, padding=(0, half), count_include_pad=False)
