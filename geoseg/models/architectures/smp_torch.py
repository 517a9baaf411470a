"""Learned upsampling in networks of segmentation-models-pytorch."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from geoseg.models.architectures.upsampling_torch import doubling, enlarging

if TYPE_CHECKING:
    from geoseg.models.architectures.base import Upsampling


class Lifted(nn.Module):
    """A block of the library's U-Net decoder, its input doubled by ``up`` in place of interpolation."""

    def __init__(self, block: Any, up: nn.Module) -> None:
        super().__init__()
        self.block: Any = block
        self.up = up

    def forward(self, x: Tensor, _height: int, _width: int, skip_connection: Tensor | None = None) -> Tensor:
        """(B, C, h, w) and its skip -> (B, D, 2h, 2w)."""
        x = self.up(x)
        if skip_connection is not None:
            x = self.block.attention1(torch.cat([x, skip_connection], 1))
        return self.block.attention2(self.block.conv2(self.block.conv1(x)))


class LiftedNested(nn.Module):
    """A block of the library's U-Net++, its input doubled by ``up`` in place of interpolation."""

    def __init__(self, block: Any, up: nn.Module) -> None:
        super().__init__()
        self.block: Any = block
        self.up = up

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """(B, C, h, w) and its skip -> (B, D, 2h, 2w)."""
        x = self.up(x)
        if skip is not None:
            x = self.block.attention1(torch.cat([x, skip], 1))
        return self.block.attention2(self.block.conv2(self.block.conv1(x)))


def double_nested(network: Any, kind: "Upsampling") -> None:
    """Let every block of a U-Net++ grow by ``kind``; those that an encoder without early levels leaves empty stay."""
    decoder = network.decoder
    last = len(decoder.in_channels) - 1
    for name, block in decoder.blocks.items():
        depth, layer = (int(part) for part in name.split("_")[1:])
        inputs = decoder.in_channels[layer] if depth == 0 or layer == last else decoder.skip_channels[layer - 1]
        if not block.is_empty:
            decoder.blocks[name] = LiftedNested(block, doubling(kind, inputs, inputs))


def double_levels(network: Any, kind: "Upsampling") -> None:
    """Let every level of a U-Net's decoder grow by ``kind``."""
    blocks = network.decoder.blocks
    inputs = [network.encoder.out_channels[-1], *(block.conv2[0].out_channels for block in blocks)]
    for i, block in enumerate(blocks):
        blocks[i] = Lifted(block, doubling(kind, inputs[i], inputs[i]))


def enlarge_logits(network: Any, channels: int, kind: "Upsampling") -> None:
    """Let the logits of a network that answers at a fraction of the size grow by ``kind``."""
    head = network.segmentation_head
    for i, layer in enumerate(head):
        if isinstance(layer, nn.Upsample) and isinstance(layer.scale_factor, float):
            head[i] = enlarging(kind, channels, int(layer.scale_factor))
