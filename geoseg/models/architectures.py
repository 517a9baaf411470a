"""Architectures: which networks a bundle or a config may name, and the options that each takes. No torch in here.

The table is an allow-list: what a library takes beyond it (timm's names of hubs and folders, ``pretrained``,
``checkpoint_path``) would fetch files or read pickles.
"""

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


class ProbeOptions(Value):
    """A probe takes none."""

    stride_px: ClassVar[int] = 1
    least_values: ClassVar[int] = 0


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
