"""geoseg train: labelled scenes to a model bundle, with the table and the curves of its epochs."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoseg.cli.epochs import (
    PLOT_FILE,
    TABLE_FILE,
    curves,
    gap_line,
    plot,
    score_names,
    table_head,
    table_row,
    told,
    write_table,
)
from geoseg.cli.labels import SURE
from geoseg.cli.options import (
    AllowFactory,
    AllowNetwork,
    DataFolder,
    DryRun,
    Overwrite,
    TalkFlags,
    TrainingConfig,
    spread,
    target,
)
from geoseg.cli.progress import tell
from geoseg.cli.stopping import terminable
from geoseg.cli.table import print_json
from geoseg.cli.train_prompt import planned_prompts, train_prompts
from geoseg.cli.trained import judged
from geoseg.config.load import load_config
from geoseg.config.permissions import Allowed
from geoseg.config.prompt_trainings import PromptTrainConfig
from geoseg.config.trainings import TrainConfig
from geoseg.disk.files import locked
from geoseg.disk.places import refuse_file, vector_files
from geoseg.errors import ConfigError
from geoseg.options.train import TrainOptions

if TYPE_CHECKING:
    from geoseg.jobs.run import Listener
    from geoseg.training.fitted import Fitted
    from geoseg.training.history import Epoch
    from geoseg.training.memory import TrainingMemory
    from geoseg.training.prompted.spec import PromptTrainSpec
    from geoseg.training.spec import TrainSpec

log = logging.getLogger(__name__)
STATE_FOLDER = ".train"  # what a training goes on from, as long as it is not at its end
MODEL_FILE, WEIGHTS_FILE = "model.json", "weights.safetensors"
SPLIT_FILE, EXAMPLES_FILE = "split.gpkg", "examples.png"
BESIDE = (TABLE_FILE, PLOT_FILE, SPLIT_FILE, EXAMPLES_FILE)


@spread
def train(
    config: TrainingConfig,
    *,
    data: DataFolder = None,
    output: Annotated[
        Path | None,
        target("Folder of the model bundle (default: the config's out)."),
    ] = None,
    fold: Annotated[
        int | None,
        typer.Option("--fold", min=0, help="Which of split.folds, or of --folds, validates; it alone is trained."),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option("--folds", min=2, help="Train as many bundles, OUT/fold-N, each validated on another part."),
    ] = None,
    self_train: Annotated[
        list[str] | None,
        typer.Option("--self-train", metavar="SCENE", help="A scene without labels, once for each, to learn of too."),
    ] = None,
    confidence: Annotated[
        float,
        typer.Option(min=0, max=1, help="Of --self-train: probability from which OUT/teacher's answer is a label."),
    ] = SURE,
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
    if not isinstance(loaded, TrainConfig | PromptTrainConfig):
        raise ConfigError(f"{config}: job: {loaded.job}; this verb needs job: train, geoseg run runs any job")
    if isinstance(loaded, PromptTrainConfig):
        if self_train or (fold, folds) != (None, None):
            raise ConfigError("--fold, --folds, --self-train: a promptable model is trained once; leave them out")
    elif fold is not None:
        loaded = loaded.with_fold(fold, folds=folds)
    elif folds is not None:
        loaded.with_fold(0, folds=folds)  # refuses a split that has none
    if self_train and (fold, folds) != (None, None):
        raise ConfigError("--self-train: one training, of one split; leave --fold and --folds out")
    if dry_run:
        print_plan(loaded, options)
        return
    with terminable("run the same command again, it goes on where it was"), talk.listener() as listen:
        if isinstance(loaded, TrainConfig) and self_train:
            from geoseg.cli.self_train import run_self_training

            run_self_training(
                loaded, self_train, confidence, options, overwrite=overwrite, listen=listen, allow_network=allow_network
            )
        elif isinstance(loaded, PromptTrainConfig) or folds is None or fold is not None:
            run(loaded, options, overwrite=overwrite, listen=listen, allow_network=allow_network)
        else:
            from geoseg.cli.folds import run_folds

            run_folds(loaded, folds, options, overwrite=overwrite, listen=listen, allow_network=allow_network)


def run(
    config: TrainConfig | PromptTrainConfig,
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


def refuse_models(config: TrainConfig | PromptTrainConfig, *, overwrite: bool) -> None:
    """Raise OutputError where a training would replace a model that is there, or one of its own inputs."""
    from geoseg.models.bundle import refuse_bundle

    folder = Path(config.out)
    over = overwrite or has_checkpoint(folder)
    refuse_bundle(folder, overwrite=over, beside=BESIDE)
    inputs = training_files(config.spec)
    for name in (MODEL_FILE, WEIGHTS_FILE, *BESIDE):
        refuse_file(folder / name, overwrite=over, inputs=inputs)


def train_one(
    config: TrainConfig | PromptTrainConfig,
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
            if isinstance(config, PromptTrainConfig):
                ended = train_prompts(config.spec, folder, kept, options, listen)
            else:
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


def has_checkpoint(folder: Path) -> bool:
    """Whether a training into ``folder`` is not at its end."""
    return _checkpoint(folder).is_file()


def _checkpoint(folder: Path) -> Path:
    return folder / STATE_FOLDER / "checkpoint.safetensors"


def print_plan(
    config: TrainConfig | PromptTrainConfig,
    options: TrainOptions = TrainOptions(),  # noqa: B008  # it is frozen
) -> None:
    """Print a training's memory as JSON; raises MemoryBudgetError where it does not fit."""
    from geoseg.models.backends.torch import choose_device

    if isinstance(config, PromptTrainConfig):
        planned = planned_prompts(config.spec, options)
    else:
        planned = _planned(config.spec, choose_device(options.device), options)
    print_json({"memory_bytes": planned.as_json()})


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
        tell(line)
    from geoseg.integrations.named import resolved
    from geoseg.models.backends.torch import choose_device
    from geoseg.models.bundle import load_model, save_model
    from geoseg.scenes.pictures import write_png
    from geoseg.training.audit.run import quick
    from geoseg.training.checkpoint import Checkpoint
    from geoseg.training.examples import examples
    from geoseg.training.loop import fit  # torch: what is refused above does not wait for it
    from geoseg.training.manifest import refuse_changed
    from geoseg.training.mapped import scattered_gap
    from geoseg.training.samples import load_samples
    from geoseg.training.split_file import write_split
    from geoseg.training.start import class_counts

    device = choose_device(options.device)
    if spec.encoder is not None:
        spec = spec.model_copy(update={"encoder": resolved(spec.encoder, allow_network=allow_network)})

    tell(_planned(spec, device, options).in_words())
    samples = load_samples(spec)
    for found in quick(spec):
        log.warning("%s: %s (geoseg check-labels shows more)", found.where, found.text)
    for line in [] if samples.plan is None else samples.plan.lines():
        tell(line)
    if options.same_as is not None:
        refuse_changed(load_model(options.same_as).spec, spec, class_counts(spec, samples))
    names = score_names(spec)
    tell(table_head(names))

    log_epoch = curves(folder / "tensorboard", names) if options.log else lambda _: None

    def on_epoch(epoch: "Epoch", fitted: "Fitted") -> None:
        tell(table_row(epoch))
        if epoch.best or spec.schedule.keep == "last":
            save_model(folder, fitted.network, spec=fitted.spec, overwrite=True)
        write_table(folder / TABLE_FILE, fitted.epochs, names)
        log_epoch(epoch)

    fitted = fit(
        spec,
        samples,
        on_epoch=on_epoch,
        on_step=told(spec.schedule, listen),
        checkpoint=Checkpoint(kept),
        device=device,
    )
    write_table(folder / TABLE_FILE, fitted.epochs, names)  # of what a killed one had trained, too
    if (gap := scattered_gap(spec, samples, fitted.network, fitted.spec)) is not None:
        tell(gap_line(fitted.spec, gap))
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


def training_files(spec: "TrainSpec | PromptTrainSpec") -> list[str]:
    """Return the files that a training reads: scenes, labels, and the bundles that it starts from and learns of."""
    from geoseg.disk.places import undated
    from geoseg.models.bundle import load_model
    from geoseg.scenes.reads import files_read

    scenes = [undated(scene) for item in spec.data for scene in item.scenes]
    labels = [file for item in spec.data for source in item.label_files for file in vector_files(source)]
    teacher = getattr(spec, "teacher", None)  # promptable models have none
    models = [one for one in (spec.start_from, teacher and teacher.model) if one]
    bundles = [str(p) for one in models for p in Path(load_model(one).path).iterdir()]
    return [*files_read(scenes), *labels, *bundles]


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
