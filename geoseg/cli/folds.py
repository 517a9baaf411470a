"""geoseg train --folds: one bundle for each part of the ground that validates, and one table of all of them."""

from collections.abc import Mapping
from math import isnan
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

from geoseg.cli.epochs import score_names
from geoseg.cli.in_turn import train_in_turn
from geoseg.cli.table import table
from geoseg.config.trainings import TrainConfig
from geoseg.options.train import TrainOptions

if TYPE_CHECKING:
    from geoseg.jobs.run import Listener
    from geoseg.training.history import Epoch


def run_folds(
    config: TrainConfig,
    folds: int,
    options: TrainOptions,
    *,
    overwrite: bool = False,
    listen: "Listener | None" = None,
    allow_network: bool = False,
) -> None:
    """Train OUT/fold-0, OUT/fold-1 and so on, and print the scores of each with their mean and spread.

    Checkpoints stay until all folds are trained, so that the same command goes on. Raises what a training does, before
    the first one begins where a fold has no ground, or a model is there.
    """
    from geoseg.training.split_plan import plan_split

    parts = {f"fold {fold} of {folds}": fold_of(config, fold, folds) for fold in range(folds)}
    for part in parts.values():
        plan_split(part.spec)
    found = train_in_turn(parts, options, overwrite=overwrite, listen=listen, allow_network=allow_network)
    print(f"\n{fold_table([*found.values()], score_names(config.spec))}")


def fold_of(config: TrainConfig, fold: int, folds: int) -> TrainConfig:
    """Return the training of one of ``folds`` parts; raises ConfigError where the split has no such parts."""
    part = config.with_fold(fold, folds=folds)
    return part.model_copy(update={"out": str(Path(config.out) / f"fold-{fold}")})


def fold_table(epochs: "list[Epoch]", names: list[str]) -> str:
    """Return a row of scores for each fold, their mean, and their standard deviation (n - 1), of folds with truth."""
    of_names = [[v for v in column if not isnan(v)] for column in zip(*map(_scores, epochs), strict=True)]
    means = [mean(known) if known else float("nan") for known in of_names]
    spreads = [stdev(known) if len(known) > 1 else float("nan") for known in of_names]
    ends = [["mean", "–", *map(_cell, means)], ["spread", "–", *map(_cell, spreads)]]
    return table([*_rows(dict(enumerate(epochs))), *ends], head=["fold", "epoch", *names])


def scores_table(epochs: "Mapping[str, Epoch]", names: list[str]) -> str:
    """Return a row of scores for each model, by its name."""
    return table(_rows(epochs), head=["model", "epoch", *names])


def _rows(epochs: "Mapping[str, Epoch] | Mapping[int, Epoch]") -> list[list[object]]:
    return [[name, epoch.number, *map(_cell, _scores(epoch))] for name, epoch in epochs.items()]


def _scores(epoch: "Epoch") -> list[float]:
    return [*epoch.iou, *epoch.errors]


def _cell(value: float) -> str:
    return "–" if isnan(value) else f"{value:.4f}"
