"""Stated: what an ONNX file's metadata says of the network: geoseg's own exports, and Deepness's keys."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from geoseg.errors import ModelError
from geoseg.models.exports.deepness import CM
from geoseg.models.exports.graph import BYTE, SPEC_KEY, TAKES_KEY
from geoseg.models.outputs import Channel, Output
from geoseg.models.spec import Architecture, ModelSpec
from geoseg.options.exchange import PALETTE
from geoseg.untrusted.text import parse_json
from geoseg.untrusted.validation import in_words
from geoseg.values.bands import BandSet
from geoseg.values.classes import ClassInfo

if TYPE_CHECKING:
    from onnx import ModelProto

NO_NETWORK = Architecture(name="onnx", options={"call_bytes": 0})  # where only the rest of a description counts
OF_THE_NETWORK = ("schema_version", "arch", "training", "probed")


def stated(model: "ModelProto", where: str) -> dict[str, Any]:
    """Return the fields of a description that a file's metadata give; mean and std apart, for as many bands as follow.

    Raises ModelError where they are not what they say they are.
    """
    props = {one.key: one.value for one in model.metadata_props}
    try:
        if SPEC_KEY in props:
            return _of_geoseg(props, where)
        return _of_deepness({key: parse_json(value.encode()) for key, value in props.items() if key in DEEPNESS})
    except ModelError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{where}: its metadata cannot be read ({error})") from error


def _of_geoseg(props: Mapping[str, str], where: str) -> dict[str, Any]:
    spec = described(parse_json(props[SPEC_KEY].encode()), where)
    if len(spec.outputs) > 1:
        raise ModelError(f"{where}: answers {len(spec.outputs)} groups, activated; export the bundle --to mlm")
    physical = {} if props.get(TAKES_KEY) == "normalised" else {"mean": (0.0,), "std": (1.0,)}
    return {**fields_of(spec), **physical}


DEEPNESS = (
    "model_type", "class_names", "resolution", "tile_size", "tiles_size", "standardization_mean",
    "standardization_std", "bands",
)  # fmt: skip


def described(content: Any, where: str) -> ModelSpec:
    """Return a description that stands elsewhere than in a bundle; raises ModelError for another."""
    try:
        return ModelSpec.model_validate({"arch": NO_NETWORK.model_dump(), **content})
    except (ValidationError, TypeError) as error:
        told = in_words(ModelSpec, error) if isinstance(error, ValidationError) else str(error)
        raise ModelError(f"{where}: {told}") from error


def fields_of(spec: ModelSpec) -> dict[str, Any]:
    """Return the fields of a description that are not of its network's own file."""
    return {name: getattr(spec, name) for name in ModelSpec.model_fields if name not in OF_THE_NETWORK}


def numbered(names: Sequence[str]) -> tuple[ClassInfo, ...]:
    """Return classes of these names, numbered from 1, with colours of their own."""
    return tuple(ClassInfo(i + 1, name, PALETTE[i % len(PALETTE)]) for i, name in enumerate(names))


def softmax_of(classes: Sequence[ClassInfo]) -> tuple[Output, ...]:
    """Return the one group of a network with a channel for each class."""
    return (Output(channels=tuple(Channel(name=c.name, class_id=c.id) for c in classes)),)


def _of_deepness(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of Deepness's keys; it feeds bytes over 255, whatever the raster holds."""
    if not {"model_type", "class_names"} <= told.keys():
        return {}
    if told["model_type"] != "Segmentor":
        raise ValueError(f"model_type {told['model_type']}: geoseg maps with a Segmentor alone")
    names = [str(told["class_names"][key]) for key in sorted(told["class_names"], key=int)]
    mean, std = (told.get(f"standardization_{what}") or [usual] for what, usual in (("mean", 0.0), ("std", 1.0)))
    fields: dict[str, Any] = {
        "classes": numbered(names),
        "outputs": softmax_of(numbered(names)),
        "mean": tuple(float(v) * BYTE for v in mean),
        "std": tuple(float(v) * BYTE for v in std),
    }
    side = told.get("tile_size", told.get("tiles_size"))
    fields |= {} if side is None else {"window_px": int(side)}
    fields |= {"gsd_m": float(told["resolution"]) / CM} if told.get("resolution") else {}
    return {**fields, **({"bands": BandSet.parse(",".join(told["bands"])).bands} if told.get("bands") else {})}
