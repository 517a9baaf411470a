"""Fully convolutional networks (Long, Shelhamer, Darrell 2015). No torch in here: their layers are in fcn_torch."""

from typing import TYPE_CHECKING, ClassVar, Literal

from geoseg.models.architectures.base import OURS, SMP, TORCHVISION, Options, Upsampling
from geoseg.models.architectures.smp import EncoderName, EncoderOptions

if TYPE_CHECKING:
    from torch import nn


class Fcn8sOptions(EncoderOptions):
    """Scores of three levels of an encoder, added up."""

    about: ClassVar[str] = "FCN-8s (Long et al. 2015)"
    licence: ClassVar[str] = f"{OURS}, encoder {SMP}"
    weights_licence: ClassVar[str] = "the encoder's own"
    encoder_name: EncoderName = "vgg16_bn"
    upsampling: Upsampling = "bilinear"

    @property
    def multiple_px(self) -> int:
        """See ``Options``."""
        return 32

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """See ``Options``."""
        from geoseg.models.architectures.fcn_torch import Fcn8s

        return Fcn8s(in_channels, out_channels, self)


class FcnResnetOptions(Options):
    """torchvision's, answering at an eighth of the size."""

    about: ClassVar[str] = "FCN on a dilated ResNet"
    licence: ClassVar[str] = TORCHVISION
    weights_licence: ClassVar[str] = "BSD-3 (trained on COCO and ImageNet)"
    encoder_name: Literal["resnet50", "resnet101"] = "resnet50"
    upsampling: Upsampling = "bilinear"

    @property
    def multiple_px(self) -> int:
        """See ``Options``."""
        return 8

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """See ``Options``."""
        from geoseg.models.architectures.fcn_torch import FcnResnet

        return FcnResnet(in_channels, out_channels, self)
