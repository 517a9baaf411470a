"""Checkpoints: all that a training needs to go on bit for bit, in one file without pickle.

Which values those are is said in loop.py and prompted/loop.py; windows follow from the seed and the step.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from geoseg.disk.files import atomic
from geoseg.errors import OutputError, PlanChangedError
from geoseg.training.manifest import MOST_NAMED, differences

MOST_TIME = 0.05  # share of a training that may be spent on writing checkpoints


class Held(NamedTuple):
    """What a checkpoint holds."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]  # as JSON


class Checkpoint:
    """The file that a training is kept in, as long as it is not at its end.

    every_s: seconds of training between two writings; ends of epochs are always written.
    """

    def __init__(self, path: Path, *, every_s: float = 60.0) -> None:
        self.path, self.every_s = path, every_s
        self._due = time.monotonic() + every_s

    @property
    def due(self) -> bool:
        """Whether it is time to write again."""
        return time.monotonic() >= self._due

    def write(self, held: Held, identity: Mapping[str, Any]) -> None:
        """Keep ``held``; identity: what the training that goes on must have alike, as JSON values."""
        started = time.monotonic()
        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in held.tensors.items()}
        said = {"identity": json.dumps(identity), "values": json.dumps(held.values)}
        with atomic(self.path) as temporary:
            save_file(tensors, temporary, metadata=said)
        now = time.monotonic()
        self._due = now + max(self.every_s, (now - started) / MOST_TIME)

    def read(self, identity: Mapping[str, Any]) -> Held | None:
        """Return what is kept, None where nothing is.

        Raises PlanChangedError that names what another training has otherwise, OutputError for a damaged file.
        """
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, "pt") as file:
                said = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
            before, values = json.loads(said["identity"]), json.loads(said["values"])
        except (SafetensorError, OSError, ValueError, LookupError, TypeError) as error:
            raise OutputError(f"{self.path}: cannot be read ({error}); pass --fresh to start over") from error
        changed = differences(before, json.loads(json.dumps(identity)))
        if changed:
            told = "; ".join(changed[:MOST_NAMED]) + (f"; {len(changed)} in all" if len(changed) > MOST_NAMED else "")
            raise PlanChangedError(
                f"{self.path.parent.parent}: holds a training that is not at its end, with {told}; "
                f"bring that back to go on, or pass --fresh to start over"
            )
        return Held(tensors, values)


def named_tensors(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors under names that begin with ``prefix``."""
    return {f"{prefix}.{name}": tensor for name, tensor in state.items()}


def tensors_of(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return those whose names begin with ``prefix``, without it."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return what an optimiser has gathered of each parameter, as NUMBER.NAME."""
    state = optimiser.state_dict()["state"]
    return {f"{number}.{name}": tensor for number, own in state.items() for name, tensor in own.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser what ``optimiser_tensors`` returned; rates stay as they are."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, own = name.partition(".")
        state.setdefault(int(number), {})[own] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
