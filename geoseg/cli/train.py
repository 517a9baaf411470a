"""geoseg train: labelled scenes to a model bundle, with the table and the curves of its epochs."""

import csv
import json
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geoseg.cli.options import AllowFactory, AllowNetwork, Overwrite, TalkFlags, named_path, spread
from geoseg.cli.stopping import terminable
from geoseg.cli.trained import judged
from geoseg.config.load import TrainConfig, load_config
from geoseg.config.permissions import Allowed
from geoseg.disk.files import locked
from geoseg.disk.places import refuse_file, vector_files
from geoseg.errors import ConfigError
from geoseg.options.train import TrainOptions

if TYPE_CHECKING:
    from geoseg.jobs.run import Listener
    from geoseg.models.spec import ModelSpec
    from geoseg.training.loop import Epoch, Fitted
    from geoseg.training.memory import TrainingMemory
    from geoseg.training.spec import TrainSpec

log = logging.getLogger(__name__)
DryRun = Annotated[
    bool, typer.Option("-n", "--dry-run", help="Print the memory that it takes as JSON, and do nothing.")
]
STATE_FOLDER = ".train"  # what a training goes on from, as long as it is not at its end
MODEL_FILE, WEIGHTS_FILE, TABLE_FILE, PLOT_FILE = "model.json", "weights.safetensors", "metrics.csv", "training.png"
SPLIT_FILE, EXAMPLES_FILE = "split.gpkg", "examples.png"
BESIDE = (TABLE_FILE, PLOT_FILE, SPLIT_FILE, EXAMPLES_FILE)
COLOURS = ("#8a8f98", "#c8422e", "#2b6cb0", "#2f855a", "#b7791f", "#6b46c1", "#0f766e", "#9d174d")


@spread
def train(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file with job: train.")],
    *,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder where the config's data paths start (default: data_folder).")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            parser=named_path,
            metavar="PATH",
            help="Folder of the model bundle (default: the config's out).",
        ),
    ] = None,
    fold: Annotated[
        int | None,
        typer.Option("--fold", min=0, help="Which of split.folds, or of --folds, validates; it alone is trained."),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option("--folds", min=2, help="Train as many bundles, OUT/fold-N, each validated on another part."),
    ] = None,
    allow_factory: AllowFactory = False,
    allow_network: AllowNetwork = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    options: TrainOptions,
    talk: TalkFlags,
) -> None:
    """Train a model on labelled scenes and write it as a bundle.

    The bundle is saved at every epoch that is better than all before it (schedule.keep: last saves each), with
    metrics.csv and training.png beside it. After a kill the same command goes on: on the CPU to the same bytes.
    """
    changes = {k: str(v) for k, v in {"data_folder": data, "out": output}.items() if v is not None}
    allowed = Allowed(factory=allow_factory, network=allow_network, clusters=allow_network)
    loaded = load_config(config, changes=changes, allowed=allowed)
    if not isinstance(loaded, TrainConfig):
        raise ConfigError(f"{config}: job: {loaded.job}; this verb needs job: train, geoseg run runs any job")
    if fold is not None:
        loaded = loaded.with_fold(fold, folds=folds)
    elif folds is not None:
        loaded.with_fold(0, folds=folds)  # refuses a split that has none
    if dry_run:
        print_plan(loaded, options)
        return
    with terminable("run the same command again, it goes on where it was"), talk.listener() as listen:
        if folds is None or fold is not None:
            run(loaded, options, overwrite=overwrite, listen=listen, allow_network=allow_network)
            return
        from geoseg.cli.folds import run_folds

        run_folds(loaded, folds, options, overwrite=overwrite, listen=listen, allow_network=allow_network)


def run(
    config: TrainConfig,
    options: TrainOptions = TrainOptions(),  # noqa: B008  # it is frozen
    *,
    overwrite: bool = False,
    listen: "Listener | None" = None,
    allow_network: bool = False,
) -> Path:
    """Train what ``config`` says; returns the bundle's folder. Raises OutputError where it holds a model already.

    allow_network: weights that are named may be fetched.
    """
    refuse_models(config, overwrite=overwrite)
    train_one(config, options, listen=listen, allow_network=allow_network)
    return Path(config.out)


def refuse_models(config: TrainConfig, *, overwrite: bool) -> None:
    """Raise OutputError where a training would replace a model that is there, or one of its own inputs."""
    from geoseg.models.bundle import refuse_bundle

    folder = Path(config.out)
    over = overwrite or _checkpoint(folder).is_file()
    refuse_bundle(folder, overwrite=over, beside=BESIDE)
    inputs = training_files(config.spec)
    for name in (MODEL_FILE, WEIGHTS_FILE, *BESIDE):
        refuse_file(folder / name, overwrite=over, inputs=inputs)


