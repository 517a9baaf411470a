"""A checkpoint's tensors as safetensors, in a process of its own: ``python -m geoseg.models.unpickle CHECKPOINT OUT``.

torch reads it with ``weights_only``: what needs code is refused, and named on standard error. Numbers and texts of its
hyperparameters go into the metadata.
"""

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

CONTAINERS = ("state_dict", "model_state_dict", "teacher", "student", "model", "net", "params")
GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


def tensors_in(content: Any) -> "dict[str, Tensor]":
    """Return the tensors of a checkpoint: its own, or those of the first container that holds any; by dotted names."""
    from torch import Tensor

    if not isinstance(content, dict):
        return {}
    own = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    found = (tensors_in(content[name]) for name in CONTAINERS if isinstance(content.get(name), dict))
    return own or next((tensors for tensors in found if tensors), {})


def plain(value: Any) -> Any:
    """Return what JSON can hold of a value."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value if isinstance(value, str | int | float | bool | type(None)) else str(type(value).__name__)


def main(checkpoint: str, out: str) -> int:
    """Convert; returns 0, or 4 with one line on standard error."""
    import torch
    from safetensors.torch import save_file

    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the pickle makes it raise
        wanted = GLOBAL.search(str(error))
        print(f"it wants to import {wanted[1]}" if wanted else f"{type(error).__name__}", file=sys.stderr)
        return 4
    tensors = {name: value.detach().contiguous().clone() for name, value in tensors_in(content).items()}
    if not tensors:
        print("it holds no tensors by name", file=sys.stderr)
        return 4
    told = content.get("hyper_parameters", content.get("hparams", {})) if isinstance(content, dict) else {}
    save_file(tensors, Path(out), metadata={"hyper_parameters": json.dumps(plain(told))})
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
