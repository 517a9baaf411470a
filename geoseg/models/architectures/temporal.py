"""Temporal stacks: channels are (date, band), dates first. No torch in here: their layers are in temporal_torch.

A pixel is valid or not on all dates alike; a date that is missing has to be filled before.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from geoseg.errors import ConfigError
from geoseg.models.architectures.base import Options, Widths
from geoseg.models.spec import Architecture

if TYPE_CHECKING:
    from torch import nn

Dates = Annotated[int, Field(ge=2, le=365)]


def bands_of(in_channels: int, dates: int) -> int:
    """Return the bands of one date; raises ConfigError where the channels are not those of so many dates."""
    if in_channels % dates:
        raise ConfigError(f"{in_channels} channels are no bands of {dates} dates; give as many bands for each date")
    return in_channels // dates


class TemporalOptions(Options):
    """dates: in the stack; over: how they become one image, which ``network`` then sees."""

    about: ClassVar[str] = "a mean of dates, or attention over them, before any other network"
    usual: ClassVar[Mapping[str, object]] = {"dates": 3, "network": {"name": "unet"}}
    windows: ClassVar[tuple[int, int, int]] = (512, 64, 128)
    dates: Dates
    over: Literal["mean", "attention"] = "attention"
    network: Architecture

    @model_validator(mode="after")
    def _known(self) -> "TemporalOptions":
        if self.network.name == "temporal":
            raise ValueError("network: a stack of stacks is none; name another")
        _ = self.inner
        return self

    @property
    def inner(self) -> Options:
        """The options of the network that sees one image."""
        from geoseg.models.architectures import check_architecture

        return check_architecture(self.network)

    @property
    def multiple_px(self) -> int:
        """See ``Options``."""
        return self.inner.multiple_px

    @property
    def least_px(self) -> int:
        """See ``Options``."""
        return self.inner.least_px

    @property
    def looks_everywhere(self) -> bool:
        """See ``Options``."""
        return self.inner.looks_everywhere

    @property
    def dropped_bytes(self) -> int:
        """See ``Options``."""
        return self.inner.dropped_bytes

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """See ``Options``; raises ConfigError for channels that are not those of so many dates."""
        from geoseg.models.architectures.temporal_torch import Temporal

        bands = bands_of(in_channels, self.dates)
        return Temporal(self.inner.build(bands, out_channels), bands=bands, attends=self.over == "attention")


class UNet3dOptions(Options):
    """A U-Net whose 3 x 3 x 3 convolutions run over dates, rows and columns; dates are averaged before its head."""

    about: ClassVar[str] = "3-D U-Net over dates, rows and columns (Cicek et al. 2016)"
    usual: ClassVar[Mapping[str, object]] = {"dates": 3}
    dates: Dates
    widths: Widths = (32, 64, 128, 256)

    @property
    def multiple_px(self) -> int:
        """See ``Options``."""
        return int(2 ** (len(self.widths) - 1))

    @property
    def least_values(self) -> int:
        """See ``Options``."""
        return 27 * sum(width * width for width in self.widths)

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """See ``Options``; raises ConfigError for channels that are not those of so many dates."""
        from geoseg.models.architectures.temporal_torch import UNet3d

        return UNet3d(bands_of(in_channels, self.dates), out_channels, widths=self.widths)
