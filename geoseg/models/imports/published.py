"""Published: what others' files of detectors hold: torchvision's Mask R-CNN, transformers' Mask2Former and RF-DETR-seg.

Files are read by ``geoseg.models.weights``, which runs no code of theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Literal, NamedTuple

from geoseg.errors import ConfigError, ModelError
from geoseg.models.architectures import check_architecture
from geoseg.models.imports.transformers_folder import BYTE, normalisation_of, read_config
from geoseg.models.spec import Architecture, Normalisation
from geoseg.models.weights import IMAGENET, StoredWeights, read_weights
from geoseg.options.exchange import ImportOptions
from geoseg.untrusted.text import one_line, shown

NO_CLASS = "N/A"  # rows of COCO that were never learnt
UNNAMED = "LABEL_"  # begins the names that transformers gives where nobody did
USUAL_CLASSES = 2  # of transformers, where nothing is said
ANCHORS_PX = (32, 64, 128, 256, 512)  # of torchvision's
# What makes layers, or what they compute, and shows in no shape of a tensor; a network has some of them.
SAME = (
    "activation_function", "dim_feedforward", "pre_norm", "enforce_input_projection", "common_stride", "feature_size",
    "mask_feature_size", "hidden_expansion", "c2f_num_blocks", "decoder_n_points", "decoder_activation_function",
    "layer_norm_eps", "num_feature_levels", "mask_downsample_ratio", "segmentation_head_activation_function",
)  # fmt: skip
SAME_BACKBONE = (
    "model_type", "patch_size", "mlp_ratio", "hidden_act", "layer_norm_eps", "use_absolute_embeddings", "out_features",
    "use_swiglu_ffn", "apply_layernorm", "num_register_tokens", "window_block_indexes",
)  # fmt: skip


class Kind(NamedTuple):
    """What a family is called."""

    model_type: str
    """By a folder's config.json."""
    config: str
    """By transformers, its configuration."""
    network: str
    """By geoseg."""


