"""SOLOv2 on any encoder: each cell of a grid makes the mask of the object whose middle it holds. No torch in here."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from geoseg.models.architectures.base import OURS, SMP, TORCHVISION
from geoseg.models.architectures.pyramid import PyramidOptions, Side

if TYPE_CHECKING:
    from torch import nn


class SoloOptions(PyramidOptions):
    """Five grids over the window, of finer cells for smaller objects. The paper counts cells; here they have sides.

    Its layers are normalised over the window, and told where in it they are.
    """

    about: ClassVar[str] = "SOLOv2: objects by the cells of grids, with a filter for each mask (Wang et al. 2020)"
    licence: ClassVar[str] = f"{OURS}; {TORCHVISION}, {SMP}"
    weights_licence: ClassVar[str] = "the encoder's own"
    windows: ClassVar[tuple[int, int, int]] = (512, 64, 0)

    pyramid_channels: int = Field(256, ge=16, le=1024, multiple_of=8)
    head_channels: int = Field(256, ge=16, le=1024, multiple_of=8, description="of the layers above the pyramid")
    layers: int = Field(4, ge=1, le=8, description="of the heads")
    mask_channels: int = Field(128, ge=8, le=1024, multiple_of=8, description="maps that a filter makes a mask of")
    cell_px: tuple[Side, Side, Side, Side, Side] = Field(
        (12, 16, 24, 32, 48), description="sides of the cells of each grid"
    )
    object_px: Side = Field(
        24,
        description="the first grid is for objects of up to twice this side, the next from it to four times, and so on",
    )
    candidates: int = Field(400, ge=10, le=2000, description="masks of a window that compete, the best first")

    @property
    def looks_everywhere(self) -> bool:
        """See ``Options``: its layers are normalised over the window."""
        return True

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """Return the network with random weights; out_channels: classes of objects."""
        from geoseg.models.architectures.solo_torch import Solo

        return Solo(in_channels, out_channels, self)
