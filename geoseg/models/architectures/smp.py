"""U-Nets of segmentation-models-pytorch, with any of its encoders: their options."""

from fractions import Fraction
from typing import Literal

from pydantic import Field

from geoseg.models.spec import Value, Width


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
