"""torchgeo: its sensor weights, its data sets as training data, and the checkpoints of its tasks as bundles.

torchgeo is imported here alone, by the functions that need it.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from geoseg.errors import ConfigError, InputError, ModelError
from geoseg.models.architectures import ARCHITECTURES, build_network
from geoseg.models.bundle import ModelBundle, save_model
from geoseg.models.imports.checkpoints import NETWORKS
from geoseg.models.spec import Architecture, ModelSpec
from geoseg.models.weights import LEAST_MATCHED, StoredWeights, hyper_parameters, match, read_weights
from geoseg.training.data_spec import LabelledScene
from geoseg.untrusted.validation import near_or_known

SENSORS = {  # what a member's name begins with: the sensor whose band names its metadata use
    "SENTINEL2": "sentinel-2", "SENTINEL1": "sentinel-1", "LANDSAT_TM": "landsat-5", "LANDSAT_ETM": "landsat-7",
    "LANDSAT_OLI": "landsat-8", "NAIP": "naip",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SensorWeights:
    """An entry of torchgeo's tables of weights."""

    url: str
    bands: tuple[str, ...]
    """In the order of the first convolution's channels, as the sensor names them."""
    sensor: str | None
    mean: tuple[float, ...]
    """Per band, in the values of the scenes it was trained on: normalised is (value - mean) / std."""
    std: tuple[float, ...]


def sensor_weights(name: str) -> SensorWeights:
    """Return what torchgeo says of weights such as ResNet18_Weights.SENTINEL2_ALL_MOCO.

    Of its transform the normalisations count, one after the other; resizing and cropping are for whole images, and a
    segmentation sees windows. Raises ConfigError for an unknown name, and for an input that is not bands of one date.
    """
    from torchgeo import models

    tables = {key: table for key, table in vars(models).items() if key.endswith("_Weights")}
    kind, _, member = name.partition(".")
    known = [f"{key}.{entry.name}" for key, table in tables.items() for entry in table]
    if name not in known:
        raise ConfigError(f"torchgeo:{name}: no such weights; {near_or_known(name, known)}")
    entry = tables[kind][member]
    bands = tuple(str(band) for band in entry.meta.get("bands") or ())
    if not bands and entry.meta.get("in_chans") == 3:  # FMoW: red, green and blue
        bands = ("R", "G", "B")
    if not bands or len({band.upper() for band in bands}) < len(bands):
        raise ConfigError(f"torchgeo:{name}: its input is not bands of one date, which alone geoseg can name")
    mean, std = _normalisation(entry.transforms, len(bands))
    sensor = next((ours for begin, ours in SENSORS.items() if member.startswith(begin)), None)
    return SensorWeights(entry.url, bands, sensor, mean, std)


def _normalisation(transforms: Any, bands: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and std of all normalisations in a transform as one, per band."""
    mean, std = np.zeros(bands), np.ones(bands)
    for stage in transforms.modules():
        if type(stage).__name__ == "Normalize":  # torchvision's, or kornia's with its values in flags
            told = getattr(stage, "flags", None) or {"mean": stage.mean, "std": stage.std}
            own_mean, own_std = (np.asarray(told[key], np.float64).ravel() for key in ("mean", "std"))
            mean, std = mean + std * own_mean, std * own_std
    return tuple(mean.tolist()), tuple(std.tolist())


def labelled_scenes(
    images: Any,
    labels: Any,
    *,
    use: Literal["split", "train", "validation", "test"] = "split",
    sensor: str | None = None,
) -> tuple[LabelledScene, ...]:
    """Return the files of two torchgeo data sets as training data: each image with the labels that cover most of it.

    images: a RasterDataset; labels: a RasterDataset, or a VectorDataset.
    Nothing is read through torchgeo but where its files lie: geoseg reads windows in a scene's own grid, with its
    nodata. Bands are the data set's own names, with wavelengths of ``sensor``. Raises InputError where no label covers
    any image.
    """
    labels_index = labels.index.to_crs(images.index.crs)
    bands = None if not images.all_bands else ",".join(images.bands or images.all_bands)
    found = []
    for files, outline in _images(images):
        shared = labels_index.geometry.intersection(outline).area.to_numpy()
        if len(shared) and shared.max() > 0:
            label = str(labels_index.iloc[int(shared.argmax())]["filepath"])
            scene = files[0] if len(files) == 1 else files
            found.append(LabelledScene(scene=scene, labels=label, bands=bands, sensor=sensor, use=use))
    if not found:
        raise InputError(f"{labels.paths}: no label covers any image of {images.paths}")
    return tuple(found)


def _images(images: Any) -> list[tuple[tuple[str, ...], Any]]:
    """Return the files of each image, one or one a band, and its outline."""
    rows = [(str(path), outline) for path, outline in zip(images.index["filepath"], images.index.geometry, strict=True)]
    if not images.separate_files:
        return [((path,), outline) for path, outline in rows]
    return [(_band_files(images, path), outline) for path, outline in rows]


def _band_files(images: Any, path: str) -> tuple[str, ...]:
    """Return the files of all bands of an image, of which one is listed."""
    found = re.match(images.filename_regex, Path(path).name, re.VERBOSE)
    assert found is not None  # the data set lists no other files
    begin, end = found.span("band")
    name = Path(path).name
    return tuple(str(Path(path).with_name(name[:begin] + band + name[end:])) for band in images.bands)


def bundle_of_task(checkpoint: str | Path, folder: Path, spec: ModelSpec, *, overwrite: bool = False) -> ModelBundle:
    """Write the checkpoint of a torchgeo SemanticSegmentationTask as a bundle.

    spec: all that a checkpoint does not say (bands, classes, normalisation, resolution); its ``arch`` is replaced by
    the checkpoint's own. Raises ModelError for another task, a network that geoseg does not build, and numbers of bands
    or classes that differ, and OutputError as ``save_model``.
    """
    stored = read_weights(checkpoint)
    arch = _architecture(checkpoint, stored, spec)
    network = build_network(arch, in_channels=len(spec.bands), out_channels=spec.out_channels)
    found = match(stored.namings, network.state_dict())
    if found.share < LEAST_MATCHED or found.missing:
        raise ModelError(f"{checkpoint}: {found.in_words()}; its network is not {arch.name} with {arch.options}")
    network.load_state_dict({**network.state_dict(), **found.tensors})
    training = {"checkpoint": Path(checkpoint).name, "sha256": stored.sha256}
    told = spec.model_copy(update={"arch": arch, "training": {**spec.training, **training}})
    return save_model(folder, network, spec=told, overwrite=overwrite)


def _architecture(checkpoint: str | Path, stored: StoredWeights, spec: ModelSpec) -> Architecture:
    told = hyper_parameters(stored)
    model, backbone = str(told.get("model", "")), str(told.get("backbone", ""))
    name = next((ours for ours in NETWORKS.get(model, ()) if ours in ARCHITECTURES), None)
    if name is None:
        known = near_or_known(model, NETWORKS)
        raise ModelError(f"{checkpoint}: model {model or 'not said'} of a torchgeo task is not known here; {known}")
    for key, own, what in (("in_channels", len(spec.bands), "bands"), ("num_classes", spec.out_channels, "classes")):
        if told.get(key, own) not in (own, None):
            raise ModelError(f"{checkpoint}: a network for {told[key]} {what}, and {own} are named")
    return Architecture(name=name, options={"encoder_name": backbone})
