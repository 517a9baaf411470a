"""MLM: a bundle as a STAC item of the Machine Learning Model extension, with its files as assets.

The standard's own fields are for other programs; ``geoseg:bundle`` holds the description, so that nothing is lost.
"""

import hashlib
import json
import re
from typing import Any

from geoseg.models.bundle import ModelBundle
from geoseg.models.outputs import Channel
from geoseg.models.spec import ModelSpec

SCHEMA = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"
OTHERS = (
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)
BUNDLE_KEY = "geoseg:bundle"
ITEM_FILE, MODEL_FILE = "item.json", "model.onnx"
EARTH = [-180.0, -90.0, 180.0, 90.0]
TITLES = {"mlm:model": "the network, for normalised windows", "mlm:weights": "the file of geoseg's bundle"}
NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]")  # of a model
NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z_-]")  # of classes; titles may hold all
MULTIHASH = "1220"  # before a sha256: its code and length, as file:checksum asks


def item(bundle: ModelBundle, model: bytes, weights: bytes, *, names: tuple[str, str]) -> dict[str, Any]:
    """Return the item of a bundle; model: its network as ONNX, which takes normalised windows; weights: its own file;
    names: of the network's input and answer.

    The same bundle gives the same item: no time and no place of its making stands in it.
    """
    spec, (west, south, east, north) = bundle.spec, EARTH
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [SCHEMA, *OTHERS],
        "id": spec.name,
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "bbox": EARTH,
        "properties": _properties(bundle, *names),
        "assets": {
            "model": {
                **_asset(MODEL_FILE, model, "onnx", ["mlm:model", "model"]),
                "mlm:artifact_type": "onnx",
                "bands": _bands(spec),  # STAC wants bands of an item on an asset too, MLM on the item
            },
            "weights": _asset(weights_file(bundle), weights, _kind(bundle), ["mlm:weights", "weights"]),
        },
        "links": [],
    }


def weights_file(bundle: ModelBundle) -> str:
    """Return the name of the asset with the bundle's own file; a bundle's ONNX file is another than the model's."""
    return "network.onnx" if bundle.weights.file == MODEL_FILE else bundle.weights.file


def _kind(bundle: ModelBundle) -> str:
    return bundle.weights.file.rpartition(".")[2]


def _asset(name: str, content: bytes, kind: str, roles: list[str]) -> dict[str, Any]:
    return {
        "href": f"./{name}",
        "title": TITLES[roles[0]],
        "type": f"application/octet-stream; application={kind}",
        "roles": roles,
        "file:size": len(content),
        "file:checksum": MULTIHASH + hashlib.sha256(content).hexdigest(),
    }


def _properties(bundle: ModelBundle, fed: str, answer: str) -> dict[str, Any]:
    spec = bundle.spec
    told = {"license": spec.licence or "other", "description": spec.ground} if spec.ground else {}
    return {
        "datetime": None,
        "start_datetime": "1900-01-01T00:00:00Z",
        "end_datetime": "9999-12-31T23:59:59Z",
        **told,
        **({} if spec.gsd_m is None else {"gsd": spec.gsd_m}),
        "bands": _bands(spec),
        "mlm:name": _name(spec.name),
        "mlm:architecture": spec.arch.name,
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:framework": "ONNX",
        "mlm:batch_size_suggestion": 1,
        "mlm:pretrained": True,
        "mlm:input": [{"name": fed, **_input(spec)}],
        "mlm:output": [{"name": answer, **_output(spec)}],
        BUNDLE_KEY: json.loads(spec.model_dump_json()),
    }


def _name(own: str) -> str:
    """Return a model's name as the standard allows it; its own stands in the description.

    >>> _name("land-cover"), _name("Dächer 2026"), _name("1")
    ('land-cover', 'D_cher_2026', 'model-1')
    """
    if NAME.fullmatch(own):
        return own
    plain = NOT_IN_NAMES.sub("_", own).strip("_-") or "of-geoseg"
    return plain if NAME.fullmatch(plain) else f"model-{plain}"


def _bands(spec: ModelSpec) -> list[dict[str, Any]]:
    known = ({} if b.wavelength_nm is None else {"eo:center_wavelength": b.wavelength_nm / 1000} for b in spec.bands)
    return [{"name": band.name, **more} for band, more in zip(spec.bands, known, strict=True)]


def _input(spec: ModelSpec) -> dict[str, Any]:
    side, normal = spec.window_px, spec.normalisation
    return {
        "bands": [b.name for b in spec.bands],
        "input": {
            "shape": [1, len(spec.bands), side, side],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": [
            {"type": "z-score", "mean": mean, "stddev": std} for mean, std in zip(normal.mean, normal.std, strict=True)
        ],
        "resize_type": None,
        "pre_processing_function": None,
    }


def _output(spec: ModelSpec) -> dict[str, Any]:
    side = spec.window_px
    return {
        "tasks": ["semantic-segmentation"],
        "result": {
            "shape": [1, spec.out_channels, side, side],
            "dim_order": ["batch", "class", "height", "width"],
            "data_type": "float32",
        },
        "classification:classes": [
            {
                "value": i,
                "name": NOT_IN_NAMES.sub("_", c.name),
                "title": c.name,
                "description": c.name,  # which MLM 1.5.2 asks for
                **_hint(spec, c),
            }
            for i, c in enumerate(c for group in spec.outputs for c in group.channels)
        ],
        "post_processing_function": None,
    }


def _hint(spec: ModelSpec, channel: Channel) -> dict[str, str]:
    """Return the colour of the class that a channel counts towards."""
    if channel.class_id is None:
        return {}
    return {"color_hint": spec.class_map.by_id(channel.class_id).hex.lstrip("#").upper()}