KINDS = {
    "mask2former": Kind("mask2former", "Mask2FormerConfig", "mask2former-objects"),
    "rf-detr-seg": Kind("rf_detr", "RfDetrConfig", "rf-detr-seg"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a file or folder holds."""

    arch: Architecture
    """The network of geoseg that has its tensors."""
    stored: StoredWeights
    """The tensors."""
    classes: int
    """How many classes its heads know."""
    no_class: Literal["first", "last", "none"]
    """Which row of its heads is of no class."""
    names: Mapping[str, int]
    """Which of its classes, from 0 on, has which name; empty where nothing says."""
    seen: Normalisation
    """How bytes of red, green and blue are shown to it."""
    window_px: int | None = None
    """Side of its windows, where it says one."""
    config: Mapping[str, Any] | None = None
    """Of a folder of transformers: how its layers are made."""

    def rows(self, classes: Sequence[int]) -> tuple[int, list[int]]:
        """Return how many rows its heads have, and those of some classes."""
        if self.no_class == "first":
            return self.classes + 1, [0, *(1 + i for i in classes)]
        return self.classes + (self.no_class == "last"), [*classes, *([self.classes] * (self.no_class == "last"))]


def of_torchvision(path: Path, options: ImportOptions) -> Published:
    """Return what a file of maskrcnn_resnet50_fpn or of its v2 holds; raises ModelError for another."""
    from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

    stored = read_weights(path)
    scores = stored.named("roi_heads.box_predictor.cls_score.weight")
    by_version = {
        "v1": stored.named("roi_heads.box_head.fc6.weight"),
        "v2": stored.named("roi_heads.box_head.5.weight"),
    }
    heads, hidden = next(((k, v) for k, v in by_version.items() if v is not None), ("", None))
    pyramid = stored.named("backbone.fpn.layer_blocks.0.0.weight")
    pyramid = stored.named("backbone.fpn.layer_blocks.0.weight") if pyramid is None else pyramid
    if scores is None or hidden is None or pyramid is None:
        raise ModelError(f"{path}: has no heads of torchvision's Mask R-CNN; take the state_dict of such a network")
    sides = {"heads": heads, "hidden": len(hidden), "pyramid_channels": len(pyramid)}
    arch = Architecture(name="mask-rcnn", options={"anchor_px": ANCHORS_PX, **sides, **(options.network_options or {})})
    names = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"][1:]
    mean, std = (tuple(BYTE * v for v in values) for values in IMAGENET)
    return Published(
        arch=arch,
        stored=stored,
        classes=len(scores) - 1,
        no_class="first",
        names=_classes_of(dict(enumerate(names))) if len(names) == len(scores) - 1 else {},
        seen=Normalisation(mean=mean, std=std),
    )


def of_folder(path: Path, options: ImportOptions) -> Published:
    """Return what a folder of a Mask2Former or an RF-DETR-seg holds; raises ModelError for another."""
    family = str(options.family)
    told = read_config(path / "config.json")
    if told.get("model_type") != KINDS[family].model_type:
        raise ModelError(f"{path}: its config.json says {told.get('model_type')!r}, and {family} is asked for")
    config = _merged(KINDS[family], told)
    try:
        arch = Architecture(name=KINDS[family].network, options=_options(family, config))
        check_architecture(arch)
    except (ConfigError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise ModelError(f"{path}: config.json: {one_line(error)}") from error
    named = told.get("id2label")
    labels = {int(k): str(v) for k, v in named.items() if str(k).isdigit()} if isinstance(named, Mapping) else {}
    if sorted(labels) != list(range(len(labels))):
        raise ModelError(f"{path}: config.json: id2label {shown(named)}: has to number its classes from 0 on")
    return Published(
        arch=arch,
        stored=read_weights(path),
        classes=len(labels) or USUAL_CLASSES,
        no_class="last" if family == "mask2former" else "none",
        names={} if all(name.startswith(UNNAMED) for name in labels.values()) else _classes_of(labels),
        seen=normalisation_of(path),
        window_px=arch.options.get("image_px"),
        config=config,
    )


def _classes_of(labels: Mapping[int, str]) -> dict[str, int]:
    """Return the classes that have a name, by it."""
    return {name: i for i, name in labels.items() if name != NO_CLASS}


def _merged(kind: Kind, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config, with the library's values where it says none."""
    import transformers

    usual = getattr(transformers, kind.config)().to_dict()
    backbone = told.get("backbone_config")
    own = {**usual["backbone_config"], **(backbone if isinstance(backbone, Mapping) else {})}
    return {**usual, **told, "backbone_config": own}


def refuse_other_layers(network: Any, config: Mapping[str, Any], where: str) -> None:
    """Raise ModelError where a config makes layers otherwise than geoseg's network of its options does."""
    own = network.network.config.to_dict()
    for key in (*SAME, *(f"backbone_config.{key}" for key in SAME_BACKBONE)):
        theirs, ours = (reduce(lambda found, part: found.get(part), key.split("."), each) for each in (config, own))
        if (theirs or None) != (ours or None):  # what is off may be left out
            raise ModelError(f"{where}: config.json: {key} {shown(theirs)}: geoseg runs {shown(ours)}")


def _options(family: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of geoseg's network of a config, see ``_merged``."""
    backbone = config["backbone_config"]
    if family == "mask2former":
        return {
            "width": backbone["embed_dim"],
            "depths": tuple(backbone["depths"]),
            "heads": tuple(backbone["num_heads"]),
            "attention_px": backbone["window_size"],
            "hidden": config["hidden_dim"],
            "feedforward": config["encoder_feedforward_dim"],
            "encoder_layers": config["encoder_layers"],
            "decoder_layers": config["decoder_layers"],
            "attention_heads": config["num_attention_heads"],
            "queries": config["num_queries"],
        }
    return {
        "image_px": backbone["image_size"],
        "patch_px": backbone["patch_size"],
        "parts": backbone["num_windows"],
        "width": backbone["hidden_size"],
        "depth": backbone["num_hidden_layers"],
        "heads": backbone["num_attention_heads"],
        "levels": tuple(int(name.removeprefix("stage")) for name in backbone["out_features"]),
        "hidden": config["d_model"],
        "feedforward": config["decoder_ffn_dim"],
        "decoder_layers": config["decoder_layers"],
        "attention_heads": config["decoder_self_attention_heads"],
        "cross_heads": config["decoder_cross_attention_heads"],
        "queries": config["num_queries"],
        "groups": config["group_detr"],
    }
