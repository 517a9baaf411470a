"""Clouds and their shadows: bundles made of the networks in the installed package ukis-csmask. Nothing is fetched.

The package is the work of the German Aerospace Center (Wieland et al. 2019), Apache-2.0. Its networks are U-Nets of
smp, and their ONNX files hold the weights under smp's own names: they are copied, and nothing is renamed.
"""

import json
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoseg.errors import ConfigError, ModelError
from geoseg.models.architectures import build_network
from geoseg.models.bundle import ModelBundle, refuse_bundle, save_model
from geoseg.models.outputs import Channel, Output
from geoseg.models.spec import Architecture, ModelSpec, Normalisation
from geoseg.values.bands import BandSet
from geoseg.values.classes import ClassInfo

if TYPE_CHECKING:
    from torch import Tensor

PACKAGE = "ukis-csmask"
# Bundle: bands and level of the package's network, and the level in words.
KINDS = {
    "clouds": ("6b_l1c", "top of the atmosphere"),
    "clouds-l2a": ("6b_l2a", "surface"),
    "clouds-rgbn": ("4b_l1c", "top of the atmosphere"),
    "clouds-rgbn-l2a": ("4b_l2a", "surface"),
}
CLASSES = (  # in the order of the networks' channels
    ClassInfo(1, "clear", (120, 160, 105)),
    ClassInfo(2, "cloud", (240, 240, 245)),
    ClassInfo(3, "cloud shadow", (60, 60, 85)),
)
ENCODER = "efficientnet-b4"
PREFIX = "model."  # of the names in the ONNX files
UNUSED = ("encoder._conv_head.", "encoder._bn1.")  # the encoder's last layer, which no U-Net reads and no file holds
GSD_M = 30.0  # "for better performance requires image bands to be in approximately 30 m resolution" (mask.py)


def install(folder: Path, *, overwrite: bool = False) -> Iterator[ModelBundle]:
    """Write a bundle for each of the package's networks into ``folder``, and yield it.

    Raises ConfigError where the package, or onnx to read its files, is not installed, OutputError where bundles are
    there, and ModelError where the files are not as expected.
    """
    source = _installed()
    for name in KINDS:
        refuse_bundle(folder / name, overwrite=overwrite)
    for name, (kind, level) in KINDS.items():
        yield convert(source / f"model_{kind}", folder / name, level=level)


def _installed() -> Path:
    """Return the folder of the package, which is not imported."""
    found = {name: find_spec(name) for name in ("ukis_csmask", "onnx")}
    missing = [name.replace("_", "-") for name, spec in found.items() if spec is None]
    if missing:
        raise ConfigError(f"{' and '.join(missing)} not installed; type: pip install 'geoseg[clouds]'")
    return Path(str(found["ukis_csmask"].origin)).parent  # type: ignore[union-attr]


def convert(source: Path, folder: Path, *, level: str) -> ModelBundle:
    """Write the bundle of one network, over one that is there; ``source``: its .onnx and .json without the suffix."""
    statistics = json.loads(source.with_suffix(".json").read_text("utf-8"))["data"]["dataset_statistics"]
    spec = _spec(folder.name, statistics, level)
    network = build_network(spec.arch, in_channels=len(spec.bands), out_channels=spec.out_channels)
    weights, own = _weights(source.with_suffix(".onnx")), network.state_dict()
    held = [name for name in own if not name.startswith(UNUSED) and not name.endswith("num_batches_tracked")]
    if wrong := [name for name in held if name not in weights or weights[name].shape != own[name].shape]:
        raise ModelError(
            f"{source}.onnx: {len(wrong)} of {len(own)} tensors missing or of another shape, e.g. {wrong[0]}; "
            f"{PACKAGE} 1.0.0 is the version that is known"
        )
    network.load_state_dict({name: weights.get(name, tensor.zero_()) for name, tensor in own.items()})
    return save_model(folder, network, spec=spec, overwrite=True)


def _spec(name: str, statistics: dict[str, Any], level: str) -> ModelSpec:
    mean, std = statistics["img"]
    return ModelSpec(
        name=name,
        arch=Architecture(name="smp-unet", options={"encoder_name": ENCODER}),
        bands=BandSet.parse(",".join(statistics["band_names"])).bands,
        gsd_m=GSD_M,
        suits_m=(10.0, 60.0),
        quantity="reflectance",
        normalisation=Normalisation(mean=mean, std=std),
        window_px=256,
        margin_px=32,
        ramp_px=32,
        outputs=(Output(channels=tuple(Channel(name=c.name, class_id=c.id) for c in CLASSES)),),
        classes=CLASSES,
        ground=f"Sentinel-2 and Landsat 5, 7, 8, reflectance at the {level}",
        licence="Apache-2.0",
        attribution=f"{PACKAGE} {version(PACKAGE)}, © 2020 German Aerospace Center (DLR)",
    )


def _weights(path: Path) -> dict[str, "Tensor"]:
    """Return the tensors of an ONNX file as fp32, by their names in smp."""
    import onnx
    import torch

    graph = onnx.load(path, load_external_data=False).graph
    arrays = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer if i.name.startswith(PREFIX)}
    return {name.removeprefix(PREFIX): torch.from_numpy(a.astype("f4")) for name, a in arrays.items()}
