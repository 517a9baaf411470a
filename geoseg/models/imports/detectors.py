"""Detectors that others publish become bundles that run untrained: torchvision's Mask R-CNN, and transformers' folders.

The stem is adapted to the bands. Heads keep all classes, since a score is a share among them: nothing starts anew, or
the file is refused. Files are read by ``geoseg.models.weights``, which runs no code of theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from geoseg.errors import ConfigError, ModelError
from geoseg.models.adapt import adapt_stem, input_layers
from geoseg.models.architectures import build_network, check_architecture
from geoseg.models.bundle import ModelBundle, save_model
from geoseg.models.detecting import Detecting
from geoseg.models.imports.describe import known, spec_of
from geoseg.models.imports.probing import Shape
from geoseg.models.imports.stated import numbered
from geoseg.models.imports.transformers_folder import normalisation_of, read_config
from geoseg.models.spec import Architecture, Normalisation
from geoseg.models.weights import StoredWeights, match, read_weights
from geoseg.options.exchange import ImportOptions
from geoseg.untrusted.text import one_line, shown
from geoseg.values.bands import BandSet

if TYPE_CHECKING:
    from torch import Tensor, nn

USUAL_BANDS = BandSet.parse("red,green,blue")  # of all that are published
GROUND, NO_CLASS = "ground", "N/A"  # the latter: rows of COCO that were never learnt
BYTE = 255.0
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # what torchvision's detectors subtract and divide by
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
UNNAMED = "LABEL_"  # begins the names that transformers gives where nobody did
RULES = ("least_score", "per_window")


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
    """Which row of its heads, from 0 on, is of which class; empty where nothing says."""
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


def import_detector(
    path: Path, folder: Path, options: ImportOptions, *, overwrite: bool
) -> tuple[ModelBundle, tuple[str, ...]]:
    """Write the bundle of a published detector; returns it with what became of its stem and its heads, a line each.

    Raises ModelError for a file that is none of the family, ConfigError for what nobody says.
    """
    found = (_of_torchvision if options.family == "mask-rcnn" else _of_folder)(path, options)
    bands = BandSet.parse(options.bands, sensor=options.sensor) if options.bands else USUAL_BANDS
    own, shown = check_architecture(found.arch), _shown(found.seen, bands)
    window, margin, ramp = own.windows
    usual = {
        "bands": bands.bands, "mean": shown.mean, "std": shown.std, "window_px": found.window_px or window,
        "ramp_px": ramp, **({"margin_px": margin} if options.window_px is None else {}),
        **({"classes": numbered(list(found.names))} if found.names else {}),
    }  # fmt: skip
    fields = known(path, usual, options, like=None, name=folder.name)
    rows, named = [*found.names.values()] or range(found.classes), [one.name for one in fields["classes"]]
    if len(named) != len(rows):
        raise ConfigError(
            f"{path}: its heads know {len(rows)} classes, and {len(named)} are named; name them all in order, or train "
            f"from the file to learn others"
        )
    network = build_network(found.arch, in_channels=len(bands), out_channels=len(rows))
    if found.config is not None:
        _refuse_other_layers(network, found.config, str(path))
    stem, heads = _fill(network, found, bands, rows, where=str(path), size_px=own.window_from(64))
    told = {"stem": stem, "heads": heads, "classes": [len(rows), found.classes]}
    fields |= {
        "task": "objects",
        "outputs": (),
        "classes": (*fields["classes"], *([] if GROUND in named else numbered([*named, GROUND])[-1:])),
        "objects": Detecting(
            things=tuple(named), **{k: v for k in RULES if (v := getattr(options, k)) is not None}
        ),
        "training": {
            "imported": {"file": path.name, "family": options.family, "sha256": found.stored.sha256, **told}
        },
    }  # fmt: skip
    spec = spec_of(fields, Shape(0, fields["window_px"], own.multiple_px), found.arch, where=str(path))
    lines = (
        "stem: " + "; ".join(f"{band}: {how}" for band, how in stem.items()),
        f"heads: kept as they are, {found.classes} classes"
        + (f", but for {found.classes - len(rows)} that have no name" if len(rows) < found.classes else ""),
    )
    return save_model(folder, network, spec=spec, half=False, overwrite=overwrite), lines


def _fill(
    network: "nn.Module", found: Published, bands: BandSet, classes: Sequence[int], *, where: str, size_px: int
) -> tuple[dict[str, str], list[str]]:
    """Fill a network; returns where each band's filters come from, and names of the heads of which rows were kept."""
    import torch

    state = network.state_dict()
    stems = input_layers(network, len(bands), size_px)
    matched = match(found.stored.namings, state, stems=stems)
    tensors, count, heads = dict(matched.tensors), *found.rows(classes)
    kept, lacking = [], []
    for name in matched.missing:
        rows = _rows(_given(name, found.stored), state[name], count, heads)
        if rows is None:
            lacking.append(name)
        else:
            tensors[name] = rows
            kept.append(name)
    wrong = [name for name in stems if name in tensors and tensors[name].shape[1] != len(USUAL_BANDS)]
    if lacking or wrong or not stems:
        raise ModelError(
            f"{where}: {matched.in_words()}; its network is not {found.arch.name} with {found.arch.options}"
        )
    origins: dict[str, str] = {}
    for name in stems:
        adapted, by = adapt_stem(tensors[name].float().numpy(), USUAL_BANDS, bands)
        tensors[name] = torch.from_numpy(adapted)
        origins = {one.band: one.how for one in by}
    network.load_state_dict({**state, **tensors})
    network.eval()
    return origins, kept


