"""A network that comes as an ONNX file: what a bundle says of it. Nothing is built here: ``backends.onnx`` runs it."""

from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from geoseg.errors import ConfigError
from geoseg.models.architectures.base import Options

if TYPE_CHECKING:
    from torch import nn


class OnnxOptions(Options):
    """The file takes (1, C, h, w) normalised float32 and answers full-size logits (1, K, h, w)."""

    backend: ClassVar[str] = "onnx"
    call_bytes: int = Field(ge=0, le=2**50)
    """What a call for one window holds inside the network, measured when the bundle was made."""

    fixed_px: int | None = Field(None, ge=1, le=2**16)
    """Side of the windows where it takes no others."""

    @property
    def least_px(self) -> int:
        """See ``Options``."""
        return self.fixed_px or 1

    @property
    def multiple_px(self) -> int:
        """See ``Options``: the bundle's own multiple counts."""
        return 1

    def fault_of_window(self, window_px: int) -> str:
        """See ``Options``."""
        if self.fixed_px in (None, window_px):
            return super().fault_of_window(window_px)
        return f"windows of {window_px} px are not taken: the file takes {self.fixed_px} px alone"

    def values_per_px(self, _in_channels: int, _out_channels: int) -> Fraction | None:
        """See ``Options``."""
        return None

    def build(self, _in_channels: int, _out_channels: int) -> "nn.Module":
        """See ``Options``; raises ConfigError always."""
        raise ConfigError("an ONNX file runs as it is; take a bundle whose network geoseg builds for training")
