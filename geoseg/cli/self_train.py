"""geoseg train --self-train: a teacher of the labels, what it is sure of on more scenes, and a student of both.

Pseudo-labels: Lee 2013; teacher and student: Xie et al. 2020. Not here: how they are made, see training/pseudo.py.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from geoseg.cli.epochs import score_names
from geoseg.cli.folds import scores_table
from geoseg.cli.in_turn import train_in_turn
from geoseg.cli.train import has_checkpoint
from geoseg.config.trainings import TrainConfig
from geoseg.disk.places import located, refuse_file
from geoseg.errors import ConfigError
from geoseg.options.train import TrainOptions
from geoseg.training.data_spec import LabelledScene
from geoseg.training.label_spec import LabelLayer
from geoseg.training.targets import ClassTarget

if TYPE_CHECKING:
    from geoseg.jobs.run import Listener

TEACHER, PSEUDO = "teacher", "pseudo"
PER_LABELLED = 0.5  # windows of pseudo-labels for each that a person labelled, which stay the rule


def run_self_training(
    config: TrainConfig,
    scenes: Sequence[str],
    confidence: float,
    options: TrainOptions,
    *,
    overwrite: bool = False,
    listen: "Listener | None" = None,
    allow_network: bool = False,
) -> None:
    """Train OUT/teacher, write what it is sure of as OUT/pseudo/1.tif and so on, train OUT, and print both scores.

    scenes: without labels; they are read like the first one of the config. Checkpoints stay until the student is
    trained, so that the same command goes on. Raises ConfigError for a target of objects, OutputError where a file of
    somebody's lies where labels go, and what a training does.
    """
    from geoseg.training.scenes import open_labelled

    teacher, student = pair_of(config, scenes)
    added = student.data[len(config.data) :]
    for item in added:
        open_labelled(item)  # what cannot be read is told before hours of training
        if not has_checkpoint(Path(teacher.out)):
            refuse_file(Path(item.label_files[0]), overwrite=overwrite, inputs=item.scenes)

    def before(part: TrainConfig) -> None:
        if part is student:
            _label(Path(teacher.out), added, confidence)

    found = train_in_turn(
        {"teacher": teacher, "student": student}, options, overwrite=overwrite, listen=listen,
        allow_network=allow_network, before=before,
    )  # fmt: skip
    print(f"\n{scores_table(found, score_names(config.spec))}")


def pair_of(config: TrainConfig, scenes: Sequence[str]) -> tuple[TrainConfig, TrainConfig]:
    """Return the trainings of teacher and student; raises ConfigError for a target of objects, or labels of boxes."""
    if not isinstance(config.target, ClassTarget) or config.target.border_m:
        raise ConfigError(
            "--self-train: pseudo-labels are classes and know no objects, so a target of objects cannot learn of them; "
            "take target: {kind: classes} without border_m"
        )
    if boxed := [name for name, term in config.loss.items() if term.upright]:
        raise ConfigError(f"--self-train: {boxed[0]} takes labels for boxes, and pseudo-labels are none; leave it out")
    out, first = Path(config.out), config.data[0]
    weight = PER_LABELLED * sum(item.share for item in config.data) / len(scenes)
    more = tuple(
        LabelledScene(
            scene=located(str(scene), Path.cwd()),
            labels=(LabelLayer(file=str((out / PSEUDO / f"{number}.tif").absolute()), values=_as_they_are(config)),),
            bands=first.bands, sensor=first.sensor, nodata=first.nodata, use="train", share=weight,
        )
        for number, scene in enumerate(scenes, 1)
    )  # fmt: skip
    teacher = config.model_copy(update={"out": str(out / TEACHER)})
    return teacher, config.model_copy(update={"data": (*config.data, *more)})


def _as_they_are(config: TrainConfig) -> dict[str, int | None] | None:
    """Return what values of pseudo-labels mean: themselves; None where the target takes its classes from labels."""
    return {str(c.id): c.id for c in config.target.class_table} or None


def _label(teacher: Path, scenes: Sequence[LabelledScene], confidence: float) -> None:
    """Write what the teacher is sure of, scene by scene; raises what a run over a scene does."""
    from geoseg.models.bundle import load_model
    from geoseg.training.pseudo import write_pseudo_labels
    from geoseg.training.scenes import open_labelled

    bundle = load_model(teacher)
    for item in scenes:
        file = Path(item.label_files[0])
        file.parent.mkdir(exist_ok=True)
        ids = write_pseudo_labels(file, open_labelled(item), bundle, confidence=confidence)
        print(f"{file}: {(ids > 0).mean():.1%} of {item.name} is labelled", flush=True)
