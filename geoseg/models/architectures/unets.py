"""U-Nets of our own, beside the compact one: options. No torch in here: their layers are in unets_torch."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from geoseg.models.architectures.base import OURS, SMP, TIMM, LevelOptions, Upsampling, Width, Widths
from geoseg.models.architectures.smp import EncoderOptions, SmpUNetOptions

if TYPE_CHECKING:
    from torch import nn


class PlainUNetOptions(LevelOptions):
    """As drawn by Ronneberger et al. 2015, with padded convolutions and batch normalisation."""

    about: ClassVar[str] = "U-Net as in the paper: double convolutions, transposed convolutions"
    widths: Widths = (64, 128, 256, 512, 1024)
    upsampling: Upsampling = "transposed"

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """See ``Options``."""
        from geoseg.models.architectures.unets_torch import PlainUNet

        return PlainUNet(in_channels, out_channels, widths=self.widths, upsampling=self.upsampling)


class NnUNetOptions(LevelOptions):
    """nnU-Net's networks (Isensee et al. 2021; 2024 for the residual one).

    norm: batch, or instance as nnU-Net has it: a pixel then depends on all of its window, nodata included.
    """

    about: ClassVar[str] = "nnU-Net's plain network, deep supervision (Isensee et al. 2021)"
    residual: ClassVar[bool] = False
    widths: Widths = (32, 64, 128, 256, 512, 512)
    upsampling: Upsampling = "transposed"
    norm: Literal["batch", "instance"] = "batch"

    @property
    def looks_everywhere(self) -> bool:
        """See ``Options``."""
        return self.norm == "instance"

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """See ``Options``."""
        from geoseg.models.architectures.unets_torch import NnUNet

        return NnUNet(in_channels, out_channels, self)


class NnUNetResidualOptions(NnUNetOptions):
    """blocks: residual blocks of each level of the encoder."""

    about: ClassVar[str] = "nnU-Net's residual encoder, deep supervision (Isensee et al. 2024)"
    residual: ClassVar[bool] = True
    blocks: tuple[int, ...] = Field((1, 3, 4, 6, 6, 6), min_length=2, max_length=8)


class AttentionUNetOptions(EncoderOptions):
    """Additive gates (Oktay et al. 2018) on the skips of an encoder of smp or timm."""

    about: ClassVar[str] = "attention U-Net: additive gates at every skip (Oktay et al. 2018)"
    licence: ClassVar[str] = f"{OURS}, encoder {SMP}"
    weights_licence: ClassVar[str] = "the encoder's own"
    decoder_channels: tuple[Width, ...] = Field((256, 128, 64, 32, 16), min_length=3, max_length=5)
    upsampling: Upsampling = "bilinear"

    @property
    def multiple_px(self) -> int:
        """See ``Options``."""
        return int(2 ** len(self.decoder_channels))

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """See ``Options``."""
        from geoseg.models.architectures.unets_torch import AttentionUNet

        return AttentionUNet(in_channels, out_channels, self)


class TransUNetOptions(SmpUNetOptions):
    """blocks: of the transformer on the encoder's last features; heads: of each."""

    about: ClassVar[str] = "TransUNet: transformer between encoder and U decoder, any window (Chen et al. 2021)"
    licence: ClassVar[str] = f"{OURS}, {SMP}, {TIMM}"
    windows: ClassVar[tuple[int, int, int]] = (512, 64, 128)
    attends: ClassVar[bool] = True
    blocks: int = Field(6, ge=1, le=48)
    heads: int = Field(8, ge=1, le=64)

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """See ``Options``."""
        from geoseg.models.architectures.unets_torch import TransUNet

        given = self.model_dump(exclude_unset=True, exclude={"blocks", "heads"})
        return TransUNet(SmpUNetOptions(**given).build(in_channels, out_channels), blocks=self.blocks, heads=self.heads)
