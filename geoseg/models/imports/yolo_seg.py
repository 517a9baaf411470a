"""YOLO networks of masks: an ONNX file, as their trainers export it, becomes a bundle of the task objects."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from geoseg.errors import ConfigError, ModelError
from geoseg.models.architectures.yolo_seg import YoloSegOptions
from geoseg.models.detecting import Detecting
from geoseg.models.imports.describe import known, spec_of
from geoseg.models.imports.probing import Shape, isolated, measured
from geoseg.models.imports.reading import signature, size_of
from geoseg.models.imports.stated import numbered
from geoseg.models.onnx_file import read_model, require_onnx
from geoseg.models.spec import Architecture, ModelSpec
from geoseg.options.exchange import ImportOptions
from geoseg.untrusted.text import one_line, shown
from geoseg.values.bands import BandSet

if TYPE_CHECKING:
    from onnx import ModelProto

USUAL_PX, STRIDE = 640, 32
BYTE = 255.0
GROUND = "ground"
USUAL_RULES = {"least_score": 0.25, "per_window": 300}  # as their trainers predict
Head = Literal["anchors", "end-to-end"]


@dataclass(frozen=True, slots=True)
class Layout:
    """What was found in a file's answer."""

    candidates: str
    """Name of the output."""
    prototypes: str
    """Name of the output."""
    head: Head
    """See ``YoloSegOptions``."""


def import_yolo_seg(path: Path, options: ImportOptions, *, name: str) -> tuple[bytes, ModelSpec]:
    """Return the ONNX file of a bundle, and its description.

    Raises ModelError for a file that is no YOLO network of masks, ConfigError for what nobody says.
    """
    require_onnx()
    model = read_model(path)
    read = _stated(model, str(path))
    own = signature(model, str(path), output=model.graph.output[0].name if model.graph.output else None)
    side = size_of(own, str(path), "nchw")
    if side and options.window_px not in (None, side):
        raise ConfigError(f"{path}: takes windows of {side} px alone, not of {options.window_px}")
    window_px = side or options.window_px or read.pop("window_px", USUAL_PX)
    bands = BandSet.parse(options.bands or "red,green,blue", sensor=options.sensor).bands
    usual = {"mean": (0.0,), "std": (BYTE,), "bands": bands, "ramp_px": 0}
    fields = known(path, {**usual, **read, "window_px": window_px}, options, like=None, name=name)
    names = [one.name for one in fields["classes"]]
    found, call_bytes = isolated(
        _examined, model.SerializeToString(), (len(bands), window_px, window_px), len(names), str(path),
        where=str(path),
    )  # fmt: skip
    fixed = {"fixed_px": side} if side else {}
    asked = {key: value for key in USUAL_RULES if (value := getattr(options, key)) is not None}
    arch = YoloSegOptions(
        call_bytes=call_bytes, candidates=found.candidates, prototypes=found.prototypes, head=found.head, **fixed
    )
    fields |= {
        "task": "objects",
        "outputs": (),
        "classes": (*fields["classes"], *([] if GROUND in names else numbered([*names, GROUND])[-1:])),
        "objects": Detecting(things=tuple(names), **{**USUAL_RULES, **asked}),
        "training": {"imported": {"file": path.name, "family": "yolo-seg"}},
    }
    told = Architecture(name="onnx-yolo-seg", options=arch.model_dump(exclude_defaults=True))
    return model.SerializeToString(), spec_of(fields, Shape(0, window_px, STRIDE), told, where=str(path))


def _stated(model: "ModelProto", where: str) -> dict[str, Any]:
    """Return what the trainer's metadata say: classes, and the side of windows; raises ModelError for other tasks."""
    props = {one.key: one.value for one in model.metadata_props}
    if (task := props.get("task", "segment")) != "segment":
        raise ModelError(f"{where}: its metadata say the task {shown(task)}; masks come of a model of the task segment")
    try:
        names, sides = (ast.literal_eval(props.get(key, "None")) for key in ("names", "imgsz"))
        listed = [str(names[key]) for key in sorted(names)] if isinstance(names, Mapping) else None
        return {
            **({"classes": numbered(listed), "outputs": ()} if listed else {}),
            **({"window_px": int(sides[0])} if sides else {}),
        }
    except (ValueError, SyntaxError, TypeError, IndexError, MemoryError, RecursionError) as error:
        raise ModelError(f"{where}: its metadata cannot be read ({one_line(error)})") from error


def _examined(content: bytes, shape: tuple[int, int, int], classes: int, where: str) -> tuple[Layout, int]:
    """Run a file once and return what it answers, and what a call holds; in a process of its own."""
    from geoseg.models.backends.onnx import answers, open_session

    session = open_session(content, where, arena=False)
    names = [one.name for one in session.get_outputs()]
    said = answers(session, np.zeros(shape, np.float32), names)
    found = layout_of({name: tuple(one.shape) for name, one in zip(names, said, strict=True)}, classes, where)
    return found, measured(content, shape, names)


def layout_of(shapes: Mapping[str, tuple[int, ...]], classes: int, where: str) -> Layout:
    """Return what a network answers whose outputs have these shapes; raises ModelError where they hold no masks.

    >>> layout_of({"a": (1, 37, 8400), "b": (1, 32, 160, 160)}, 1, "f").head
    'anchors'
    """
    told = ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in shapes.items())
    maps = {name: shape[1] for name, shape in shapes.items() if len(shape) == 4}
    lists = {name: shape for name, shape in shapes.items() if len(shape) == 3}
    if len(maps) != 1 or len(lists) != 1:
        raise ModelError(
            f"{where}: answers {told}: no candidates with prototypes of masks; export a segmentation model"
        )
    ((prototypes, masks),), ((candidates, (_, rows, cols)),) = maps.items(), lists.items()
    if rows == 4 + classes + masks:
        return Layout(candidates, prototypes, "anchors")
    if cols == 6 + masks:
        return Layout(candidates, prototypes, "end-to-end")
    raise ModelError(
        f"{where}: answers {told}: with {masks} prototypes and {classes} classes, {4 + classes + masks} x N or N x "
        f"{6 + masks} are read; name all classes (--classes), or export the model anew"
    )
