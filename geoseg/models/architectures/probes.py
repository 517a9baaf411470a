"""Probes take no options. No torch in here: their networks are in probes_torch."""

from fractions import Fraction
from typing import ClassVar

from geoseg.models.spec import Value


class ProbeOptions(Value):
    """A probe takes none."""

    stride_px: ClassVar[int] = 1
    least_values: ClassVar[int] = 0

    def values_per_px(self, _in_channels: int, _out_channels: int) -> Fraction:
        """Return 0: a probe has no convolution."""
        return Fraction(0)
