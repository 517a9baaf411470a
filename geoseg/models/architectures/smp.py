"""Networks of segmentation-models-pytorch, with any of its encoders that they take. Encoders are never fetched."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from geoseg.errors import ConfigError
from geoseg.models.architectures.base import SMP, Options, OwnUpsampling, Upsampling, Width
from geoseg.untrusted.validation import near_or_known

if TYPE_CHECKING:
    from torch import nn

EncoderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$", max_length=100)]
Norm = bool | Literal["batchnorm", "identity", "layernorm", "instancenorm"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "area", "nearest-exact"]
# Encoders that pool or attend over the whole window: squeeze and excitation, and transformers.
GLOBAL = re.compile(
    r"efficientnet|mnasnet|mobilenet_?v3|(^|[-_])se|senet|ecaresnet|resnest|sk_?resn|regnety|nfnet|mit_b|vit|swin|maxvit"
    r"|beit|eva|dinov|deit|pvt|coat|xcit|hiera|focal|gcresn|lamb|botnet|convnextv2"
)
VGG_HEAD_BYTES = 4 * (25089 * 4096 + 4097 * 4096 + 4097 * 1000)  # VGG's classifier: three layers of float32


def encoder(name: str, in_channels: int, **given: Any) -> Any:
    """Return an encoder with random weights; raises ConfigError for one that the library does not know."""
    import segmentation_models_pytorch as smp

    with known_encoder(name):
        return smp.encoders.get_encoder(name, in_channels=in_channels, weights=None, **given)


@contextmanager
def known_encoder(name: str) -> Iterator[None]:
    """Raise ConfigError in place of what the library says of an encoder that it does not know."""
    try:
        yield
    except (KeyError, RuntimeError) as error:
        import segmentation_models_pytorch as smp
        import timm

        known = [*smp.encoders.get_encoder_names(), *(f"tu-{name}" for name in timm.list_models())]
        if name.partition(".")[0] in known:
            raise
        raise ConfigError(f"unknown encoder_name {name!r}; {near_or_known(name, known)}") from error


class EncoderOptions(Options):
    """Networks on an encoder of smp or timm."""

    encoder_name: EncoderName = "resnet34"

    @property
    def looks_everywhere(self) -> bool:
        """See ``Options``."""
        return GLOBAL.search(self.encoder_name) is not None

    @property
    def dropped_bytes(self) -> int:
        """See ``Options``: VGG's classifier; those of other encoders are small."""
        return VGG_HEAD_BYTES if self.encoder_name.removeprefix("tu-").startswith("vgg") else 0


class SmpOptions(EncoderOptions):
    """What all of its networks take."""

    licence: ClassVar[str] = SMP
    weights_licence: ClassVar[str] = "the encoder's own"
    network: ClassVar[str]
    attends: ClassVar[bool] = False
    """Whether its decoder pools, attends or normalises over the whole window."""

    upsampling: Upsampling | None = Field(None, description="how logits, or a U-Net's decoder, grow; null: its own way")

    @property
    def multiple_px(self) -> int:
        """See ``Options``."""
        return 32

    @property
    def looks_everywhere(self) -> bool:
        """See ``Options``."""
        return self.attends or super().looks_everywhere

    def given(self) -> dict[str, Any]:
        """Return what the library is told beyond its defaults."""
        return self.model_dump(exclude_unset=True, exclude={"upsampling"})

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """See ``Options``; raises ConfigError for an encoder that the library does not know."""
        import segmentation_models_pytorch as smp

        # encoder_weights=None: smp would fetch weights from a hub; geoseg loads weights from bundles and local files.
        with known_encoder(self.encoder_name):
            network: nn.Module = getattr(smp, self.network)(
                in_channels=in_channels, classes=out_channels, encoder_weights=None, **self.given()
            )
        if self.upsampling is not None:
            self.upsample(network, out_channels, self.upsampling)
        return network

    def upsample(self, network: "nn.Module", out_channels: int, kind: Upsampling) -> None:
        """Let the network's logits grow as asked."""
        from geoseg.models.architectures.smp_torch import enlarge_logits

        enlarge_logits(network, out_channels, kind)


