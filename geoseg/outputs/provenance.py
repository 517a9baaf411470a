"""The model that an output comes from, with licence and attribution, for what is made of that output in turn.

Rasters say it in tags, GeoPackages in JSON, which ``outputs/geopackage/tables`` writes.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

PROVENANCE = "urn:geoseg:provenance"  # marks the JSON among other metadata of a GeoPackage
MODEL_TAGS = {
    "name": "GEOSEG_MODEL",
    "sha256": "GEOSEG_MODEL_SHA256",
    "licence": "GEOSEG_LICENCE",
    "attribution": "GEOSEG_ATTRIBUTION",
}


def model_tags(models: Sequence[Mapping[str, str]], *, digest: str) -> dict[str, str]:
    """Return the tags of a raster that ``models`` have made; digest: one name for the weights of all.

    >>> model_tags([{"name": "a", "licence": "CC-BY-4.0", "attribution": ""}], digest="12")
    {'GEOSEG_MODEL': 'a', 'GEOSEG_MODEL_SHA256': '12', 'GEOSEG_LICENCE': 'CC-BY-4.0'}
    """
    texts = {key: [model[key] for model in models if model[key]] for key in ("name", "licence", "attribution")}
    texts |= {"sha256": [digest], **{key: list(dict.fromkeys(texts[key])) for key in ("licence", "attribution")}}
    return {tag: ", ".join(texts[key]) for key, tag in MODEL_TAGS.items() if texts[key]}


def model_of_tags(tags: Mapping[str, str]) -> dict[str, str] | None:
    """Return what a raster's tags say of its model, None where they name none."""
    found = {key: tags[tag] for key, tag in MODEL_TAGS.items() if tag in tags}
    return found if "name" in found else None


def model_of_layers(path: str | Path) -> Any:
    """Return what a GeoPackage of geoseg says of its model, None for other files and where it says nothing."""
    if Path(path).suffix.lower() != ".gpkg" or not Path(path).is_file():
        return None
    query = "SELECT metadata FROM gpkg_metadata WHERE md_standard_uri = ?"
    # others may have written anything under these names: that says nothing of a model of ours
    with suppress(sqlite3.Error, ValueError), closing(sqlite3.connect(_read_only(path), uri=True)) as db:
        stated = [json.loads(text) for (text,) in db.execute(query, (PROVENANCE,))]
        return next((one.get("model") for one in stated if isinstance(one, dict)), None)
    return None


def _read_only(path: str | Path) -> str:
    return f"{Path(path).absolute().as_uri()}?mode=ro"
