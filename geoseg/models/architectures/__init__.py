"""Architectures: which networks a bundle or a config may name, and the options that each takes. No torch in here.

The table is an allow-list: what a library takes beyond it (timm's names of hubs and folders, ``pretrained``,
``checkpoint_path``) would fetch files or read pickles. A new family is a file, and a line in the table.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import ValidationError

from geoseg.errors import ConfigError, MissingExtraError
from geoseg.models.architectures.base import Options
from geoseg.models.architectures.compact_unet import CompactUNetOptions
from geoseg.models.architectures.fcn import Fcn8sOptions, FcnResnetOptions
from geoseg.models.architectures.linear import LinearOptions
from geoseg.models.architectures.mask_rcnn import MaskRcnnOptions, PanopticFpnOptions
from geoseg.models.architectures.onnx import OnnxOptions
from geoseg.models.architectures.pixel_mlp import PixelMlpOptions
from geoseg.models.architectures.probes import BandsProbe, ConstantProbe, IdentityProbe, ObjectsProbe, RampProbe
from geoseg.models.architectures.queries import (
    HfSegformerOptions,
    Mask2FormerObjectsOptions,
    Mask2FormerOptions,
    OneFormerOptions,
    RfDetrSegOptions,
)
from geoseg.models.architectures.sam import Sam2Options, Sam2VideoOptions, SamOptions
from geoseg.models.architectures.smp import (
    DeepLabV3Options,
    DeepLabV3PlusOptions,
    DPTOptions,
    FPNOptions,
    LinknetOptions,
    MAnetOptions,
    PANOptions,
    PSPNetOptions,
    SegformerOptions,
    SmpUNetOptions,
    UNetPlusPlusOptions,
    UPerNetOptions,
)
from geoseg.models.architectures.solo import SoloOptions
from geoseg.models.architectures.spectral_rules import SpectralRulesOptions
from geoseg.models.architectures.temporal import TemporalOptions, UNet3dOptions
from geoseg.models.architectures.unets import (
    AttentionUNetOptions,
    NnUNetOptions,
    NnUNetResidualOptions,
    PlainUNetOptions,
    TransUNetOptions,
)
from geoseg.models.architectures.window_method import WindowMethodOptions
from geoseg.models.architectures.words import GroundingDinoOptions, Sam3Options, WordsOptions
from geoseg.models.architectures.yolact import YolactOptions
from geoseg.models.architectures.yolo_seg import YoloSegOptions
from geoseg.models.loading import loading
from geoseg.models.spec import Architecture
from geoseg.untrusted.validation import in_words, near_or_known

if TYPE_CHECKING:
    from torch import nn

NETWORKS: Mapping[str, type[Options]] = {  # those that a config may train
    "compact-unet": CompactUNetOptions,
    "plain-unet": PlainUNetOptions,
    "unet": SmpUNetOptions,
    "unet++": UNetPlusPlusOptions,
    "attention-unet": AttentionUNetOptions,
    "transunet": TransUNetOptions,
    "nnunet-plain": NnUNetOptions,
    "nnunet-residual": NnUNetResidualOptions,
    "fcn-8s": Fcn8sOptions,
    "fcn-resnet": FcnResnetOptions,
    "deeplabv3": DeepLabV3Options,
    "deeplabv3+": DeepLabV3PlusOptions,
    "segformer": SegformerOptions,
    "hf-segformer": HfSegformerOptions,
    "fpn": FPNOptions,
    "pspnet": PSPNetOptions,
    "pan": PANOptions,
    "manet": MAnetOptions,
    "linknet": LinknetOptions,
    "upernet": UPerNetOptions,
    "dpt": DPTOptions,
    "mask-rcnn": MaskRcnnOptions,
    "panoptic-fpn": PanopticFpnOptions,
    "yolact": YolactOptions,
    "solov2": SoloOptions,
    "mask2former": Mask2FormerOptions,
    "mask2former-objects": Mask2FormerObjectsOptions,
    "rf-detr-seg": RfDetrSegOptions,
    "oneformer": OneFormerOptions,
    "temporal": TemporalOptions,
    "unet3d": UNet3dOptions,
    "pixel-mlp": PixelMlpOptions,
}
ARCHITECTURES: dict[str, type[Options]] = {
    **NETWORKS,
    "smp-unet": SmpUNetOptions,  # what bundles call "unet" that were made before there were others
    "spectral-rules": SpectralRulesOptions,
    "linear": LinearOptions,  # what classical methods are fitted as
    "window-method": WindowMethodOptions,  # and those that look at whole windows
    "probe-identity": IdentityProbe,
    "probe-constant": ConstantProbe,
    "probe-ramp": RampProbe,
    "probe-bands": BandsProbe,
    "probe-objects": ObjectsProbe,
}
FROM_FILES: dict[str, type[Options]] = {  # run as they come: geoseg builds and trains none
    "onnx": OnnxOptions,
    "onnx-yolo-seg": YoloSegOptions,
}
PROMPTABLE: dict[str, type[SamOptions]] = {
    "sam": SamOptions,  # run by models.promptable, as the next
    "sam2": Sam2Options,
    "sam2-video": Sam2VideoOptions,  # by models.following
}
WORDS: dict[str, type[WordsOptions]] = {  # run by models.words
    "grounding-dino": GroundingDinoOptions,
    "sam3": Sam3Options,
}
LEAST_BYTES_PER_VALUE = 2  # of weights: fp16
MOST_TOLD = 200  # characters of a library's own words


def check_architecture(arch: Architecture) -> Options:
    """Return the options of an architecture, checked; raises ConfigError for what is not in the table."""
    kind = {**ARCHITECTURES, **FROM_FILES, **PROMPTABLE, **WORDS}.get(arch.name)
    if kind is None:
        raise ConfigError(f"unknown architecture {arch.name!r}; {near_or_known(arch.name, ARCHITECTURES)}")
    try:
        return kind.model_validate(arch.options)
    except ValidationError as error:
        raise ConfigError(f"architecture {arch.name} does not take these options: {in_words(kind, error)}") from error


def build_network(arch: Architecture, *, in_channels: int, out_channels: int) -> "nn.Module":
    """Build the network of ``arch`` with random weights; it maps (B, in, h, w) to logits (B, out, h, w).

    Raises ConfigError for an unknown name or options that its family does not take, and MissingExtraError.
    """
    options = check_architecture(arch)
    try:
        with loading():  # what it is built of is imported now
            return options.build(in_channels, out_channels)
    except (MemoryError, MissingExtraError):
        raise
    except Exception as error:  # libraries raise whatever they like for options that do not go together
        told = str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"[:MOST_TOLD]
        raise ConfigError(f"architecture {arch.name} does not take {arch.options}: {told}") from error
