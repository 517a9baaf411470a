"""Kinds: what a file of a model is, by its first bytes and the names inside it; nothing of it is loaded."""

import zipfile
from pathlib import Path
from typing import Literal

from geoseg.errors import ModelError

Kind = Literal["onnx", "checkpoint", "mlm"]
LINES = {
    "TorchScript": "m = torch.jit.load({name!r}); torch.onnx.export(m, (torch.zeros(1, BANDS, 512, 512),), {to!r}, "
    "dynamo=False)",
    "torch.export": "torch.onnx.export(torch.export.load({name!r}), f={to!r}, external_data=False)",
}


def kind_of(path: Path) -> Kind:
    """Return what a model's file or folder is.

    Raises ModelError for one that is not there, and for those that run code when they are loaded, with the line of
    torch.onnx that turns them into an ONNX file.
    """
    if path.is_dir():
        if (path / "config.json").is_file() and (path / "model.safetensors").is_file():
            return "checkpoint"
        raise ModelError(f"{path}: a folder without config.json and model.safetensors; name a file, or such a folder")
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    if path.suffix == ".json" or start[:1] in (b"{", b"["):
        return "mlm"
    if path.suffix == ".safetensors" or start[:1] == b"\x80":
        return "checkpoint"
    return _of_zip(path) if start == b"PK\x03\x04" else "onnx"


def _of_zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: a damaged archive ({error}); fetch it again") from error
    if "data.pkl" in names and not any(name.startswith("code/") for name in names):
        return "checkpoint"
    found = (
        "torch.export" if "archive_format" in names or "serialized_exported_program.json" in names else "TorchScript"
    )
    line = LINES[found].format(name=path.name, to=path.with_suffix(".onnx").name)
    raise ModelError(
        f"{path}: a {found} file runs code when it is loaded; where you trust it, turn it into an ONNX file: "
        f'python -c "import torch; {line}"'
    )