def train_one(
    config: TrainConfig,
    options: TrainOptions,
    *,
    listen: "Listener | None",
    allow_network: bool,
    keep: bool = False,
) -> bool:
    """Train what ``config`` says; returns whether it came to its end. keep: the checkpoint stays even then."""
    folder = Path(config.out)
    kept = _checkpoint(folder)
    with locked(kept.parent / "lock", of=folder):
        if options.fresh:
            kept.unlink(missing_ok=True)
        try:
            ended = _trained(config.spec, folder, kept, options, listen=listen, allow_network=allow_network)
            if ended and not keep:
                kept.unlink(missing_ok=True)
        finally:
            _tidy(folder, kept)
    return ended


def forget(folder: Path) -> None:
    """Remove what a training would go on from."""
    kept = _checkpoint(folder)
    with locked(kept.parent / "lock", of=folder):
        kept.unlink(missing_ok=True)
        _tidy(folder, kept)


def _checkpoint(folder: Path) -> Path:
    return folder / STATE_FOLDER / "checkpoint.safetensors"


def print_plan(
    config: TrainConfig,
    options: TrainOptions = TrainOptions(),  # noqa: B008  # it is frozen
) -> None:
    """Print a training's memory as JSON; raises MemoryBudgetError where it does not fit."""
    from geoseg.models.backends.torch import choose_device

    planned = _planned(config.spec, choose_device(options.device), options)
    print(json.dumps({"memory_bytes": planned.as_json()}, indent=1))


def _planned(spec: "TrainSpec", device: str, options: TrainOptions) -> "TrainingMemory":
    """Return a training's memory, which is allowed."""
    from geoseg.executors.threads import local_resources
    from geoseg.training.memory import training_memory

    planned = training_memory(spec, device)
    planned.check(local_resources(lanes=1).budget_bytes(options.memory_bytes))
    return planned


def _tidy(folder: Path, kept: Path) -> None:
    """Remove what nothing can go on from."""
    if not kept.is_file():
        shutil.rmtree(kept.parent)
        if not any(folder.iterdir()):
            folder.rmdir()


def _trained(
    spec: "TrainSpec",
    folder: Path,
    kept: Path,
    options: TrainOptions,
    *,
    listen: "Listener | None",
    allow_network: bool,
) -> bool:
    """Train and write all files; returns whether training came to its end."""
    for line in split_lines(spec):
        print(line)
    from geoseg.integrations.named import resolved
    from geoseg.models.backends.torch import choose_device
    from geoseg.models.bundle import load_model, save_model
    from geoseg.scenes.pictures import write_png
    from geoseg.training.audit.run import quick
    from geoseg.training.checkpoint import Checkpoint
    from geoseg.training.examples import examples
    from geoseg.training.loop import fit  # torch: what is refused above does not wait for it
    from geoseg.training.manifest import refuse_changed
    from geoseg.training.samples import load_samples
    from geoseg.training.split_file import write_split
    from geoseg.training.start import class_counts
    from geoseg.training.validation import scattered_gap

    device = choose_device(options.device)
    if spec.encoder is not None:
        spec = spec.model_copy(update={"encoder": resolved(spec.encoder, allow_network=allow_network)})

    print(_planned(spec, device, options).in_words(), flush=True)
    samples = load_samples(spec)
    for found in quick(spec):
        log.warning("%s: %s (geoseg check-labels shows more)", found.where, found.text)
    for line in [] if samples.plan is None else samples.plan.lines():
        print(line)
    if options.same_as is not None:
        refuse_changed(load_model(options.same_as).spec, spec, class_counts(spec, samples))
    names = score_names(spec)
    print(table_head(names), flush=True)

    log_epoch = curves(folder / "tensorboard", names) if options.log else lambda _: None

    def on_epoch(epoch: "Epoch", fitted: "Fitted") -> None:
        print(table_row(epoch), flush=True)
        if epoch.best or spec.schedule.keep == "last":
            save_model(folder, fitted.network, spec=fitted.spec, overwrite=True)
        write_table(folder / TABLE_FILE, fitted.epochs, names)
        log_epoch(epoch)

    fitted = fit(
        spec, samples, on_epoch=on_epoch, on_step=told(spec, listen), checkpoint=Checkpoint(kept), device=device
    )
    if (gap := scattered_gap(spec, samples, fitted.network, fitted.spec)) is not None:
        print(gap_line(fitted.spec, gap))
        facts = {**fitted.spec.training, "scattered_iou": list(gap)}
        fitted = replace(fitted, spec=fitted.spec.model_copy(update={"training": facts}))
    bundle = judged(save_model(folder, fitted.network, spec=fitted.spec, overwrite=True), spec, samples)
    if fitted.spec.classes:
        write_png(folder / EXAMPLES_FILE, examples(fitted.network, fitted.spec, spec, samples))
    write_split(folder / SPLIT_FILE, spec, samples)
    plot(folder / PLOT_FILE, fitted.epochs, names, title=f"Training of {spec.name}")
    epoch, size = fitted.spec.training["kept_epoch"], f"{bundle.weights.bytes / 1e6:.1f} MB"
    beside = [TABLE_FILE, PLOT_FILE, *([EXAMPLES_FILE] if fitted.spec.classes else [])]
    print(f"model {folder} (epoch {epoch}, {size}), {', '.join(beside)}")
    return fitted.ended


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


