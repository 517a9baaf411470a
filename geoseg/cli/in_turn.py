"""Trainings that follow each other: none begins where one is refused, and after a kill the same command goes on."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from geoseg.cli.train import forget, refuse_models, train_one
from geoseg.config.trainings import TrainConfig
from geoseg.errors import TryAgainError
from geoseg.options.train import TrainOptions

if TYPE_CHECKING:
    from geoseg.jobs.run import Listener
    from geoseg.training.history import Epoch


def train_in_turn(
    parts: Mapping[str, TrainConfig],
    options: TrainOptions,
    *,
    overwrite: bool = False,
    listen: "Listener | None" = None,
    allow_network: bool = False,
    before: Callable[[TrainConfig], None] = lambda _: None,
) -> "dict[str, Epoch]":
    """Train all parts, and return the epoch that each one keeps; checkpoints stay until all of them are trained.

    parts: by what they are called; before: called as one begins. Raises what a training does, OutputError for a model
    that is there before any of them begins, and TryAgainError where one is interrupted.
    """
    for part in parts.values():
        refuse_models(part, overwrite=overwrite)
    for number, (name, part) in enumerate(parts.items()):
        print(f"{'\n' if number else ''}{name}: {part.out}", flush=True)
        before(part)
        if not train_one(part, options, listen=listen, allow_network=allow_network, keep=True):
            raise TryAgainError(f"interrupted in {name}; run the same command again, it goes on there")
    epochs = {name: kept_epoch(Path(part.out)) for name, part in parts.items()}
    for part in parts.values():
        forget(Path(part.out))
    return epochs


def kept_epoch(folder: Path) -> "Epoch":
    """Return the epoch whose network a trained bundle holds."""
    from geoseg.models.bundle import load_model
    from geoseg.training.history import of_history

    told = load_model(folder).spec.training
    return of_history(next(row for row in told["history"] if row["number"] == told["kept_epoch"]), 0.0)