def _given(name: str, stored: StoredWeights) -> "Tensor | None":
    """Return the tensor of the file that is called as one of the network, but for what wrappers put before names."""
    same = [
        (len(theirs), tensor)
        for naming in stored.namings
        for theirs, tensor in naming.items()
        if f".{name}".endswith(f".{theirs}") or f".{theirs}".endswith(f".{name}")
    ]
    return max(same, key=lambda pair: pair[0], default=(0, None))[1]


def _rows(given: "Tensor | None", own: "Tensor", count: int, picked: Sequence[int]) -> "Tensor | None":
    """Return some of the ``count`` groups of rows that a head's tensor has; None where it is no such tensor."""
    if given is None or given.ndim != own.ndim or given.shape[1:] != own.shape[1:] or len(given) % count:
        return None
    out = given.reshape(count, -1, *given.shape[1:])[list(picked)].flatten(0, 1)
    return out if out.shape == own.shape else None


def _shown(seen: Normalisation, bands: BandSet) -> Normalisation:
    """Return how bands are shown to a network of red, green and blue; one that it has not, as these are on average."""
    mean, std = (
        tuple(
            values[USUAL_BANDS.indices_of(BandSet((b,)))[0]] if USUAL_BANDS.holds(b) else float(np.mean(values))
            for b in bands
        )
        for values in (seen.mean, seen.std)
    )
    return Normalisation(mean=mean, std=std)


def _of_torchvision(path: Path, options: ImportOptions) -> Published:
    """Return what a file of maskrcnn_resnet50_fpn or of its v2 holds."""
    from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

    stored = read_weights(path)
    scores = _given("roi_heads.box_predictor.cls_score.weight", stored)
    hidden = [_given(f"roi_heads.box_head.{name}.weight", stored) for name in ("fc6", "5")]
    pyramid = _given("backbone.fpn.layer_blocks.0.0.weight", stored)
    pyramid = _given("backbone.fpn.layer_blocks.0.weight", stored) if pyramid is None else pyramid
    if scores is None or pyramid is None or hidden == [None, None]:
        raise ModelError(f"{path}: has no heads of torchvision's Mask R-CNN; take the state_dict of such a network")
    sides = {
        "heads": "v2" if hidden[0] is None else "v1",
        "hidden": len(next(one for one in hidden if one is not None)),
        "pyramid_channels": len(pyramid),
    }
    arch = Architecture(name="mask-rcnn", options={"anchor_px": ANCHORS_PX, **sides, **(options.network_options or {})})
    names = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"][1:]
    mean, std = (tuple(BYTE * v for v in values) for values in IMAGENET)
    return Published(
        arch=arch,
        stored=stored,
        classes=len(scores) - 1,
        no_class="first",
        names={n: i for i, n in enumerate(names) if n != NO_CLASS} if len(names) == len(scores) - 1 else {},
        seen=Normalisation(mean=mean, std=std),
    )


def _of_folder(path: Path, options: ImportOptions) -> Published:
    """Return what a folder of a Mask2Former or an RF-DETR-seg holds."""
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
    names = {str(v): int(k) for k, v in named.items() if str(k).isdigit()} if isinstance(named, Mapping) else {}
    return Published(
        arch=arch,
        stored=read_weights(path),
        classes=len(names) or 2,  # what transformers has where nothing is said
        no_class="last" if family == "mask2former" else "none",
        names={} if all(name.startswith(UNNAMED) for name in names) else names,
        seen=normalisation_of(path),
        window_px=arch.options.get("image_px"),
        config=config,
    )


def _merged(kind: Kind, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config, with the library's values where it says none."""
    import transformers

    usual = getattr(transformers, kind.config)().to_dict()
    backbone = told.get("backbone_config")
    own = {**usual["backbone_config"], **(backbone if isinstance(backbone, Mapping) else {})}
    return {**usual, **told, "backbone_config": own}


def _refuse_other_layers(network: Any, config: Mapping[str, Any], where: str) -> None:
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
