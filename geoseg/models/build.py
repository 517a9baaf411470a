"""Networks by name: a compact U-Net of our own, and segmentation-models-pytorch's U-Net with any of its encoders."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from geoseg.errors import ConfigError
from geoseg.models.architectures import check_architecture
from geoseg.models.probes import PROBES
from geoseg.models.spec import Architecture


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


class CompactUNet(nn.Module):
    """U-Net (Ronneberger, Fischer, Brox 2015) with residual blocks, small enough to train and run on a CPU.

    widths: channels per level, the resolution halves from one to the next. The deepest level ends in a dilated block,
    so that a pixel sees about 2^levels * 10 px around it. All normalisation is batch normalisation: nothing is computed
    over a window, so results do not depend on where windows lie.
    """

    def __init__(self, in_channels: int, out_channels: int, *, widths: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(ConvBlock(a, b) for a, b in zip((in_channels, *widths[:-1]), widths, strict=True))
        self.middle = ConvBlock(widths[-1], widths[-1], dilation=2)
        self.drop = nn.Dropout2d(dropout)
        up = list(reversed(widths))
        self.decoder = nn.ModuleList(ConvBlock(a + b, b) for a, b in pairwise(up))
        self.head = nn.Conv2d(widths[0], out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, out_channels, h, w); h and w are multiples of 2^(levels - 1)."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(x if level == 0 else nn.functional.max_pool2d(x, 2))
            skips.append(x)
        x = self.drop(self.middle(skips.pop()))
        for block in self.decoder:
            x = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, skips.pop()], 1))
        return self.head(x)


def _smp_unet(in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    import segmentation_models_pytorch as smp

    # encoder_weights=None: smp would fetch weights from a hub; geoseg loads weights from bundles and local files.
    return smp.Unet(in_channels=in_channels, classes=out_channels, encoder_weights=None, **options)


MOST_TOLD = 200  # characters of a library's own words
NETWORKS: dict[str, Callable[..., nn.Module]] = {"compact-unet": CompactUNet, "smp-unet": _smp_unet}


def build_network(arch: Architecture, *, in_channels: int, out_channels: int) -> nn.Module:
    """Build the network of ``arch`` with random weights; it maps (B, in, h, w) to logits (B, out, h, w).

    Raises ConfigError for an unknown name or options its builder does not take.
    """
    check_architecture(arch)
    try:
        return {**NETWORKS, **PROBES}[arch.name](in_channels, out_channels, **arch.options)
    except MemoryError:
        raise
    except Exception as error:  # libraries raise whatever they like for an encoder they do not know
        told = f"{type(error).__name__}: {error}"[:MOST_TOLD]
        raise ConfigError(f"architecture {arch.name} does not take {arch.options}: {told}") from error
