"""The compact U-Net's options, and what follows from them. No torch in here: its layers are in compact_unet_torch."""

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from geoseg.models.architectures.base import LevelOptions, Upsampling, Width

if TYPE_CHECKING:
    from torch import nn


class CompactUNetOptions(LevelOptions):
    """widths: channels per level; dropout: share of the deepest channels that training leaves out."""

    about: ClassVar[str] = "small residual U-Net, for CPUs"
    libraries: ClassVar[bool] = False
    usual: ClassVar[Mapping[str, object]] = {"widths": [24, 48, 96, 160, 240]}
    widths: tuple[Width, ...] = Field(min_length=1, max_length=8)
    dropout: float = Field(0.0, ge=0, lt=1)
    upsampling: Upsampling | None = Field(None, description="how the decoder grows; null: the nearest pixel")

    def values_per_px(self, in_channels: int, out_channels: int) -> Fraction | None:
        """Return how many values all convolutions give per pixel of a window, as ``CompactUNet`` puts them together.

        None with learned layers of upsampling: their bundles were all counted when they were saved.
        A block gives its width two times, and once more where its shortcut is a convolution: where the width changes.
        """
        if self.upsampling is not None:
            return None
        share = [Fraction(1, 4**level) for level in range(len(self.widths))]  # of a window's pixels, per level
        before = (in_channels, *self.widths[:-1])
        encoder = sum(
            ((2 + (a != b)) * b * part for a, b, part in zip(before, self.widths, share, strict=True)), Fraction(0)
        )
        decoder = sum((3 * width * part for width, part in zip(before[1:], share[:-1], strict=True)), Fraction(0))
        return encoder + 2 * self.widths[-1] * share[-1] + decoder + out_channels

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """See ``Options``."""
        from geoseg.models.architectures.compact_unet_torch import CompactUNet

        return CompactUNet(
            in_channels, out_channels, widths=self.widths, dropout=self.dropout, upsampling=self.upsampling
        )
