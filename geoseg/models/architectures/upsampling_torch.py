"""Layers that double the resolution: by interpolation, or learned."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from geoseg.models.architectures.base import Upsampling


class Bilinear(nn.Module):
    """Twice the size by bilinear interpolation, and a 1 x 1 convolution where the channels change."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mix = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, 2h, 2w)."""
        return nn.functional.interpolate(self.mix(x), scale_factor=2.0, mode="bilinear", align_corners=False)


def transposed(inputs: int, outputs: int) -> nn.Module:
    """Twice the size by a transposed convolution of 2 x 2 px, whose outputs do not overlap."""
    return nn.ConvTranspose2d(inputs, outputs, 2, 2)


def pixel_shuffle(inputs: int, outputs: int) -> nn.Module:
    """Twice the size by four times the channels, dealt out as pixels (Shi et al. 2016)."""
    return nn.Sequential(nn.Conv2d(inputs, 4 * outputs, 1), nn.PixelShuffle(2))


DOUBLING: Mapping[str, Callable[[int, int], nn.Module]] = {
    "bilinear": Bilinear,
    "transposed": transposed,
    "pixel-shuffle": pixel_shuffle,
}


def doubling(kind: "Upsampling", inputs: int, outputs: int) -> nn.Module:
    """Return a layer (B, inputs, h, w) -> (B, outputs, 2h, 2w)."""
    return DOUBLING[kind](inputs, outputs)


def enlarging(kind: "Upsampling", channels: int, times: int) -> nn.Module:
    """Return layers (B, channels, h, w) -> (B, channels, times h, times w); times: a power of two."""
    return nn.Sequential(*(doubling(kind, channels, channels) for _ in range(times.bit_length() - 1)))
