"""Layers of the U-Nets in unets."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from geoseg.models.architectures.compact_unet_torch import levels
from geoseg.models.architectures.smp import encoder
from geoseg.models.architectures.upsampling_torch import doubling

if TYPE_CHECKING:
    from geoseg.models.architectures.base import Upsampling
    from geoseg.models.architectures.unets import AttentionUNetOptions, NnUNetOptions

SLOPE = 0.01  # of nnU-Net's leaky ReLU
LEAST_GATE = 8  # channels inside a gate


def double_conv(inputs: int, outputs: int) -> nn.Module:
    """Two 3 x 3 convolutions, each with batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for a, b in ((inputs, outputs), (outputs, outputs)):
        layers += [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class PlainUNet(nn.Module):
    """U-Net (Ronneberger, Fischer, Brox 2015), padded so that it answers at full size."""

    def __init__(self, in_channels: int, out_channels: int, *, widths: Sequence[int], upsampling: "Upsampling") -> None:
        super().__init__()
        self.encoder = nn.ModuleList(double_conv(a, b) for a, b in pairwise((in_channels, *widths)))
        up = list(reversed(widths))
        self.up = nn.ModuleList(doubling(upsampling, a, b) for a, b in pairwise(up))
        self.decoder = nn.ModuleList(double_conv(2 * b, b) for b in up[1:])
        self.head = nn.Conv2d(widths[0], out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, out_channels, h, w)."""
        skips = levels(self.encoder, x)
        x = skips.pop()
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(torch.cat([skips.pop(), up(x)], 1))
        return self.head(x)


class Normed(nn.Sequential):
    """A 3 x 3 convolution, a normalisation and a leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, norm: str, stride: int = 1) -> None:
        conv = nn.Conv2d(inputs, outputs, 3, stride, 1)
        super().__init__(conv, normalisation(norm, outputs), nn.LeakyReLU(SLOPE, inplace=True))


def normalisation(norm: str, channels: int) -> nn.Module:
    """Return the layer for "batch" or "instance"."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.InstanceNorm2d(channels, affine=True)


class Residual(nn.Module):
    """Two convolutions and a shortcut (He et al. 2016), average-pooled where the resolution halves."""

    def __init__(self, inputs: int, outputs: int, norm: str, stride: int = 1) -> None:
        super().__init__()
        self.first = Normed(inputs, outputs, norm, stride)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, padding=1), normalisation(norm, outputs))
        shortcut: list[nn.Module] = [] if stride == 1 else [nn.AvgPool2d(stride)]
        if inputs != outputs:
            shortcut += [nn.Conv2d(inputs, outputs, 1, bias=False), normalisation(norm, outputs)]
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h / stride, w / stride)."""
        return nn.functional.leaky_relu(self.second(self.first(x)) + self.shortcut(x), SLOPE)


