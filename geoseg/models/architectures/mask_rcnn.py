"""Mask R-CNN of torchvision on any encoder, by a feature pyramid. No torch in here."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from geoseg.models.architectures.base import SMP, TORCHVISION, Width
from geoseg.models.architectures.pyramid import PyramidOptions, Side

if TYPE_CHECKING:
    from torch import nn


class MaskRcnnOptions(PyramidOptions):
    """Names of its tensors are torchvision's, so that weights of maskrcnn_resnet50_fpn fit."""

    about: ClassVar[str] = "Mask R-CNN: boxes, then a mask in each (He et al. 2017)"
    licence: ClassVar[str] = TORCHVISION
    weights_licence: ClassVar[str] = "BSD-3 (torchvision's, trained on COCO); else the encoder's own"
    windows: ClassVar[tuple[int, int, int]] = (512, 64, 0)

    heads: Literal["v1", "v2"] = Field("v1", description="torchvision's of 2018, or those of its v2 with more layers")
    pyramid_channels: Width = 256
    hidden: Width = Field(1024, description="channels of the head of boxes")
    anchor_px: tuple[Side, Side, Side, Side, Side] = Field(
        (16, 32, 64, 128, 256), description="sides of boxes that are looked for, at each level; torchvision's are twice"
    )
    proposals: int = Field(1000, ge=10, le=4000, description="boxes that are looked at in a window")

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """Return the network with random weights; out_channels: classes of objects."""
        from geoseg.models.architectures.mask_rcnn_torch import mask_rcnn

        return mask_rcnn(in_channels, out_channels, self)


class PanopticFpnOptions(MaskRcnnOptions):
    """Mask R-CNN, and beside it the classes of pixels from the same pyramid; of those of stuff it lists no object."""

    about: ClassVar[str] = "Panoptic FPN: Mask R-CNN and classes of pixels on one pyramid (Kirillov et al. 2019)"
    licence: ClassVar[str] = f"{TORCHVISION}, {SMP}"
    windows: ClassVar[tuple[int, int, int]] = (512, 64, 64)
    blends: ClassVar[bool] = True

    segmentation_channels: int = Field(128, ge=32, le=1024, multiple_of=32, description="of the head of classes")

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """Return the network with random weights; out_channels: all classes."""
        from geoseg.models.architectures.mask_rcnn_torch import panoptic_fpn

        return panoptic_fpn(in_channels, out_channels, self)
