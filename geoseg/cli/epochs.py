"""What geoseg train tells of its epochs: lines as they end, a CSV table, curves and a picture."""

import csv
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoseg.disk.files import atomic
from geoseg.errors import ConfigError

if TYPE_CHECKING:
    from geoseg.jobs.run import Listener
    from geoseg.models.spec import ModelSpec
    from geoseg.training.history import Epoch
    from geoseg.training.prompted.spec import PromptSchedule
    from geoseg.training.spec import Schedule, TrainSpec

TABLE_FILE, PLOT_FILE = "metrics.csv", "training.png"
COLOURS = ("#8a8f98", "#c8422e", "#2b6cb0", "#2f855a", "#b7791f", "#6b46c1", "#0f766e", "#9d174d")


def told(plan: "Schedule | PromptSchedule", listen: "Listener | None") -> "Callable[[int, int, str], None]":
    """Return what is called after every step, and tells its listener how far it is and how long it takes yet."""
    from geoseg.jobs.run import Progress

    per_epoch, first, began = plan.steps_per_epoch, 0, time.monotonic()

    def on_step(epoch: int, done: int, loss: str) -> None:
        nonlocal first
        steps = (epoch - 1) * per_epoch + done
        first = first or steps
        if listen is not None:
            left = plan.epochs * per_epoch - steps
            seconds = (time.monotonic() - began) / (steps - first + 1) * left
            listen(Progress(f"epoch {epoch}/{plan.epochs}", done, per_epoch, f"{loss}, {in_words(seconds)}"))

    return on_step


def in_words(seconds: float) -> str:
    """Return how long it takes yet.

    >>> in_words(50), in_words(200), in_words(9000)
    ('50 s left', '3 min left', '2.5 h left')
    """
    if seconds < 90:
        return f"{seconds:.0f} s left"
    return f"{seconds / 60:.0f} min left" if seconds < 5400 else f"{seconds / 3600:.1f} h left"


def score_names(spec: "TrainSpec") -> list[str]:
    """Return what is scored: the IoU of each class, the mean absolute error of each channel of the outputs."""
    off = [
        f"MAE {output.name if len(output.channels) == 1 else c.name}"
        for output in spec.outputs
        for c in output.channels
    ]
    return [*(f"IoU {c.name}" for c in spec.target.class_table), *off]


def table_head(names: Sequence[str]) -> str:
    """Return the head of the printed table."""
    return "epoch  loss train  validation  " + "  ".join(names) + "  seconds"


def table_row(epoch: "Epoch") -> str:
    """Return one epoch as a row of the printed table; a star marks the best so far."""
    scores = [f"{value:.4f}" for value in (*epoch.iou, *epoch.errors)]
    return f"{epoch.number:>5}  {epoch.train_loss:>10.4f}  {epoch.validation_loss:>10.4f}  " + "  ".join(
        [*scores, f"{epoch.seconds:>7.1f}", "*" if epoch.best else ""]
    )


def gap_line(spec: "ModelSpec", scattered: "Sequence[float | None]") -> str:
    """Return how much better the network is on labels scattered among those it learnt than on ground of its own."""
    rows = zip(spec.classes, spec.training["validation_iou"], scattered, strict=True)
    parts = [f"{c.name} {away:.3f}, {near:.3f}" for c, away, near in rows if None not in (away, near)]
    return f"IoU on blocks of their own, and as a random split would have it: {'; '.join(parts)}"


def write_table(path: Path, epochs: "Sequence[Epoch]", names: Sequence[str]) -> None:
    """Write the table of epochs as CSV."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["epoch", "train_loss", "validation_loss", *map(column, names), "score", "seconds", "best"])
        for e in epochs:
            row: list[Any] = [e.number, e.train_loss, e.validation_loss, *e.iou, *e.errors, e.score]
            out.writerow([f"{v:.6g}" for v in row] + [f"{e.seconds:.2f}", int(e.best)])


def column(name: str) -> str:
    """Return the name of a score's column.

    >>> column("IoU building")
    'iou_building'
    """
    kind, _, what = name.partition(" ")
    return f"{kind.lower()}_{what}"


def curves(folder: Path, names: Sequence[str]) -> "Callable[[Epoch], None]":
    """Return what writes an epoch for TensorBoard; raises ConfigError where that is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "log tensorboard: it is not installed; pip install tensorboard, or leave --log out"
        ) from error
    writer = SummaryWriter(str(folder))

    def log_epoch(epoch: "Epoch") -> None:
        values = {"loss/training": epoch.train_loss, "loss/validation": epoch.validation_loss}
        scores = zip(names, (*epoch.iou, *epoch.errors), strict=True)
        for name, value in {**values, **{f"validation/{n}": v for n, v in scores}}.items():
            writer.add_scalar(name, value, epoch.number)
        writer.flush()

    return log_epoch


def plot(path: Path, epochs: "Sequence[Epoch]", names: Sequence[str], *, title: str) -> None:
    """Draw loss and scores over the epochs; the best epoch is marked."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    number = [e.number for e in epochs]
    best = max(epochs, key=lambda e: e.rank)
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    loss, iou = figure.subplots(1, 2)
    loss.plot(number, [e.train_loss for e in epochs], color=COLOURS[0], label="training")
    loss.plot(number, [e.validation_loss for e in epochs], color=COLOURS[1], label="validation")
    loss.set_title("Loss", loc="left")
    for i, name in enumerate(names):
        values = [(*e.iou, *e.errors)[i] for e in epochs]
        at_best = (*best.iou, *best.errors)[i]
        iou.plot(number, values, color=COLOURS[(i + 1) % len(COLOURS)], label=f"{name} {at_best:.3f}")
        iou.plot(best.number, at_best, "o", color=COLOURS[(i + 1) % len(COLOURS)])
    iou.set_title(f"Validation (at epoch {best.number})", loc="left")
    for axes in (loss, iou):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.axvline(best.number, color="0.8", linewidth=1, zorder=0)
        axes.grid(axis="y", color="0.92")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=110)
