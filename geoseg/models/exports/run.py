"""Export: the one call that writes a bundle's network for other programs."""

import json
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.disk.files import atomic
from geoseg.disk.places import refuse_file
from geoseg.errors import ConfigError
from geoseg.models.bundle import ModelBundle
from geoseg.models.exports import deepness, mlm
from geoseg.models.exports.graph import Takes, exported
from geoseg.models.exports.parity import LEAST_EQUAL, LEAST_EQUAL_INT8, Parity, compared, fed, refuse_unlike
from geoseg.models.exports.runtimes import by_onnxruntime, by_openvino, int8
from geoseg.models.onnx_file import require_onnx
from geoseg.options.exchange import ExportOptions

PARITY_FILE = "parity.json"
FILES = {
    "onnx": ("model.onnx",),
    "deepness": ("model.onnx",),
    "openvino": ("model.xml", "model.bin"),
    "mlm": (mlm.ITEM_FILE, mlm.MODEL_FILE),
}


def names(bundle: ModelBundle, options: ExportOptions) -> tuple[str, ...]:
    """Return the names of the files that an export writes."""
    more = (mlm.weights_file(bundle),) if options.to == "mlm" else ()
    return (*FILES[options.to], *more, PARITY_FILE)


def refuse_export(bundle: ModelBundle, folder: Path, options: ExportOptions, *, overwrite: bool) -> None:
    """Raise ConfigError for models of no classes or missing libraries, OutputError where files lie in the way."""
    if not bundle.spec.classes:
        raise ConfigError(f"{bundle.path}: answers no classes, by which exports are measured; it runs in geoseg alone")
    for name in names(bundle, options):
        refuse_file(folder / name, overwrite=overwrite, inputs=[*map(str, Path(bundle.path).iterdir())])
    require_onnx()


def export_model(bundle: ModelBundle, folder: Path, options: ExportOptions, windows: NDArray[np.float32]) -> Parity:
    """Write a bundle's network into ``folder``, and what was measured of it on normalised ``windows`` (N, C, h, w).

    With int8, every second window gives the ranges, and the others are measured. Raises FaultFoundError, and writes
    nothing, where too few classes are the network's own; ConfigError for too few windows.
    """
    takes: Takes = "bytes" if options.to == "deepness" else "physical" if options.physical else "normalised"
    model = exported(bundle, takes=takes, per_class=options.to == "deepness")
    judged = windows
    if options.int8:
        if len(windows) < 2:
            raise ConfigError("int8: 2 windows are the least, one for ranges and one to measure; take a larger scene")
        judged = windows[1::2]
        content = int8(model, fed(windows[::2], bundle.spec, takes))
    else:
        content = model.SerializeToString(deterministic=True)
    if options.to == "deepness":
        content = _with_metadata(content, deepness.metadata(bundle))
    with tempfile.TemporaryDirectory() as scratch:
        run, runtime = by_openvino(content, Path(scratch)) if options.to == "openvino" else by_onnxruntime(content)
        least = LEAST_EQUAL_INT8 if options.int8 else LEAST_EQUAL
        parity = compared(bundle, run, judged, takes=takes, runtime=runtime, least=least)
        refuse_unlike(parity, bundle.path)
        made = {name: (Path(scratch) / name).read_bytes() for name in FILES["openvino"] if options.to == "openvino"}
    if options.to != "openvino":
        made = {"model.onnx": content}
    if options.to == "mlm":
        made[mlm.weights_file(bundle)] = own = bundle.content()
        values = model.graph.input[0].name, model.graph.output[0].name
        made[mlm.ITEM_FILE] = _json(mlm.item(bundle, content, own, names=values))
    made[PARITY_FILE] = _json({"model": bundle.spec.name, "digest": bundle.digest, "takes": takes, **parity.as_json()})
    folder.mkdir(parents=True, exist_ok=True)
    for name, written in made.items():
        with atomic(folder / name) as file:
            file.write_bytes(written)
    return parity


def _with_metadata(content: bytes, told: dict[str, str]) -> bytes:
    from onnx import helper, load_model_from_string

    model = load_model_from_string(content)
    helper.set_model_props(model, told)
    return bytes(model.SerializeToString(deterministic=True))


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