class DepthOptions(SmpOptions):
    """Networks whose encoders may have fewer levels."""

    encoder_depth: int = Field(5, ge=3, le=5)

    @property
    def multiple_px(self) -> int:
        """See ``Options``."""
        return int(2**self.encoder_depth)


class SmpUNetOptions(DepthOptions):
    """Decoders that grow level by level."""

    about: ClassVar[str] = "U-Net (Ronneberger et al. 2015)"
    network: ClassVar[str] = "Unet"
    decoder_channels: tuple[Width, ...] = (256, 128, 64, 32, 16)
    decoder_use_norm: Norm = "batchnorm"
    decoder_attention_type: Literal["scse"] | None = None
    decoder_interpolation: Interpolation = "nearest"

    @property
    def looks_everywhere(self) -> bool:
        """See ``Options``."""
        return super().looks_everywhere or self.decoder_attention_type is not None

    def upsample(self, network: "nn.Module", out_channels: int, kind: Upsampling) -> None:  # noqa: ARG002 - see above
        """Let every level of the decoder grow as asked."""
        from geoseg.models.architectures.smp_torch import double_levels

        double_levels(network, kind)


class UNetPlusPlusOptions(SmpUNetOptions):
    """Decoders within each other."""

    about: ClassVar[str] = "U-Net++, nested skips (Zhou et al. 2018)"
    network: ClassVar[str] = "UnetPlusPlus"

    def upsample(self, network: "nn.Module", out_channels: int, kind: Upsampling) -> None:  # noqa: ARG002 - see above
        """Let every block of the nested decoders grow as asked."""
        from geoseg.models.architectures.smp_torch import double_nested

        double_nested(network, kind)


class MAnetOptions(DepthOptions):
    """See https://doi.org/10.1109/ACCESS.2020.3025372."""

    about: ClassVar[str] = "MA-Net, attention over positions and channels (Fan et al. 2020)"
    network: ClassVar[str] = "MAnet"
    attends: ClassVar[bool] = True
    windows: ClassVar[tuple[int, int, int]] = (512, 64, 128)
    decoder_channels: tuple[Width, ...] = (256, 128, 64, 32, 16)
    decoder_use_norm: Norm = "batchnorm"
    decoder_pab_channels: Width = 64
    upsampling: OwnUpsampling = None


class LinknetOptions(DepthOptions):
    """Its decoder has transposed convolutions of its own."""

    about: ClassVar[str] = "LinkNet (Chaurasia and Culurciello 2017)"
    network: ClassVar[str] = "Linknet"
    decoder_use_norm: Norm = "batchnorm"
    upsampling: OwnUpsampling = None


class FPNOptions(SmpOptions):
    """Answers at a quarter of the size; its group normalisation is over the whole window."""

    about: ClassVar[str] = "feature pyramid (Kirillov et al. 2019)"
    network: ClassVar[str] = "FPN"
    attends: ClassVar[bool] = True
    windows: ClassVar[tuple[int, int, int]] = (512, 64, 128)
    decoder_pyramid_channels: Width = 256
    decoder_segmentation_channels: Width = 128
    decoder_merge_policy: Literal["add", "cat"] = "add"


class PSPNetOptions(SmpOptions):
    """Answers at an eighth of the size."""

    about: ClassVar[str] = "PSPNet, pooled at four scales (Zhao et al. 2017)"
    network: ClassVar[str] = "PSPNet"
    attends: ClassVar[bool] = True
    windows: ClassVar[tuple[int, int, int]] = (512, 64, 128)
    psp_out_channels: Width = 512

    @property
    def multiple_px(self) -> int:
        """See ``Options``: the encoder ends at an eighth."""
        return 8


