"""MLM: a STAC item of the Machine Learning Model extension, and the file of its network beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.disk.files import sha256_of
from geoseg.errors import ConfigError, ModelError
from geoseg.models.exports.mlm import BUNDLE_KEY, MULTIHASH
from geoseg.models.imports.stated import described, fields_of, numbered, softmax_of
from geoseg.models.spec import ModelSpec
from geoseg.untrusted.text import parse_json, read_text_file, shown
from geoseg.values.bands import COMMON, Band
from geoseg.values.classes import ClassInfo, parse_color

LARGEST = 16 * 2**20  # bytes of an item
TASK = "semantic-segmentation"
# What (value - mean) / std is for each way to scale; of the others, mean and std are asked for.
SCALINGS = {
    "z-score": lambda s: (s["mean"], s["stddev"]),
    "min-max": lambda s: (s["minimum"], s["maximum"] - s["minimum"]),
    "offset": lambda s: (s["value"], 1.0),
    "scale": lambda s: (0.0, s["value"]),
    None: lambda _: (0.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class Item:
    """What an item says. model: the file of its network; bundle, weights: of an item that geoseg wrote."""

    model: Path
    fields: Mapping[str, Any]
    bundle: ModelSpec | None
    weights: Path | None


def read_item(path: Path) -> Item:
    """Return what an item says; raises ModelError for one that is none, or whose file does not lie beside it."""
    try:
        content = parse_json(read_text_file(path, at_most=LARGEST))
        properties, assets = content["properties"], content["assets"]
        if TASK not in properties["mlm:tasks"]:
            raise ModelError(f"{path}: is for {', '.join(properties['mlm:tasks'])}; geoseg maps with {TASK}")
        model = _file(path, _asset(assets, "mlm:model"))
        if BUNDLE_KEY in properties:
            spec = described(properties[BUNDLE_KEY], str(path))
            return Item(model, fields_of(spec), spec, _file(path, _asset(assets, "mlm:weights")))
        return Item(model, _fields(properties, _asset(assets, "mlm:model")), None, None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        if isinstance(error, ModelError | ConfigError):
            raise
        raise ModelError(f"{path}: not a STAC item of a model ({error!r})") from error


def _asset(assets: Mapping[str, Any], role: str) -> Mapping[str, Any]:
    """Return the asset of a role, an ONNX file before others."""
    found = [asset for asset in assets.values() if role in asset.get("roles", ())]
    if not found:
        raise ValueError(f"no asset has the role {role}")
    return sorted(found, key=lambda asset: not str(asset["href"]).endswith(".onnx"))[0]


def _file(item: Path, asset: Mapping[str, Any]) -> Path:
    """Return the file of an asset, which lies in the item's folder and is what the item says."""
    href = str(asset["href"])
    file = item.parent / href
    if "://" in href or not file.resolve().is_relative_to(item.parent.resolve()) or not file.is_file():
        raise ModelError(f"{item}: its asset {shown(href)} is no file in the item's folder; fetch it there first")
    checksum = str(asset.get("file:checksum", ""))
    if checksum.startswith(MULTIHASH) and sha256_of(file) != checksum.removeprefix(MULTIHASH):
        raise ModelError(f"{file}: its sha256 is not the one in {item.name}; fetch it again")
    return file


def _fields(properties: Mapping[str, Any], asset: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a description that the standard's own give."""
    (seen,) = properties["mlm:input"]
    (said,) = properties["mlm:output"]
    sources = [source.get(key, ()) for key in ("bands", "eo:bands") for source in (properties, asset)]
    known = {band["name"]: band for bands in sources for band in bands}
    names = [b if isinstance(b, str) else b["name"] for b in seen["bands"]]
    fields: dict[str, Any] = {"name": str(properties["mlm:name"])}
    if names:
        fields["bands"] = tuple(_band(name, known.get(name, {})) for name in names)
    if classes := said.get("classification:classes", said.get("classification_classes")):
        own = _classes(sorted(classes, key=lambda c: c["value"]))
        fields |= {"classes": own, "outputs": softmax_of(own)}
    if "value_scaling" in seen and (scaled := _scaled(seen["value_scaling"])):
        fields |= {"mean": tuple(m for m, _ in scaled), "std": tuple(s for _, s in scaled)}
    side = seen["input"]["shape"][seen["input"]["dim_order"].index("height")]
    fields |= {"window_px": side} if side > 0 else {}
    fields |= {"gsd_m": float(properties["gsd"])} if properties.get("gsd") else {}
    return {**fields, **({"licence": str(properties["license"])} if "license" in properties else {})}


def _band(name: str, told: Mapping[str, Any]) -> Band:
    """Return a band, by its common name where it has one; wavelengths stand in micrometres."""
    common = told.get("eo:common_name", told.get("common_name", name))
    um = told.get("eo:center_wavelength", told.get("center_wavelength"))
    return Band(name, COMMON.get(str(common).lower()) if um is None else round(1000 * float(um), 3))


def _classes(told: Sequence[Mapping[str, Any]]) -> tuple[ClassInfo, ...]:
    plain = numbered([str(c.get("title", c.get("name", c["value"]))) for c in told])
    return tuple(
        ClassInfo(c.id, c.name, parse_color(hint) if isinstance(hint := t.get("color_hint"), str) else c.color)
        for c, t in zip(plain, told, strict=True)
    )


def _scaled(told: Sequence[Mapping[str, Any]] | None) -> list[tuple[float, float]]:
    """Return (mean, std) of each scaling; none where one is of a kind that only its own code computes."""
    scalings = told or [{"type": None}]
    if any(s["type"] not in SCALINGS for s in scalings):
        return []
    return [(float(a), float(b)) for a, b in (SCALINGS[s["type"]](s) for s in scalings)]
