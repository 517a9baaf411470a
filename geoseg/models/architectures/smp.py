"""U-Nets of segmentation-models-pytorch, with any of its encoders."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from geoseg.errors import ConfigError
from geoseg.models.architectures.base import Options, Width
from geoseg.untrusted.validation import near_or_known

if TYPE_CHECKING:
    from torch import nn


class SmpUNetOptions(Options):
    """What its U-Net is told; encoders are named, and never fetched."""

    encoder_name: str = Field("resnet34", pattern=r"^[A-Za-z0-9][\w.-]*$", max_length=100)
    encoder_depth: int = Field(5, ge=3, le=5)
    decoder_channels: tuple[Width, ...] = (256, 128, 64, 32, 16)
    decoder_use_norm: bool | Literal["batchnorm", "identity", "layernorm", "instancenorm"] = "batchnorm"
    decoder_attention_type: Literal["scse"] | None = None
    decoder_interpolation: Literal["nearest", "bilinear", "bicubic", "area", "nearest-exact"] = "nearest"

    @property
    def stride_px(self) -> int:
        """See ``Options``."""
        return int(2**self.encoder_depth)

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """See ``Options``; raises ConfigError for an encoder that the library does not know."""
        import segmentation_models_pytorch as smp

        # encoder_weights=None: smp would fetch weights from a hub; geoseg loads weights from bundles and local files.
        given = self.model_dump(exclude_unset=True)
        try:
            return smp.Unet(in_channels=in_channels, classes=out_channels, encoder_weights=None, **given)
        except (KeyError, RuntimeError) as error:
            import timm

            known = [*smp.encoders.get_encoder_names(), *(f"tu-{name}" for name in timm.list_models())]
            if self.encoder_name.partition(".")[0] in known:
                raise
            told = near_or_known(self.encoder_name, known)
            raise ConfigError(f"unknown encoder_name {self.encoder_name!r}; {told}") from error