def told(spec: "TrainSpec", listen: "Listener | None") -> "Callable[[int, int, str], None]":
    """Return what is called after every step, and tells its listener how far it is and how long it takes yet."""
    from geoseg.jobs.run import Progress

    per_epoch, first, began = spec.schedule.steps_per_epoch, 0, time.monotonic()

    def on_step(epoch: int, done: int, loss: str) -> None:
        nonlocal first
        steps = (epoch - 1) * per_epoch + done
        first = first or steps
        if listen is not None:
            left = spec.schedule.epochs * per_epoch - steps
            seconds = (time.monotonic() - began) / (steps - first + 1) * left
            listen(Progress(f"epoch {epoch}/{spec.schedule.epochs}", done, per_epoch, f"{loss}, {in_words(seconds)}"))

    return on_step


def in_words(seconds: float) -> str:
    """Return how long it takes yet.

    >>> in_words(50), in_words(200), in_words(9000)
    ('50 s left', '3 min left', '2.5 h left')
    """
    if seconds < 90:
        return f"{seconds:.0f} s left"
    return f"{seconds / 60:.0f} min left" if seconds < 5400 else f"{seconds / 3600:.1f} h left"


def training_files(spec: "TrainSpec") -> list[str]:
    """Return the files that a training reads: scenes, labels, and the bundle that it starts from."""
    from geoseg.disk.places import undated
    from geoseg.models.bundle import load_model
    from geoseg.scenes.reads import files_read

    scenes = [undated(scene) for item in spec.data for scene in item.scenes]
    labels = [file for item in spec.data for source in item.label_files for file in vector_files(source)]
    start = [] if spec.start_from is None else [str(p) for p in Path(load_model(spec.start_from).path).iterdir()]
    return [*files_read(scenes), *labels, *start]


def split_lines(spec: "TrainSpec") -> list[str]:
    """Return one line per area of every scene: what it is for, and its pixels."""
    from geoseg.training.data_spec import Split
    from geoseg.training.samples import areas_of
    from geoseg.training.scenes import open_labelled

    if not isinstance(spec.split, Split | None):
        return []  # its plan is made with the samples
    lines = []
    for item in spec.data:
        scene = open_labelled(item)
        for area in sorted(areas_of(item, scene, spec, None), key=lambda a: a.role):
            b, (height, width) = area.box, area.box.shape
            place = f"rows {b.row0}..{b.row1}, columns {b.col0}..{b.col1}"
            lines.append(f"{scene.name}: {area.role:<10} {height} x {width} px  ({place})")
    if spec.split is not None:
        lines.append(f"buffer between training and the other areas: {spec.split.buffer_px} px")
    return lines


def gap_line(spec: "ModelSpec", scattered: "Sequence[float | None]") -> str:
    """Return how much better the network is on labels scattered among those it learnt than on ground of its own."""
    rows = zip(spec.classes, spec.training["validation_iou"], scattered, strict=True)
    parts = [f"{c.name} {away:.3f}, {near:.3f}" for c, away, near in rows if None not in (away, near)]
    return f"IoU on blocks of their own, and as a random split would have it: {'; '.join(parts)}"


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


def write_table(path: Path, epochs: "Sequence[Epoch]", names: Sequence[str]) -> None:
    """Write the table of epochs as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
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
    figure.savefig(path, dpi=110)
