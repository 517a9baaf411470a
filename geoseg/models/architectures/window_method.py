"""Window methods: classes of a linear classifier, put right in each window by how alike pixels are. No torch here."""

from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Literal

from geoseg.models.architectures.base import Options

if TYPE_CHECKING:
    from torch import nn

Method = Literal["graph-cut", "random-walker", "chan-vese"]
HELD = {"graph-cut": 1200, "random-walker": 2400, "chan-vese": 200}  # bytes of a window's pixel: graphs have edges


class WindowMethodOptions(Options):
    """Weights as those of ``linear``, and what a window's answer is made with."""

    about: ClassVar[str] = "classical method in each window, from a linear classifier of its pixels"
    windows: ClassVar[tuple[int, int, int]] = (384, 48, 32)
    batch_one: ClassVar[bool] = True

    method: Method
    """graph-cut: Boykov and Jolly 2001; random-walker: Grady 2006; chan-vese: Chan and Vese 2001."""

    @property
    def multiple_px(self) -> int:
        """See ``Options``."""
        return 1

    @property
    def looks_everywhere(self) -> bool:
        """See ``Options``."""
        return True

    @property
    def held_beside_torch(self) -> int:
        """See ``Options``."""
        return HELD[self.method]

    def values_per_px(self, in_channels: int, out_channels: int) -> Fraction:
        """See ``Options``."""
        return Fraction(in_channels + 2 * out_channels)

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """See ``Options``."""
        from geoseg.models.architectures.window_method_torch import WindowMethod

        return WindowMethod(self.method, in_channels, out_channels)
