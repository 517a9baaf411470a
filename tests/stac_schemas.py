"""What the published JSON schemas say of a STAC item. They lie in tests/data/stac; nothing is fetched."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag

import fastjsonschema

FOLDER = Path(__file__).parent / "data" / "stac"
CORE = "https://schemas.stacspec.org/v1.1.0/item-spec/json-schema/"
# Schemas that others refer to and that are not here, by the little that is asked of an item of ours.
STAND_INS = {
    "https://geojson.org/schema/Feature.json": {"required": ["type", "geometry", "properties"]},
    "https://geojson.org/schema/Geometry.json": {"required": ["type", "coordinates"]},
    "https://proj.org/schemas/v0.7/projjson.schema.json": {"type": "object"},
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json": {
        "definitions": {"bands": {"items": {"properties": {"data_type": {"type": "string"}}}}}
    },
}


def violations(item: dict[str, Any]) -> list[str]:
    """Return what is wrong with an item by the schema of STAC 1.1.0 and by those of all extensions that it names."""
    found = []
    for address in (f"{CORE}item.json", *item["stac_extensions"]):
        try:
            _validator(address)(json.loads(json.dumps(item)))  # as it comes from a file: lists, not tuples
        except fastjsonschema.JsonSchemaValueException as error:
            found.append(f"{address}: {error.message}")
    return found


@cache
def _validator(address: str) -> Callable[[Any], Any]:
    return fastjsonschema.compile(_schema(address), handlers={"https": _schema})


def _schema(address: str) -> Any:
    """Return a schema by its address; raises FileNotFoundError where it is not here."""
    plain = urldefrag(address)[0]
    if plain in STAND_INS:
        return STAND_INS[plain]
    parts = plain.split("/")
    name = parts[-1] if plain.startswith(CORE) else f"{parts[3]}-{parts[4]}.json"
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))
