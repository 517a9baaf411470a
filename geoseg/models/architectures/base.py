"""Options: what a family of networks takes, and what the engine must know of a network. No torch in here."""

from abc import abstractmethod
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from geoseg.models.value import Value

if TYPE_CHECKING:
    from torch import nn

Width = Annotated[int, Field(ge=1, le=4096)]  # channels of a layer
Widths = Annotated[tuple[Width, ...], Field(min_length=2, max_length=8)]  # of the levels of a U-Net, finest first
Upsampling = Literal["bilinear", "transposed", "pixel-shuffle"]  # the last two are learned
OURS = "Apache-2.0"


def _own_way(said: object) -> object:
    if said is not None:
        raise ValueError(f"{said}: this network grows by layers of its own; leave upsampling out")
    return said


OwnUpsampling = Annotated[None, BeforeValidator(_own_way)]  # of networks whose decoders have no layer to exchange
SMP, TIMM = "MIT (smp)", "Apache-2.0 (timm)"
TORCHVISION, TRANSFORMERS = "BSD-3 (torchvision)", "Apache-2.0 (transformers)"


class Options(Value):
    """The options of one architecture, checked, and what follows from them; a family derives its own."""

    backend: ClassVar[str] = "torch"
    """What runs it: a key of ``geoseg.models.backends.BACKENDS``."""

    about: ClassVar[str] = ""
    """What it is, in a few words, with its source."""

    licence: ClassVar[str] = OURS
    """Of its code."""

    weights_licence: ClassVar[str] = "none published"
    """Of the weights that others publish for it."""

    extra: ClassVar[str] = ""
    """The extra of geoseg that it needs, as in pip install 'geoseg[extra]'."""

    libraries: ClassVar[bool] = True
    """Whether it loads libraries beside torch: memory is planned for them."""

    windows: ClassVar[tuple[int, int, int]] = (512, 64, 64)
    """Window, margin and ramp in pixels where a config says none."""

    least_batch: ClassVar[int] = 1
    """Windows in a training batch at the least: 2 where a map of 1 x 1 px meets batch normalisation."""

    batch_one: ClassVar[bool] = False
    """Whether its bits depend on the place of a window in a batch: windows are then run one by one."""

    detects: ClassVar[bool] = False
    """Whether it lists the objects of a window."""

    blends: ClassVar[bool] = True
    """Whether it gives values that are blended."""

    usual: ClassVar[Mapping[str, object]] = MappingProxyType({})
    """Options with which it is listed, where some have no default."""

    @classmethod
    def card(cls) -> dict[str, str]:
        """Return what the table of networks says of it, with its usual options."""
        own = cls.model_validate(dict(cls.usual))
        window, margin, ramp = cls.windows
        least = own.window_from(1)
        notes = {
            "sees its whole window": own.looks_everywhere,
            f"batches of {cls.least_batch} or more in training": cls.least_batch > 1,
            "windows run one by one": cls.batch_one,
            "lists objects": cls.detects,
            f"needs geoseg[{cls.extra}]": bool(cls.extra),
        }
        return {
            "about": cls.about,
            "windows": f"{own.multiple_px} n px, {least} or more",
            "default": f"{window}/{margin}/{ramp}",
            "notes": ", ".join(note for note, holds in notes.items() if holds),
            "code": cls.licence,
            "weights": cls.weights_licence,
        }

    @property
    @abstractmethod
    def multiple_px(self) -> int:
        """Windows are multiples of it."""

    @property
    def least_px(self) -> int:
        """No window is smaller."""
        return 1

    @property
    def looks_everywhere(self) -> bool:
        """Whether a pixel's answer depends on its whole window: global pooling, attention, instance normalisation."""
        return False

    @property
    def held_beside_torch(self) -> int:
        """Bytes that libraries beside torch hold for a pixel of a window while it runs: no operation shows them."""
        return 0

    @property
    def dropped_bytes(self) -> int:
        """Bytes of what its library builds beside the network and drops, such as an encoder's classifier."""
        return 0

    @property
    def least_values(self) -> int:
        """No such network has fewer weights; 0 where nothing is known before it is built."""
        return 0

    def values_per_px(self, in_channels: int, out_channels: int) -> Fraction | None:  # noqa: ARG002 - families use them
        """Return how many values all convolutions give per pixel of a window; None where only a run tells."""
        return None

    def window_from(self, px: int) -> int:
        """Return the side of the smallest window that is taken, of ``px`` pixels or more."""
        return self.multiple_px * -(-max(px, self.least_px) // self.multiple_px)

    def fault_of_window(self, window_px: int) -> str:
        """Return why a window is not taken, with the nearest that are; empty for one that is."""
        step, least = self.multiple_px, self.window_from(1)
        if window_px % step == 0 and window_px >= least:
            return ""
        below = max(window_px // step * step, least)
        return (
            f"windows of {window_px} px are not taken: multiples of {step} px, {least} px or more; "
            f"the nearest are {below} and {below + step} px"
        )

    @abstractmethod
    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """Return the network with random weights; it maps (B, in, h, w) to full-size logits (B, out, h, w)."""


class DetectorOptions(Options):
    """Networks that list the objects of a window, one window at a time, and give no values."""

    batch_one: ClassVar[bool] = True
    detects: ClassVar[bool] = True
    blends: ClassVar[bool] = False


class LevelOptions(Options):
    """Networks whose resolution halves from one level to the next; widths: channels per level, the finest first."""

    widths: Widths

    @property
    def multiple_px(self) -> int:
        """See ``Options``."""
        return int(2 ** (len(self.widths) - 1))

    @property
    def held_beside_torch(self) -> int:
        """Bytes that libraries beside torch hold for a pixel of a window while it runs: no operation shows them."""
        return 0

    @property
    def least_values(self) -> int:
        """See ``Options``: the second 3 x 3 convolution of every encoder block."""
        return 9 * sum(width * width for width in self.widths)
