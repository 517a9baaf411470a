"""YOLACT on any encoder: a window's objects as mixtures of a few masks that they share. No torch in here."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from geoseg.models.architectures.base import OURS, SMP, TORCHVISION, Width
from geoseg.models.architectures.pyramid import PyramidOptions, Side

if TYPE_CHECKING:
    from torch import nn


class YolactOptions(PyramidOptions):
    """Maps of an eighth of the size to a 128th, on each of which boxes of one side are looked for."""

    about: ClassVar[str] = "YOLACT: boxes, and masks mixed of prototypes (Bolya et al. 2019)"
    licence: ClassVar[str] = f"{OURS}; {TORCHVISION}, {SMP}"
    weights_licence: ClassVar[str] = "the encoder's own"
    windows: ClassVar[tuple[int, int, int]] = (512, 64, 0)

    pyramid_channels: Width = 256
    prototypes: int = Field(32, ge=4, le=256, description="masks that the objects of a window are mixed of")
    anchor_px: tuple[Side, Side, Side, Side, Side] = Field(
        (16, 32, 64, 128, 256), description="sides of boxes that are looked for, at each level; the paper's: 24 to 384"
    )
    candidates: int = Field(400, ge=10, le=4000, description="boxes of a window that compete, the best first")

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """Return the network with random weights; out_channels: classes of objects."""
        from geoseg.models.architectures.yolact_torch import Yolact

        return Yolact(in_channels, out_channels, self)
