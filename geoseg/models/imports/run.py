"""Import: the one call that makes a bundle of a network from elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geoseg.disk.files import sha256_of
from geoseg.errors import ModelError
from geoseg.models.bundle import ModelBundle, load_model, refuse_bundle, write_bundle
from geoseg.models.imports.checkpoints import import_checkpoint
from geoseg.models.imports.describe import known, spec_of
from geoseg.models.imports.kinds import kind_of
from geoseg.models.imports.mlm import read_item
from geoseg.models.imports.probing import examine, isolated
from geoseg.models.imports.stated import stated
from geoseg.models.onnx_file import read_model, require_onnx
from geoseg.models.spec import Architecture
from geoseg.options.exchange import DETECTORS, ImportOptions

FILES = {".safetensors": "weights.safetensors", ".onnx": "model.onnx"}  # of a bundle, by suffix
USUAL_PX = 512  # side of the windows of a network that takes any


@dataclass(frozen=True, slots=True)
class Imported:
    """A bundle that was made."""

    bundle: ModelBundle
    assumed: tuple[str, ...]
    """What nobody said and probing found, a line each."""
    made: tuple[str, ...] = ()
    """What became of a detector's stem and heads, a line each."""
    margin_assumed: bool = False
    """Nobody said the margin of its windows."""


def import_model(
    path: Path, folder: Path, options: ImportOptions, *, like: str | None = None, overwrite: bool = False
) -> Imported:
    """Write the bundle of a network's file into ``folder``.

    like: a bundle whose bands, classes, values and windows it shares. Raises ConfigError for what is missing or does
    not fit, ModelError for a file that cannot be used, OutputError where a bundle lies there.
    """
    refuse_bundle(folder, overwrite=overwrite)
    if options.family is not None:
        return _of_family(path, folder, options, overwrite=overwrite)
    kind = kind_of(path)
    if kind == "mlm":
        item = read_item(path)
        if item.bundle is not None and item.weights is not None and options == ImportOptions() and like is None:
            file = FILES[item.weights.suffix]
            return Imported(write_bundle(folder, item.weights.read_bytes(), spec=item.bundle, file=file), ())
        if kind_of(item.model) != "onnx":
            raise ModelError(f"{path}: its network {item.model.name} is no ONNX file; export it as one")
        return _of_onnx(item.model, folder, options, read=item.fields, like=like)
    if kind == "checkpoint":
        own = None if like is None else load_model(like).spec
        made = import_checkpoint(path, folder, options, like=own, overwrite=overwrite)
        return Imported(made, (), margin_assumed=options.margin_px is None and own is None)
    return _of_onnx(path, folder, options, read={}, like=like)


def _of_family(path: Path, folder: Path, options: ImportOptions, *, overwrite: bool) -> Imported:
    if options.family == "yolo-seg":
        from geoseg.models.imports.yolo_seg import import_yolo_seg

        content, spec = import_yolo_seg(path, options, name=options.model_name or folder.name)
        return Imported(write_bundle(folder, content, spec=spec, file="model.onnx"), ())
    if options.family in DETECTORS:
        from geoseg.models.imports.detectors import import_detector  # torch

        bundle, made = import_detector(path, folder, options, overwrite=overwrite)
        return Imported(bundle, (), made)
    from geoseg.models.imports.transformers_folder import import_folder  # torch and transformers

    return Imported(import_folder(path, folder, options), ())


def _of_onnx(
    path: Path, folder: Path, options: ImportOptions, *, read: Mapping[str, Any], like: str | None
) -> Imported:
    require_onnx()
    spec = None if like is None else load_model(like).spec
    read = {**stated(read_model(path), str(path)), **read}
    fields = known(path, read, options, like=spec, name=folder.name)
    usual_px, options = fields.get("window_px", USUAL_PX), replace(options, multiple_px=fields.get("multiple_px"))
    found = isolated(examine, path, len(fields["bands"]), options, usual_px, where=str(path))
    fixed = {"fixed_px": found.shape.window_px} if found.fixed else {}
    arch = Architecture(name="onnx", options={"call_bytes": found.call_bytes, **fixed})
    fields["training"] = {"imported": {"file": path.name, "sha256": sha256_of(path), "assumed": list(found.assumed)}}
    told = spec_of(fields, found.shape, arch, where=str(path))
    made = write_bundle(folder, found.content, spec=told, file="model.onnx")
    return Imported(made, found.assumed, margin_assumed="margin_px" not in fields)
