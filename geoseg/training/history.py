"""The table of a training: a row per epoch, and which of them is the best."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, isfinite, isnan, nan
from typing import Any


@dataclass(frozen=True, slots=True)
class Epoch:
    """One row of the training table.

    iou: per class of the class table, NaN for those that validation has no truth of; score: what early stop watches,
    the IoU of the polygon class, else the mean over the classes there are.
    """

    number: int
    train_loss: float
    validation_loss: float
    iou: tuple[float, ...]
    score: float
    seconds: float
    best: bool
    errors: tuple[float, ...] = ()
    """Mean absolute error of each channel beside the classes, NaN for those that validation has no truth of."""

    @property
    def rank(self) -> tuple[float, float]:
        """What makes an epoch better than another: a higher score, or one as high with a lower validation loss."""
        return self.score, -self.validation_loss if isfinite(self.validation_loss) else -inf


def history(epoch: Epoch) -> dict[str, object]:
    """Return a row of the table as JSON values; a class without truth has none."""
    row = {k: v for k, v in asdict(epoch).items() if k != "seconds"}
    kinds = ("iou", "errors") if epoch.errors else ("iou",)
    row.pop("errors")
    return row | {kind: [None if isnan(v) else v for v in getattr(epoch, kind)] for kind in kinds}


def of_history(row: Mapping[str, Any], seconds: float) -> Epoch:
    """Return the epoch that a row of ``history`` is of."""
    scores = {k: tuple(nan if v is None else v for v in row[k]) for k in ("iou", "errors") if k in row}
    return Epoch(**{**row, **scores}, seconds=seconds)


def table_values(table: Sequence[Epoch]) -> dict[str, Any]:
    """Return what a checkpoint keeps of a table, as JSON values."""
    return {"table": [history(epoch) for epoch in table], "seconds": [epoch.seconds for epoch in table]}


def table_of(values: Mapping[str, Any]) -> list[Epoch]:
    """Return the table of which ``table_values`` are."""
    return [of_history(row, seconds) for row, seconds in zip(values["table"], values["seconds"], strict=True)]


def since_best(table: Sequence[Epoch]) -> int:
    """Return how many epochs there were after the last that was better than all before it."""
    return next((i for i, epoch in enumerate(reversed(table)) if epoch.best), len(table))