class NnUNet(nn.Module):
    """nnU-Net's 2-D networks: strided convolutions on the way down, an answer at every level of the decoder.

    ``levels`` gives all of them, for training with deep supervision; ``forward`` the full-size one.
    """

    def __init__(self, in_channels: int, out_channels: int, options: "NnUNetOptions") -> None:
        super().__init__()
        norm, widths = options.norm, options.widths
        counts = getattr(options, "blocks", (2,) * len(widths))
        if len(counts) != len(widths):
            raise ValueError(f"{len(widths)} widths, but blocks of {len(counts)} levels")
        unit = Residual if options.residual else Normed
        self.stem = Normed(in_channels, widths[0], norm) if options.residual else nn.Identity()
        before = (widths[0] if options.residual else in_channels, *widths[:-1])
        self.encoder = nn.ModuleList(
            nn.Sequential(unit(a, b, norm, 1 if i == 0 else 2), *(unit(b, b, norm) for _ in range(n - 1)))
            for i, (a, b, n) in enumerate(zip(before, widths, counts, strict=True))
        )
        up = list(reversed(widths))
        self.up = nn.ModuleList(doubling(options.upsampling, a, b) for a, b in pairwise(up))
        again = 1 if options.residual else 2
        self.decoder = nn.ModuleList(
            nn.Sequential(*(Normed(2 * b if i == 0 else b, b, norm) for i in range(again))) for b in up[1:]
        )
        self.heads = nn.ModuleList(nn.Conv2d(b, out_channels, 1) for b in up[1:])

    def decoded(self, x: Tensor) -> list[Tensor]:
        """Return the maps of the decoder, coarsest first."""
        skips: list[Tensor] = []
        x = self.stem(x)
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        x, maps = skips.pop(), []
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(torch.cat([up(x), skips.pop()], 1))
            maps.append(x)
        return maps

    def levels(self, x: Tensor) -> list[Tensor]:
        """(B, in_channels, h, w) -> logits of every level of the decoder, the full-size ones first."""
        return [head(y) for head, y in zip(self.heads, self.decoded(x), strict=True)][::-1]

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, out_channels, h, w)."""
        return self.heads[-1](self.decoded(x)[-1])


class Gate(nn.Module):
    """An additive attention gate: what of a skip is let through is decided by it and by what lies below."""

    def __init__(self, skip: int, below: int) -> None:
        super().__init__()
        inner = max(skip // 2, LEAST_GATE)
        self.of_skip, self.of_below = nn.Conv2d(skip, inner, 1), nn.Conv2d(below, inner, 1, bias=False)
        self.share = nn.Conv2d(inner, 1, 1)

    def shares(self, skip: Tensor, below: Tensor) -> Tensor:
        """Return how much of each pixel is let through, (B, 1, h, w), 0..1."""
        return torch.sigmoid(self.share(torch.relu(self.of_skip(skip) + self.of_below(below))))

    def forward(self, skip: Tensor, below: Tensor) -> Tensor:
        """(B, skip, h, w) and (B, below, h, w) -> (B, skip, h, w)."""
        return skip * self.shares(skip, below)


class AttentionUNet(nn.Module):
    """An encoder of smp or timm, a gate at every skip (Oktay et al. 2018), and a decoder of double convolutions."""

    def __init__(self, in_channels: int, out_channels: int, options: "AttentionUNetOptions") -> None:
        super().__init__()
        widths = options.decoder_channels
        self.encoder = encoder(options.encoder_name, in_channels, depth=len(widths))
        deepest, *skips = self.encoder.out_channels[1:][::-1]
        below = (deepest, *widths[:-1])
        self.up = nn.ModuleList(doubling(options.upsampling, width, width) for width in below)
        self.gates = nn.ModuleList(Gate(skip, width) for skip, width in zip(skips, below, strict=False))
        self.blocks = nn.ModuleList(
            double_conv(a + skip, b) for a, skip, b in zip(below, (*skips, 0), widths, strict=True)
        )
        self.head = nn.Conv2d(widths[-1], out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, out_channels, h, w)."""
        y, *skips = self.encoder(x)[1:][::-1]
        for i, (up, block) in enumerate(zip(self.up, self.blocks, strict=True)):
            y = up(y)
            if i < len(skips):
                y = torch.cat([y, self.gates[i](skips[i], y)], 1)
            y = block(y)
        return self.head(y)


class TransUNet(nn.Module):
    """A U-Net whose deepest features pass through transformer blocks.

    Where a pixel lies is told by a depthwise convolution (Chu et al. 2021), not by a table: any window will do.
    """

    def __init__(self, unet: Any, *, blocks: int, heads: int) -> None:
        super().__init__()
        from timm.models.vision_transformer import Block

        width = unet.encoder.out_channels[-1]
        if width % heads:
            raise ValueError(f"{heads} heads do not divide the {width} channels of the encoder's last features")
        self.unet: Any = unet
        self.position = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, out_channels, h, w)."""
        *skips, deepest = self.unet.encoder(x)
        placed = deepest + self.position(deepest)
        tokens = self.norm(self.blocks(placed.flatten(2).transpose(1, 2)))
        deepest = tokens.transpose(1, 2).reshape(placed.shape)
        return self.unet.segmentation_head(self.unet.decoder([*skips, deepest]))
