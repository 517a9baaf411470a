"""Options: what a family of networks takes, and what is known of a network by its options alone. No torch in here."""

from abc import abstractmethod
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from geoseg.models.value import Value

if TYPE_CHECKING:
    from torch import nn

Width = Annotated[int, Field(ge=1, le=4096)]  # channels of a layer


class Options(Value):
    """The options of one architecture, checked; a family derives its own."""

    backend: ClassVar[str] = "torch"
    """What runs it: a key of ``geoseg.models.backends.BACKENDS``."""

    @property
    @abstractmethod
    def stride_px(self) -> int:
        """Windows are multiples of it."""

    @property
    def least_px(self) -> int:
        """No window is smaller."""
        return 1

    @property
    def least_values(self) -> int:
        """No such network has fewer weights; 0 where nothing is known before it is built."""
        return 0

    def values_per_px(self, in_channels: int, out_channels: int) -> Fraction | None:  # noqa: ARG002 - families use them
        """Return how many values all convolutions give per pixel of a window; None where only a run tells."""
        return None

    @abstractmethod
    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """Return the network with random weights; it maps (B, in, h, w) to logits (B, out, h, w)."""
