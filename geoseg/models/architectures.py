"""Architectures: which networks a bundle or a config may name, and the options that each takes. No torch in here.

The table is an allow-list: what a library takes beyond it (timm's names of hubs and folders, ``pretrained``,
``checkpoint_path``) would fetch files or read pickles.
"""

from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationError

from geoseg.errors import ConfigError
from geoseg.models.spec import Architecture, Value
from geoseg.untrusted.validation import in_words

LEAST_BYTES_PER_VALUE = 2  # of weights: fp16

Width = Annotated[int, Field(ge=1, le=4096)]


class CompactUNetOptions(Value):
    """widths: channels per level; dropout: share of the deepest channels that training leaves out."""

    widths: tuple[Width, ...] = Field(min_length=1, max_length=8)
    dropout: float = Field(0.0, ge=0, lt=1)

    @property
    def stride_px(self) -> int:
        """Windows are multiples of it."""
        return int(2 ** (len(self.widths) - 1))

    @property
    def least_values(self) -> int:
        """Fewer values than these hold no such network: the second 3 x 3 convolution of every encoder block."""
        return 9 * sum(width * width for width in self.widths)

    def values_per_px(self, in_channels: int, out_channels: int) -> Fraction:
        """Return how many values all convolutions give per pixel of a window, as ``CompactUNet`` puts them together.

        A block gives its width two times, and once more where its shortcut is a convolution: where the width changes.
        """
        share = [Fraction(1, 4**level) for level in range(len(self.widths))]  # of a window's pixels, per level
        before = (in_channels, *self.widths[:-1])
        encoder = sum(
            ((2 + (a != b)) * b * part for a, b, part in zip(before, self.widths, share, strict=True)), Fraction(0)
        )
        decoder = sum((3 * width * part for width, part in zip(before[1:], share[:-1], strict=True)), Fraction(0))
        return encoder + 2 * self.widths[-1] * share[-1] + decoder + out_channels


class SmpUNetOptions(Value):
    """What segmentation-models-pytorch's U-Net is told; its encoders are named, and never fetched."""

    encoder_name: str = Field("resnet34", pattern=r"^[A-Za-z0-9][\w.-]*$", max_length=100)
    encoder_depth: int = Field(5, ge=3, le=5)
    decoder_channels: tuple[Width, ...] = (256, 128, 64, 32, 16)
    decoder_use_norm: bool | Literal["batchnorm", "identity", "layernorm", "instancenorm"] = "batchnorm"
    decoder_attention_type: Literal["scse"] | None = None
    decoder_interpolation: Literal["nearest", "bilinear", "bicubic", "area", "nearest-exact"] = "nearest"

    @property
    def stride_px(self) -> int:
        """Windows are multiples of it."""
        return int(2**self.encoder_depth)

    @property
    def least_values(self) -> int:
        """Nothing is known of an encoder before it is built."""
        return 0

    def values_per_px(self, _in_channels: int, _out_channels: int) -> Fraction | None:
        """Return None: nothing is known of an encoder before it is built and run."""
        return None


class ProbeOptions(Value):
    """A probe takes none."""

    stride_px: ClassVar[int] = 1
    least_values: ClassVar[int] = 0

    def values_per_px(self, _in_channels: int, _out_channels: int) -> Fraction:
        """Return 0: a probe has no convolution."""
        return Fraction(0)


Options = CompactUNetOptions | SmpUNetOptions | ProbeOptions
ARCHITECTURES: dict[str, type[Options]] = {"compact-unet": CompactUNetOptions, "smp-unet": SmpUNetOptions}
PROBE_NAMES = ("probe-identity", "probe-constant", "probe-ramp")


def check_architecture(arch: Architecture) -> Options:
    """Return the options of an architecture, checked; raises ConfigError for what is not in the table."""
    kind = {**ARCHITECTURES, **dict.fromkeys(PROBE_NAMES, ProbeOptions)}.get(arch.name)
    if kind is None:
        raise ConfigError(f"unknown architecture {arch.name!r}; known: {', '.join(ARCHITECTURES)}")
    try:
        return kind.model_validate(arch.options)
    except ValidationError as error:
        raise ConfigError(f"architecture {arch.name} does not take these options: {in_words(kind, error)}") from error