class PANOptions(SmpOptions):
    """Its pyramid halves the encoder's last map three times."""

    about: ClassVar[str] = "pyramid attention (Li et al. 2018)"
    network: ClassVar[str] = "PAN"
    attends: ClassVar[bool] = True
    windows: ClassVar[tuple[int, int, int]] = (512, 64, 128)
    least_batch: ClassVar[int] = 2
    decoder_channels: Width = 32

    @property
    def least_px(self) -> int:
        """See ``Options``."""
        return 128


class DeepLabV3Options(SmpOptions):
    """Atrous convolutions side by side, and one pooling over the window."""

    about: ClassVar[str] = "DeepLabV3, atrous convolutions and ASPP (Chen et al. 2017)"
    network: ClassVar[str] = "DeepLabV3"
    attends: ClassVar[bool] = True
    windows: ClassVar[tuple[int, int, int]] = (512, 64, 128)
    least_batch: ClassVar[int] = 2
    encoder_output_stride: Literal[8, 16] = 8
    decoder_channels: Width = 256
    decoder_atrous_rates: tuple[int, int, int] = (12, 24, 36)
    decoder_aspp_separable: bool = False
    decoder_aspp_dropout: float = Field(0.5, ge=0, lt=1)

    @property
    def multiple_px(self) -> int:
        """See ``Options``."""
        return int(self.encoder_output_stride)


class DeepLabV3PlusOptions(DeepLabV3Options):
    """As above, with a skip from a quarter of the size."""

    about: ClassVar[str] = "DeepLabV3+ (Chen et al. 2018)"
    network: ClassVar[str] = "DeepLabV3Plus"
    encoder_output_stride: Literal[8, 16] = 16
    decoder_aspp_separable: bool = True


class SegformerOptions(SmpOptions):
    """A transformer's maps of four sizes, each mixed pixel by pixel."""

    about: ClassVar[str] = "SegFormer (Xie et al. 2021), mit_b0 to mit_b5"
    weights_licence: ClassVar[str] = "MiT: NVIDIA's, not for commercial use (to be checked with the weights)"
    network: ClassVar[str] = "Segformer"
    windows: ClassVar[tuple[int, int, int]] = (512, 64, 128)
    encoder_name: EncoderName = "mit_b0"
    decoder_segmentation_channels: Width = 256

    def given(self) -> dict[str, Any]:
        """See ``SmpOptions``: the library's default encoder is another."""
        return {**super().given(), "encoder_name": self.encoder_name}


class UPerNetOptions(SmpOptions):
    """A pyramid with pooling at four scales above it."""

    about: ClassVar[str] = "UPerNet (Xiao et al. 2018)"
    network: ClassVar[str] = "UPerNet"
    attends: ClassVar[bool] = True
    windows: ClassVar[tuple[int, int, int]] = (512, 64, 128)
    least_batch: ClassVar[int] = 2
    decoder_channels: Width = 256


class DPTOptions(SmpOptions):
    """A plain vision transformer of timm (tu-NAME), its positions interpolated to the window."""

    about: ClassVar[str] = "DPT, a vision transformer with convolutions above (Ranftl et al. 2021)"
    network: ClassVar[str] = "DPT"
    attends: ClassVar[bool] = True
    windows: ClassVar[tuple[int, int, int]] = (512, 64, 128)
    encoder_name: EncoderName = "tu-vit_small_patch16_224"
    encoder_depth: int = Field(4, ge=1, le=4)
    decoder_readout: Literal["ignore", "add", "cat"] = "cat"
    decoder_intermediate_channels: tuple[Width, ...] = (256, 512, 1024, 1024)
    decoder_fusion_channels: Width = 256
    upsampling: OwnUpsampling = None

    def given(self) -> dict[str, Any]:
        """See ``SmpOptions``."""
        return {**super().given(), "encoder_name": self.encoder_name, "dynamic_img_size": True}
