"""Spectral rules: classes by thresholds of spectral indices, in order. No torch in here: see spectral_rules_torch."""

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from geoseg.errors import ConfigError
from geoseg.models.architectures.base import Options

if TYPE_CHECKING:
    from torch import nn

BANDS = ("blue", "green", "red", "nir", "swir16")  # what the network is given, in this order, as reflectance 0..1
Index = Literal["ndvi", "mndwi", "evi", "blue", "green", "red", "nir", "swir16"]


class SpectralRulesOptions(Options):
    """A list of rules over indices; their thresholds are the network's weights."""

    libraries: ClassVar[bool] = False
    indices: Annotated[tuple[Index, ...], Field(min_length=1, max_length=8)]
    """What the rules look at: indices, or bands by name."""

    @property
    def multiple_px(self) -> int:
        """See ``Options``."""
        return 1

    def values_per_px(self, in_channels: int, out_channels: int) -> Fraction:
        """See ``Options``: bands, indices, and a logarithm of each condition of each rule, with its complement."""
        return Fraction(2 * in_channels + len(self.indices) * (out_channels + 1) + 4 * out_channels)

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """See ``Options``; raises ConfigError for other bands."""
        from geoseg.models.architectures.spectral_rules_torch import SpectralRules

        if in_channels != len(BANDS):
            raise ConfigError(f"takes the {len(BANDS)} bands {', '.join(BANDS)}, not {in_channels}")
        return SpectralRules(self.indices, out_channels)
