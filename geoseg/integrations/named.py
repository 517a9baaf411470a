"""Weights by name: which file a name of torchgeo, timm or smp means, and that file, fetched where that is allowed."""

import logging
import re
import shutil
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from geoseg.disk.files import atomic
from geoseg.disk.places import weights_folder
from geoseg.errors import ConfigError, ModelError
from geoseg.integrations import torchgeo
from geoseg.models.weights import IMAGENET, read_weights
from geoseg.training.spec import WEIGHTS_NAME, EncoderStart
from geoseg.untrusted.validation import near_or_known

log = logging.getLogger(__name__)
TIMEOUT_S = 60
HUB = "https://huggingface.co"
SHA = re.compile(r"-([0-9a-f]{8})\.\w+$")  # torch hub's: the beginning of the sha256 in the name


@dataclass(frozen=True, slots=True)
class NamedFile:
    """Where weights of a name lie, and what input they were trained on."""

    url: str
    file: str
    """Its name in the folder of weights."""
    bands: str
    sensor: str | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    white: float | None
    """What mean and std are shares of; None: whatever the scenes' white is."""


def resolved(start: EncoderStart, *, allow_network: bool) -> EncoderStart:
    """Return the same start from a file on this machine, with the bands and the transform that its name stands for.

    What the config says itself stays. Raises ConfigError for an unknown name, and where the file is not there and may
    not be fetched, and ModelError where it cannot be.
    """
    named = None if start.weights is None else WEIGHTS_NAME.fullmatch(start.weights)
    if named is None:
        return start
    known = PROVIDERS[named[1]](named[2])
    path = weights_folder() / known.file
    sha256 = start.sha256 or (found[1] if (found := SHA.search(known.file)) else None)
    if not path.is_file():
        where = f"put the file of {known.url} there as {path}"
        if not allow_network:
            raise ConfigError(f"{start.weights}: not on this machine; pass --allow-network to fetch it, or {where}")
        _fetch(known.url, path, sha256, f"{start.weights}: cannot be fetched ({{}}); {where}")
    told = {
        "bands": known.bands, "sensor": known.sensor, "mean": known.mean, "std": known.std, "white": known.white,
        "sha256": sha256,
    }  # fmt: skip
    own = start.model_fields_set
    update = {key: value for key, value in told.items() if key not in own and value is not None}
    return start.model_copy(update={**update, "weights": str(path)})


def _fetch(url: str, path: Path, sha256: str | None, fault: str) -> None:
    """Fetch a file and check it before it gets its name; ``fault``: the error's words, {} for the reason."""
    log.info("fetching %s", url)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, atomic(path) as part, part.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except OSError as error:
        raise ModelError(fault.format(getattr(error, "reason", error))) from error
    try:
        read_weights(path, sha256=sha256)
    except ModelError:
        path.unlink()
        raise


def _timm(name: str) -> NamedFile:
    import timm

    try:
        cfg = timm.get_pretrained_cfg(name)
    except RuntimeError:  # an unknown tag of a known network
        cfg = None
    if cfg is None or not cfg.hf_hub_id:
        raise ConfigError(f"timm:{name}: no such weights; {near_or_known(name, timm.list_pretrained())}")
    url = f"{HUB}/{cfg.hf_hub_id}/resolve/main/{cfg.hf_hub_filename or 'model.safetensors'}"
    return NamedFile(url, f"timm-{name}{Path(url).suffix}", "red,green,blue", None, cfg.mean, cfg.std, None)


def _smp(name: str) -> NamedFile:
    from segmentation_models_pytorch.encoders import encoders

    encoder, _, weights = name.partition("/")
    if encoder not in encoders:
        raise ConfigError(f"smp:{name}: no such encoder; {near_or_known(encoder, encoders)}")
    settings = encoders[encoder]["pretrained_settings"]
    if weights not in settings:
        raise ConfigError(f"smp:{name}: {encoder} has the weights {', '.join(settings)}; write smp:{encoder}/WEIGHTS")
    found = settings[weights]
    url = f"{HUB}/{found['repo_id']}/resolve/{found['revision']}/model.safetensors"
    mean, std = (tuple(found.get(key, usual)) for key, usual in zip(("mean", "std"), IMAGENET, strict=True))
    return NamedFile(url, f"smp-{encoder}-{weights}.safetensors", "red,green,blue", None, mean, std, None)


def _torchgeo(name: str) -> NamedFile:
    found = torchgeo.sensor_weights(name)
    return NamedFile(
        found.url, found.url.rpartition("/")[2], ",".join(found.bands), found.sensor, found.mean, found.std, 1.0
    )


PROVIDERS: dict[str, Callable[[str], NamedFile]] = {"torchgeo": _torchgeo, "timm": _timm, "smp": _smp}
