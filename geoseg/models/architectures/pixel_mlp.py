"""The pixel network's options, and what follows from them. No torch in here: its layers are in pixel_mlp_torch."""

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, Field

from geoseg.models.architectures.base import Options, Width

if TYPE_CHECKING:
    from torch import nn


def _odd(side: int) -> int:
    if side % 2 == 0:
        raise ValueError(f"{side} is even: a box has a pixel in its middle")
    return side


SECOND_WIDTH = 16  # of the second answer's hidden layer
Side = Annotated[int, Field(ge=1, le=255), AfterValidator(_odd)]  # of a box, in pixels


class PixelMlpOptions(Options):
    """boxes: around a pixel, in which means and spreads are taken; widths: of the hidden layers.

    context: boxes in which the first answer is averaged, for a second one that knows what lies around.
    """

    about: ClassVar[str] = "perceptron over a pixel and the boxes around it, for few labels"
    libraries: ClassVar[bool] = False
    windows: ClassVar[tuple[int, int, int]] = (384, 32, 32)
    multiple_px: ClassVar[int] = 1
    boxes: tuple[Side, ...] = Field((3, 7, 15, 31), min_length=1, max_length=8)
    widths: tuple[Width, ...] = Field((64, 64), min_length=1, max_length=8)
    dropout: float = Field(0.1, ge=0, lt=1, description="share of hidden values that training leaves out")
    black: float = Field(-2.0, description="what the network is shown of a pixel without light")
    context: tuple[Side, ...] = Field((5, 13, 25), min_length=1, max_length=8)

    def features(self, in_channels: int) -> int:
        """Return how many values describe a pixel: logarithms at it and of every box, and spreads in every box."""
        return in_channels * (1 + 2 * len(self.boxes))

    def values_per_px(self, in_channels: int, out_channels: int) -> Fraction:
        """See ``Options``: the features four times over, as they are put together, and the layers."""
        answers = out_channels * (3 + 3 * len(self.context))
        return Fraction(4 * self.features(in_channels) + 2 * sum(self.widths) + answers + SECOND_WIDTH)

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """See ``Options``."""
        from geoseg.models.architectures.pixel_mlp_torch import PixelMlp

        return PixelMlp(in_channels, out_channels, self)
