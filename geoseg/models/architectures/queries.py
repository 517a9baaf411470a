"""Networks of transformers: SegFormer, and Mask2Former and OneFormer as semantic networks. No torch in here.

Their layers are in queries_torch. As semantic networks, a class's share of a pixel is the sum over the queries of
p(class) x p(mask); as a detector, each query is an object.
"""

from math import isqrt
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from geoseg.errors import MissingExtraError
from geoseg.models.architectures.base import TRANSFORMERS, DetectorOptions, Options, Width

if TYPE_CHECKING:
    from torch import nn

Four = tuple[int, int, int, int]


class TransformersOptions(Options):
    """What all of its networks have in common."""

    licence: ClassVar[str] = TRANSFORMERS
    extra: ClassVar[str] = "transformers"
    windows: ClassVar[tuple[int, int, int]] = (512, 64, 128)
    network: ClassVar[str]

    @property
    def multiple_px(self) -> int:
        """See ``Options``: attention windows and patches are padded by the library, so that any size will do."""
        return 32

    @property
    def looks_everywhere(self) -> bool:
        """See ``Options``."""
        return True

    def build(self, in_channels: int, out_channels: int) -> "nn.Module":
        """See ``Options``; raises ConfigError where the library is not installed."""
        try:
            import transformers as _  # noqa: F401
        except ImportError as error:
            raise MissingExtraError(
                "transformers is not installed; type: pip install 'geoseg[transformers]'"
            ) from error
        from geoseg.models.architectures import queries_torch

        network: nn.Module = getattr(queries_torch, self.network)(in_channels, out_channels, self)
        return network


class HfSegformerOptions(TransformersOptions):
    """widths, depths, heads: of the encoder's levels; those of mit_b0 where none are given."""

    about: ClassVar[str] = "SegFormer of transformers, for folders that it has saved"
    weights_licence: ClassVar[str] = "MiT: NVIDIA's, not for commercial use (to be checked with the weights)"
    network: ClassVar[str] = "segformer"
    widths: tuple[Width, Width, Width, Width] = (32, 64, 160, 256)
    depths: Four = (2, 2, 2, 2)
    heads: Four = (1, 2, 5, 8)
    decoder_width: Width = 256


class QueryOptions(TransformersOptions):
    """A Swin backbone, a pixel decoder, and queries that each answer a class and a mask."""

    width: Width = Field(96, description="channels of the backbone's first level")
    depths: Four = (2, 2, 6, 2)
    heads: Four = (3, 6, 12, 24)
    attention_px: int = Field(7, ge=2, le=32, description="side of the backbone's windows of attention, in patches")
    hidden: Width = Field(256, description="channels of the decoders")
    feedforward: Width = 1024
    encoder_layers: int = Field(6, ge=1, le=12)
    decoder_layers: int = Field(10, ge=2, le=16)
    attention_heads: int = Field(8, ge=1, le=64)
    queries: int = Field(100, ge=1, le=500)


class Mask2FormerOptions(QueryOptions):
    """See https://arxiv.org/abs/2112.01527."""

    about: ClassVar[str] = "Mask2Former as a semantic network (Cheng et al. 2022)"
    weights_licence: ClassVar[str] = "MIT (Meta's, trained on COCO, ADE20K, Cityscapes)"
    network: ClassVar[str] = "mask2former"


class Mask2FormerObjectsOptions(DetectorOptions, Mask2FormerOptions):
    """Each query is an object of its likeliest class; of no class, it is none."""

    about: ClassVar[str] = "Mask2Former as a detector: a query for each object (Cheng et al. 2022)"
    windows: ClassVar[tuple[int, int, int]] = (512, 64, 0)
    network: ClassVar[str] = "mask2former_objects"


class RfDetrSegOptions(DetectorOptions, TransformersOptions):
    """A DINOv2 backbone with windowed attention, and queries that each answer classes, a box and a mask."""

    about: ClassVar[str] = "RF-DETR-seg: a detector with masks (Robinson et al. 2025)"
    weights_licence: ClassVar[str] = "Apache-2.0 (Roboflow's segmentation models; to be checked with the weights)"
    windows: ClassVar[tuple[int, int, int]] = (432, 72, 0)
    network: ClassVar[str] = "rf_detr"

    image_px: int = Field(432, ge=24, le=2048, description="side that its position codes are made for")
    patch_px: int = Field(12, ge=4, le=32)
    parts: int = Field(2, ge=1, le=8, description="windows of the backbone's attention along a side")
    width: Width = Field(384, description="channels of the backbone")
    depth: int = Field(12, ge=1, le=48)
    heads: int = Field(6, ge=1, le=64)
    levels: tuple[int, ...] = Field((3, 6, 9, 12), min_length=1, max_length=8, description="layers that are used")
    hidden: Width = Field(256, description="channels of the decoder")
    feedforward: Width = 2048
    decoder_layers: int = Field(4, ge=1, le=16)
    attention_heads: int = Field(8, ge=1, le=64)
    cross_heads: int | None = Field(None, ge=1, le=64, description="of attention to the picture; as attention_heads")
    queries: int = Field(200, ge=1, le=1000)
    groups: int = Field(13, ge=1, le=32, description="of queries in training")

    @property
    def multiple_px(self) -> int:
        """See ``Options``."""
        return self.patch_px * self.parts

    @property
    def least_px(self) -> int:
        """See ``Options``: each query begins at a patch of its own."""
        return self.patch_px * (1 + isqrt(self.queries - 1))


class OneFormerOptions(QueryOptions):
    """Asked for its semantic task always. Its bits depend on a window's place in the batch: measured."""

    about: ClassVar[str] = "OneFormer as a semantic network (Jain et al. 2023)"
    weights_licence: ClassVar[str] = "MIT (SHI Labs', trained on COCO, ADE20K, Cityscapes)"
    network: ClassVar[str] = "oneformer"
    batch_one: ClassVar[bool] = True
    queries: int = Field(150, ge=1, le=500)
