"""Probes: networks whose answer is known, so that a run over any scene can be held against what it must give.

No torch in here: their layers are in probes_torch.
"""

from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from geoseg.models.architectures.base import DetectorOptions, Options

if TYPE_CHECKING:
    from torch import nn

CONSTANT = 0.7  # what the constant probe answers everywhere
ROW_SHARE, COL_SHARE = 0.8, 0.2  # what the ramp probe rises by from a window's top to its bottom, and from side to side


class ProbeOptions(Options):
    """A probe takes none, and has no convolution."""

    multiple_px: ClassVar[int] = 1
    network: ClassVar[str]

    def values_per_px(self, _in_channels: int, _out_channels: int) -> Fraction:
        """See ``Options``."""
        return Fraction(0)

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """See ``Options``."""
        from geoseg.models.architectures import probes_torch

        probe: nn.Module = getattr(probes_torch, self.network)(in_channels, out_channels)
        return probe


class IdentityProbe(ProbeOptions):
    """p = the pixel."""

    network = "Identity"


class ConstantProbe(ProbeOptions):
    """p = CONSTANT."""

    network = "Constant"


class RampProbe(ProbeOptions):
    """p by the place in the window."""

    network = "Ramp"


class BandsProbe(ProbeOptions):
    """The bands are the logits: a scene that holds them says what a network would that is never wrong."""

    network = "Bands"


class ObjectsProbe(DetectorOptions, ProbeOptions):
    """Detects the numbered objects of a scene whose one band holds their numbers, and is never wrong."""

    network = "Numbered"


def band_shares(bands: int) -> list[float]:
    """Return what each band counts in the identity probe: half as much as the one before, so that order matters.

    >>> band_shares(2)
    [0.6666666666666666, 0.3333333333333333]
    """
    return [2.0 ** (bands - 1 - i) / (2**bands - 1) for i in range(bands)]
