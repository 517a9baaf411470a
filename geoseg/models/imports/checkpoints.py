"""Checkpoints: tensors for a network that geoseg builds, from smp's folders, Lightning, torchgeo's tasks, or bare.

Files are read by ``geoseg.models.weights``, which runs no code of theirs.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoseg.errors import ConfigError, ModelError
from geoseg.models.architectures import ARCHITECTURES, build_network, check_architecture
from geoseg.models.bundle import ModelBundle, save_model
from geoseg.models.imports.describe import known, spec_of
from geoseg.models.imports.probing import Shape
from geoseg.models.spec import Architecture, ModelSpec
from geoseg.models.weights import StoredWeights, hyper_parameters, match, read_weights
from geoseg.options.exchange import ImportOptions
from geoseg.untrusted.text import parse_json, read_text_file
from geoseg.untrusted.validation import near_or_known

if TYPE_CHECKING:
    from torch import nn

# What smp and torchgeo call a network, in lower case: geoseg's names for it, of which the first there is counts.
NETWORKS = {
    "unet": ("unet", "smp-unet"), "unetplusplus": ("unet++",), "unet++": ("unet++",), "manet": ("manet",),
    "linknet": ("linknet",), "fpn": ("fpn",), "pspnet": ("pspnet",), "pan": ("pan",), "deeplabv3": ("deeplabv3",),
    "deeplabv3plus": ("deeplabv3+",), "deeplabv3+": ("deeplabv3+",), "upernet": ("upernet",),
    "segformer": ("segformer",), "dpt": ("dpt",),
}  # fmt: skip
COUNTS = {"in_channels": "bands", "classes": "classes", "num_classes": "classes"}
# Keys of smp that say nothing of a network's layers, or that geoseg sets itself.
NO_OPTIONS = (*COUNTS, "encoder_weights", "activation", "aux_params")
RENAMED = {"decoder_use_batchnorm": "decoder_use_norm"}
LARGEST = 2**20  # bytes of config.json
USUAL_PX = 512


def import_checkpoint(
    path: Path, folder: Path, options: ImportOptions, *, like: ModelSpec | None, overwrite: bool
) -> ModelBundle:
    """Write the bundle of a checkpoint.

    The network is that of --network, else the one that the file says, else that of the bundle it is like. Raises
    ConfigError for what is missing, ModelError where the tensors are not those of the network.
    """
    stored, told = read_weights(path), {}
    if path.is_dir():
        told = _config(path / "config.json")
    told = told or dict(hyper_parameters(stored))
    arch = _architecture(path, told, options, like)
    fields = known(path, {}, options, like=like, name=folder.name)
    outputs = sum(len(group.channels) for group in fields["outputs"])
    for key, what in COUNTS.items():
        own = len(fields["bands"]) if what == "bands" else outputs
        if told.get(key) not in (None, own):
            raise ConfigError(f"{path}: a network for {told[key]} {what}, and {own} are named; name them all in order")
    network = build_network(arch, in_channels=len(fields["bands"]), out_channels=outputs)
    _fill(network, stored, path, arch)
    stride = check_architecture(arch).multiple_px
    shape = Shape(outputs, fields.get("window_px", USUAL_PX), fields.get("multiple_px", stride))
    fields["training"] = {"imported": {"file": path.name, "sha256": stored.sha256, "assumed": []}}
    spec = spec_of(fields, shape, arch, where=str(path))
    return save_model(folder, network, spec=spec, half=False, overwrite=overwrite)


def _config(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(read_text_file(path, at_most=LARGEST))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({error})") from error
    return content if isinstance(content, dict) else {}


def _architecture(path: Path, told: Mapping[str, Any], options: ImportOptions, like: ModelSpec | None) -> Architecture:
    if options.network is not None:
        return Architecture(name=options.network, options=dict(options.network_options or {}))
    kind = str(told.get("_model_class", told.get("model", ""))).lower()
    if kind not in NETWORKS:
        if like is not None:
            return like.arch
        hint = f"; {near_or_known(kind, NETWORKS)}" if kind else ""
        raise ConfigError(
            f"{path}: does not say a network that geoseg knows{hint}; name it (--network NAME, --network-options JSON) "
            f"or a bundle that has it (--like BUNDLE)"
        )
    name = next((ours for ours in NETWORKS[kind] if ours in ARCHITECTURES), None)
    if name is None:
        raise ModelError(f"{path}: a {kind}, which geoseg does not build; export it as ONNX")
    if "backbone" in told:  # torchgeo's task: what else it has is not of the network
        return Architecture(name=name, options={"encoder_name": told["backbone"]})
    kept = {RENAMED.get(k, k): v for k, v in told.items() if k not in NO_OPTIONS and not k.startswith("_")}
    return Architecture(name=name, options={k: v for k, v in kept.items() if v is not None})


def _fill(network: "nn.Module", stored: StoredWeights, path: Path, arch: Architecture) -> None:
    found = match(stored.namings, network.state_dict())
    if found.missing:
        raise ModelError(f"{path}: {found.in_words()}; its network is not {arch.name} with {json.dumps(arch.options)}")
    network.load_state_dict({**network.state_dict(), **found.tensors})
    network.eval()
