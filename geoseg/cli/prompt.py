"""geoseg prompt: what is clicked on, boxed or outlined becomes objects."""

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from geoseg.cli.options import DryRun, Output, SceneFlags, TalkFlags, spread
from geoseg.cli.stopping import stoppable
from geoseg.cli.table import print_json, shard_done
from geoseg.config.parse import parse_config
from geoseg.config.prompts import PromptConfig
from geoseg.options.prompt import PromptOptions
from geoseg.options.run import PartsOptions

log = logging.getLogger(__name__)


@spread
def prompt(
    scene: SceneFlags,
    *,
    files: Annotated[
        list[str],
        typer.Argument(metavar="SCENE... PROMPTS", help="A scene; points, boxes and polygons of any format."),
    ],
    model: Annotated[
        str,
        typer.Option("-m", "--model", metavar="BUNDLE", help="The bundle of a promptable model.", show_default=False),
    ],
    options: PromptOptions,
    run: PartsOptions,
    output: Output,
    talk: TalkFlags,
    dry_run: DryRun = False,
) -> None:
    """Answer prompts, points, boxes and polygons, with the objects that a promptable model sees there.

    Columns of the prompts: object, whose they are, and label of points, 1 inside of it and 0 outside. Writes
    objects.gpkg, to be reviewed and classed in QGIS. geoseg import FOLDER --family sam2 makes such a model.
    """
    prompts = None if options.finds else files[-1]
    usage = f"{files[0]}: name the scene, then the prompts: geoseg prompt SCENE PROMPTS"
    of_scene = scene.before(files if options.finds else files[:-1], usage)
    content = {**of_scene, "prompts": prompts, "model": model, "out": str(output)}
    config = parse_config(PromptConfig, {**content, "options": options, "run": run}, where="flags")
    start(config, talk, dry_run=dry_run)


def _plan(config: PromptConfig) -> dict[str, Any]:
    """Return what a config's run takes."""
    from geoseg.jobs import follow
    from geoseg.jobs.prompt_run import plan_prompts

    options, run = config.options, config.run
    if options.follow:
        return follow.plan(config.dates(), config.model, options=options, run=run).said()
    return plan_prompts(config.open(), config.model, options=options, run=run).said()


def start(config: PromptConfig, talk: TalkFlags, *, dry_run: bool = False, finishing: bool = False) -> None:
    """Run a config's recipe and print what it made, or print its plan; finishing: of shards, which have asked."""
    if dry_run:
        print_json(_plan(config))
        return
    out = Path(config.out)
    from geoseg.jobs.prompt_targets import refuse_targets

    refuse_targets(out, config.scene, config.prompts, config.options, overwrite=config.run.overwrite)
    from geoseg.pipelines import prompt as recipe

    with talk.listener() as listen, stoppable() as stop:
        found = recipe.run(config, listen=listen, stop=stop, finishing=finishing)
    if config.run.shard is not None:
        print(shard_done(config.run.shard, f"{found.windows} windows", out))
        return
    if found.skipped:
        log.warning("%d objects were not answered; run.json says why", len(found.skipped))
    names = {one.name for one in found.objects}
    print(f"{out / 'objects.gpkg'}: {len(names)} objects, {found.windows} windows asked")
