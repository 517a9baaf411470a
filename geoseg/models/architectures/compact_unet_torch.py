"""The compact U-Net's layers."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from geoseg.models.architectures.upsampling_torch import doubling

if TYPE_CHECKING:
    from geoseg.models.architectures.base import Upsampling


class ConvBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation and ReLU, and a shortcut around them."""

    def __init__(self, inputs: int, outputs: int, *, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h, w)."""
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.skip(x))


def levels(encoder: nn.ModuleList, x: Tensor) -> list[Tensor]:
    """Return what each block of an encoder says, the finest first; the resolution halves before every other one."""
    said: list[Tensor] = []
    for level, block in enumerate(encoder):
        x = block(x if level == 0 else nn.functional.max_pool2d(x, 2))
        said.append(x)
    return said


class CompactUNet(nn.Module):
    """U-Net (Ronneberger, Fischer, Brox 2015) with residual blocks, small enough to train and run on a CPU.

    widths: channels per level, the resolution halves from one to the next. The deepest level ends in a dilated block,
    so that a pixel sees about 2^levels * 10 px around it. All normalisation is batch normalisation: nothing is computed
    over a window, so results do not depend on where windows lie.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        widths: Sequence[int],
        dropout: float = 0.0,
        upsampling: "Upsampling | None" = None,
    ) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(ConvBlock(a, b) for a, b in zip((in_channels, *widths[:-1]), widths, strict=True))
        self.middle = ConvBlock(widths[-1], widths[-1], dilation=2)
        self.drop = nn.Dropout2d(dropout)
        up = list(reversed(widths))
        self.up = nn.ModuleList(
            nn.Upsample(scale_factor=2.0, mode="nearest") if upsampling is None else doubling(upsampling, a, a)
            for a in up[:-1]
        )
        self.decoder = nn.ModuleList(ConvBlock(a + b, b) for a, b in pairwise(up))
        self.head = nn.Conv2d(widths[0], out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, out_channels, h, w); h and w are multiples of 2^(levels - 1)."""
        skips = levels(self.encoder, x)
        x = self.drop(self.middle(skips.pop()))
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(torch.cat([up(x), skips.pop()], 1))
        return self.head(x)
