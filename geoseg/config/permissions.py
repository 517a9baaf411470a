"""What a config or a run.json may make geoseg do: read local files. More is allowed on the command line alone."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from geoseg.errors import ConfigError
from geoseg.scenes.local_only import is_elsewhere
from geoseg.untrusted.text import shown


@dataclass(frozen=True, slots=True)
class Allowed:
    """factory: it may name code to import and call; network: files elsewhere; clusters: Dask schedulers."""

    factory: bool = False
    network: bool = False
    clusters: bool = False


MOST = 5  # values that one line names
NOTHING, ANYTHING = Allowed(), Allowed(factory=True, network=True, clusters=True)


def refuse_what_is_not_allowed(values: Mapping[str, Any], allowed: Allowed, *, where: str) -> None:
    """Raise ConfigError that names every value of a config that imports code or reaches over the network."""
    refused = [(key, flag) for key, flag in _reaching(values) if not getattr(allowed, flag)]
    keys = [key for key, _ in refused[:MOST]]
    flags = {"--allow-factory" if flag == "factory" else "--allow-network" for _, flag in refused}
    if refused:
        raise ConfigError(
            f"{where}: {'; '.join(keys)}: a config alone may not import code or use the network; "
            f"where you trust it, pass {' and '.join(sorted(flags))}"
        )


def _reaching(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what needs a permission, as a file spells it, and the permission's name."""
    for path, value in _texts(values, ""):
        plain = re.sub(r"\.\d+", "", path)
        if plain.endswith("cluster.factory"):
            yield f"{path} {shown(value)}", "factory"
        elif plain.endswith(("cluster.address", "cluster.scheduler_file")):
            yield f"{path} {shown(value)}", "clusters"
        elif _is_path(plain) and is_elsewhere(value):
            yield f"{path} {shown(value)}", "network"


PATHS = (
    "against",
    "area",
    "detector",
    "file",  # of labels in layers
    "keep",  # a split's
    "raster",
    "scene",
    "scenes",
    "mask",
    "aoi",
    "model",
    "labels",
    "ignore",
    "data_folder",
    "start_from",
    "teacher",
    "out",
    "prompts",
    "refine",
    "within",
)


def _is_path(key: str) -> bool:
    """Whether a dotted key's text is a path; truth names one for each output, and other classes are names."""
    parts = key.split(".")
    return parts[-1] in PATHS or parts[-2:] == ["options", "classes"] or parts[-2:-1] == ["truth"]


def _texts(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Yield every text of a config with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _texts(part, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            yield from _texts(part, f"{path}.{i}" if len(value) > 1 else path)
