"""A linear classifier of pixels: what thresholds and centres of clusters are as a network. No torch on import."""

from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from geoseg.models.architectures.base import Options

if TYPE_CHECKING:
    from torch import nn


class LinearOptions(Options):
    """One weight for each band and class, and one constant for each class."""

    about: ClassVar[str] = "linear classifier of each pixel"
    libraries: ClassVar[bool] = False
    windows: ClassVar[tuple[int, int, int]] = (1024, 0, 0)

    @property
    def multiple_px(self) -> int:
        """See ``Options``."""
        return 1

    def values_per_px(self, in_channels: int, out_channels: int) -> Fraction:
        """See ``Options``."""
        return Fraction(in_channels + out_channels)

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """See ``Options``."""
        from torch import nn

        return nn.Conv2d(in_channels, out_channels, 1)
