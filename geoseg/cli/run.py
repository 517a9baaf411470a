"""geoseg run: a config, whatever its job."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli import batch, prompt, segment
from geoseg.cli import train as training
from geoseg.cli.options import AllowFactory, AllowNetwork, DryRun, Overwrite, TalkFlags, spread, target
from geoseg.cli.predict import start
from geoseg.config.batches import BatchConfig
from geoseg.config.load import load_config
from geoseg.config.permissions import Allowed
from geoseg.config.prompt_trainings import PromptTrainConfig
from geoseg.config.prompts import PromptConfig
from geoseg.config.segments import SegmentConfig
from geoseg.config.trainings import TrainConfig


@spread
def run(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A YAML file, a run.json, or the name of a config of geoseg's own.")
    ],
    *,
    talk: TalkFlags,
    scene: Annotated[list[str] | None, typer.Argument(metavar="[SCENE...]", help="Instead of the config's.")] = None,
    output: Annotated[
        Path | None,
        target("Instead of the config's out."),
    ] = None,
    allow_factory: AllowFactory = False,
    allow_network: AllowNetwork = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Run a config: its job decides what. A finished run's run.json runs again, with -o to another folder."""
    changes = {k: v for k, v in {"scene": scene, "out": output and str(output)}.items() if v}
    allowed = Allowed(factory=allow_factory, network=allow_network, clusters=allow_network)
    loaded = load_config(config, changes=changes, allowed=allowed)
    match loaded:
        case BatchConfig():
            again = loaded.with_options(overwrite=overwrite or loaded.options.overwrite)
            batch.start(again, talk, dry_run=dry_run)
        case PromptConfig():
            prompt.start(_replacing(loaded, overwrite), talk, dry_run=dry_run)
        case SegmentConfig():
            segment.start(_replacing(loaded, overwrite), talk, dry_run=dry_run)
        case TrainConfig() | PromptTrainConfig() if dry_run:
            training.print_plan(loaded)
        case TrainConfig() | PromptTrainConfig():
            with talk.listener() as listen:
                training.run(loaded, overwrite=overwrite, listen=listen, allow_network=allow_network)
        case _:
            options = replace(loaded.options, overwrite=overwrite or loaded.options.overwrite)
            start(loaded.model_copy(update={"options": options}), talk, dry_run=dry_run)


def _replacing[C: (PromptConfig, SegmentConfig)](config: C, overwrite: bool) -> C:
    run = replace(config.run, overwrite=overwrite or config.run.overwrite)
    return config.model_copy(update={"run": run})
