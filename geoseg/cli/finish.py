"""geoseg finish: the outputs of a job whose parts were made by shards."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli import prompt, segment
from geoseg.cli.options import AllowNetwork, Overwrite, TalkFlags, spread
from geoseg.cli.predict import report
from geoseg.config.load import load_config
from geoseg.config.permissions import Allowed
from geoseg.config.prompts import PromptConfig
from geoseg.config.runs import BuildingsConfig, LandCoverConfig
from geoseg.config.segments import SegmentConfig
from geoseg.errors import InputError
from geoseg.options.run import EngineOptions


@spread
def finish(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder or file that the shards were given as -o.")],
    *,
    where: EngineOptions,
    talk: TalkFlags,
    allow_network: AllowNetwork = False,
    overwrite: Overwrite = False,
) -> None:
    """Write the outputs of a job whose parts are all done; exit code 7 where some are missing.

    No network runs here, but for boxes that words have found: engine, lanes and memory are for the polygons.
    """
    from geoseg.jobs.folder import PLAN_FILE, JobFolder
    from geoseg.jobs.predict import finish as conclude
    from geoseg.jobs.request import load_models
    from geoseg.jobs.segment_folder import unfinished

    work = JobFolder(folder / ".job")
    found = unfinished(folder)
    if found is None and work.plan() is None:
        raise InputError(f"{folder}: holds no job to finish; start one with --shard, of predict or buildings, say")
    allowed = Allowed(factory=True, clusters=True, network=allow_network)  # flags say where polygons are drawn
    config = load_config(found or work.path / PLAN_FILE, allowed=allowed)
    if isinstance(config, PromptConfig | SegmentConfig):
        again = config.model_copy(update={"run": replace(config.run.at(where), overwrite=overwrite)})
        if isinstance(again, PromptConfig):
            prompt.start(again, talk, finishing=True)
        else:
            segment.start(again, talk, finishing=True)
        return
    assert isinstance(config, LandCoverConfig | BuildingsConfig)  # nothing else has a job folder
    options = replace(config.options.at(where), overwrite=overwrite)
    with talk.listener() as listen:
        result = conclude(
            config.open(),
            load_models(config.model),
            folder,
            options=options,
            polygons=config.polygons if isinstance(config, BuildingsConfig) else None,
            config=config.recorded(),
            listen=listen,
        )
    report(result)
