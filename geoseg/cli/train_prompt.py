"""geoseg train, of a promptable network: its files, and the table of its epochs."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from geoseg.cli.epochs import PLOT_FILE, TABLE_FILE, curves, plot, table_head, table_row, told, write_table
from geoseg.cli.progress import tell
from geoseg.cli.table import table
from geoseg.errors import ConfigError
from geoseg.options.run import EngineOptions
from geoseg.options.train import TrainOptions

if TYPE_CHECKING:
    from geoseg.jobs.run import Listener
    from geoseg.models.bundle import ModelBundle
    from geoseg.training.fitted import Fitted
    from geoseg.training.history import Epoch
    from geoseg.training.memory import TrainingMemory
    from geoseg.training.prompted.spec import PromptTrainSpec

log = logging.getLogger(__name__)
NAMES = ["IoU box", "IoU point"]


def planned_prompts(spec: "PromptTrainSpec", options: TrainOptions) -> "TrainingMemory":
    """Return a training's memory, which is allowed; raises ModelError for a model that takes no prompts."""
    from geoseg.executors.threads import local_resources
    from geoseg.training.prompted.memory import prompt_training_memory

    planned = prompt_training_memory(spec, _start(spec))
    planned.check(local_resources(lanes=1).budget_bytes(options.memory_bytes))
    return planned


def _start(spec: "PromptTrainSpec") -> "ModelBundle":
    from geoseg.jobs.prompt import promptable_bundle

    return promptable_bundle(spec.start_from)


def train_prompts(
    spec: "PromptTrainSpec", folder: Path, kept: Path, options: TrainOptions, listen: "Listener | None"
) -> bool:
    """Train and write all files; returns whether training came to its end."""
    from geoseg.models.backends import library
    from geoseg.models.backends.torch import choose_device
    from geoseg.models.bundle import write_network
    from geoseg.training.checkpoint import Checkpoint
    from geoseg.training.prompted.ground import grounds
    from geoseg.training.prompted.loop import PromptLoop

    if options.same_as is not None:
        raise ConfigError("--same-as: the training of a promptable model has no such check; leave it out")
    start, device = _start(spec), choose_device(options.device)
    tell(planned_prompts(spec, options).in_words())
    ground = grounds(
        spec, start, EngineOptions(memory_bytes=options.memory_bytes), device=device, listen=listen or (lambda _: None)
    )
    for role, parts in ground.items():
        counts = [sum(map(len, one.objects.values())) for one in parts]
        tell(f"{role}: {sum(counts)} objects in {sum(len(one.objects) for one in parts)} windows")
    log_epoch = curves(folder / "tensorboard", NAMES) if options.log else lambda _: None
    tell(table_head(NAMES))

    def on_epoch(epoch: "Epoch", fitted: "Fitted") -> None:
        tell(table_row(epoch))
        if epoch.best:
            write_network(folder, fitted.network, spec=fitted.spec)
        write_table(folder / TABLE_FILE, fitted.epochs, NAMES)
        log_epoch(epoch)

    with library().one_thread_per_network():
        loop = PromptLoop(spec, start, ground, device)
        fitted = loop.run(on_epoch, told(spec.schedule, listen), Checkpoint(kept))
    write_network(folder, fitted.network, spec=fitted.spec)
    write_table(folder / TABLE_FILE, fitted.epochs, NAMES)
    plot(folder / PLOT_FILE, fitted.epochs, NAMES, title=f"Training of {spec.name}")
    print(_places(fitted))
    if not fitted.spec.training["kept_epoch"]:
        log.warning("no epoch was better than the model that it started from, whose weights are written as they were")
    print(f"model {folder} (epoch {fitted.spec.training['kept_epoch']}), {TABLE_FILE}, {PLOT_FILE}")
    return fitted.ended


def _places(fitted: "Fitted") -> str:
    """Return the scores before and after, place by place."""
    before, after = (fitted.spec.training["validation"][when] for when in ("before", "after"))
    rows = [
        [then["scene"], str(then["objects"]), *(f"{then[k]:.3f} -> {now[k]:.3f}" for k in ("box", "point"))]
        for then, now in zip(before, after, strict=True)
    ]
    return table(rows, head=["validation", "objects", "IoU of boxes", "IoU of points"])
