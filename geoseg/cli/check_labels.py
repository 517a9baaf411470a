"""geoseg check-labels: what is wrong with the labels of a training, before it or after."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.options import DataFolder, Overwrite, TrainingConfig, spread, target
from geoseg.cli.table import table
from geoseg.config.load import load_config
from geoseg.config.trainings import TrainConfig
from geoseg.disk.places import refuse_file
from geoseg.errors import ConfigError, FaultFoundError

FILES = ("report.html", "overlays.png", "doubts.gpkg")


@spread
def check_labels(
    config: TrainingConfig,
    *,
    data: DataFolder = None,
    output: Annotated[
        Path | None,
        target("Folder for report.html, overlays.png and doubts.gpkg."),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("-m", "--model", help="A bundle of this config, or one of each fold.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:  # fmt: skip
    """Check the labels of a training: CRS, polygons, classes, splits, shifts, duplicates; exit code 8 at a fault.

    With --model, doubts.gpkg holds the 20 labels that the networks contradict most, on ground they were not trained on.
    """
    changes = {} if data is None else {"data_folder": str(data)}
    loaded = load_config(config, changes=changes)
    if not isinstance(loaded, TrainConfig):
        raise ConfigError(f"{config}: job: {loaded.job}; this verb needs job: train")
    if model and output is None:
        raise ConfigError("--model: say with -o where doubts.gpkg goes")
    if output is not None:
        read = [file for item in loaded.spec.data for file in (*item.scenes, *item.label_files)]
        for name in FILES:
            refuse_file(output / name, overwrite=overwrite, inputs=read)
    from geoseg.training.audit.run import audit, share_rows, write_audit  # scipy, shapely: refusals wait for neither

    found = audit(loaded.spec)
    print(table([["FAULT" if f.level == "fault" else f.level, f.where, f.text] for f in found.findings]))
    if found.counts:
        print(table([["class", *found.counts], *share_rows(found)]))
    if output is not None:
        write_audit(output, found)
    if model and output is not None:
        from geoseg.training.audit.contradicted import contradicted, write_doubts

        doubts = contradicted(loaded.spec, model)
        write_doubts(output / FILES[2], loaded.spec, doubts)
        print(f"{len(doubts)} labels to review: {output / FILES[2]}")
    if found.faults:
        first = found.faults[0]
        raise FaultFoundError(f"{config}: {len(found.faults)} faults in the labels, first {first.where}: {first.text}")
