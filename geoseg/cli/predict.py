"""geoseg predict, buildings and plan: a scene through a model, with polygons, or on paper only."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geoseg.cli.options import DryRun, Output, SceneFlags, TalkFlags, spread
from geoseg.cli.stopping import stoppable
from geoseg.cli.table import print_json, print_result, shard_done
from geoseg.config.parse import parse_config
from geoseg.config.runs import BuildingsConfig, LandCoverConfig
from geoseg.errors import ConfigError, IncompleteError
from geoseg.options.polygons import PolygonOptions
from geoseg.options.run import RunOptions

if TYPE_CHECKING:
    from geoseg.jobs.result import Result

Models = Annotated[
    list[str] | None,
    typer.Option(
        "-m",
        "--model",
        help="A model bundle's folder, or a name that geoseg models lists; several are averaged.",
        show_default=False,
    ),
]
DEFAULT_MODEL = "buildings"


@spread
def predict(
    scene: SceneFlags,
    *,
    run: RunOptions,
    output: Output,
    talk: TalkFlags,
    model: Models = None,
    dry_run: DryRun = False,
) -> None:
    """Map the classes of a scene: classes.tif and confidence.tif, georeferenced, with names and colours.

    Without a model: land-cover or spectral, whichever fits the scene's bands, values and resolution. An unfinished run
    in the output folder is resumed.
    """
    content = {**scene.as_config(), "model": model or [], "out": str(output), "options": run}
    start(parse_config(LandCoverConfig, content, where="flags"), talk, dry_run=dry_run)


@spread
def buildings(
    scene: SceneFlags,
    *,
    run: RunOptions,
    polygons: PolygonOptions,
    output: Output,
    talk: TalkFlags,
    model: Models = None,
    dry_run: DryRun = False,
) -> None:
    """Map the buildings of a scene: classes.tif, confidence.tif, and buildings.gpkg with their polygons.

    An unfinished run in the output folder is resumed.
    """
    content = {
        **scene.as_config(),
        "model": model or [DEFAULT_MODEL],
        "out": str(output),
        "options": run,
        "polygons": polygons,
    }
    start(parse_config(BuildingsConfig, content, where="flags"), talk, dry_run=dry_run)


@spread
def plan(
    scene: SceneFlags,
    *,
    run: RunOptions,
    model: Models = None,
    polygons: Annotated[bool, typer.Option("--polygons", help="Plan geoseg buildings, not geoseg predict.")] = False,
) -> None:
    """Print what a run would do and hold, as JSON: windows, chunks, resolution, memory, disk."""
    kind: type[LandCoverConfig] | type[BuildingsConfig] = BuildingsConfig if polygons else LandCoverConfig
    content = {**scene.as_config(), "model": model or ([DEFAULT_MODEL] if polygons else []), "out": ".", "options": run}
    print_plan(parse_config(kind, content, where="flags"))


def start(config: LandCoverConfig | BuildingsConfig, talk: TalkFlags, *, dry_run: bool = False) -> None:
    """Run a config's recipe and print what it made, or its plan."""
    if dry_run:
        print_plan(config)
        return
    from geoseg.pipelines import buildings as buildings_recipe
    from geoseg.pipelines import land_cover

    with talk.listener() as listen, stoppable() as stop:
        if isinstance(config, BuildingsConfig):
            result = buildings_recipe.run(config, listen=listen, stop=stop)
        else:
            result = land_cover.run(config, listen=listen, stop=stop)
    report(result)


def report(result: "Result") -> None:
    """Print what a run has made; raises IncompleteError where chunks are missing from it."""
    if not result.paths:
        print(shard_done(result.run["shard"], f"{result.run['chunks']} chunks", result.folder))
        return
    print_result(result)
    missing = result.run["missing_chunks"]
    if missing:
        raise IncompleteError(
            f"{result.folder}: {len(missing)} chunks failed and are nodata in the outputs ({', '.join(missing[:5])}); "
            f"the same command with --overwrite tries only these again"
        )


def print_plan(config: LandCoverConfig | BuildingsConfig) -> None:
    """Print the plan of a run as JSON, with the time that a short calibration promises."""
    from geoseg.executors.open import open_engine
    from geoseg.jobs.plan import make_plan
    from geoseg.jobs.targets import refuse_if_disk_is_short
    from geoseg.jobs.timing import estimated_seconds
    from geoseg.models.backends import asked
    from geoseg.models.bundle import load_model

    polygons = config.polygons if isinstance(config, BuildingsConfig) else None
    scene = config.open()
    if isinstance(config, LandCoverConfig):
        config = config.decided(scene)
    bundles = [load_model(model) for model in config.model]
    with open_engine(config.options) as engine:
        site = engine.site(*asked(bundles, config.options))
        made = make_plan(scene, bundles, site=site, options=config.options, polygons=polygons)
        seconds = estimated_seconds(made)
    refuse_if_disk_is_short(Path(config.out), made.disk_bytes, config.options)
    content: dict[str, Any] = {**made.as_json(), "estimated_seconds": seconds, "config": config.recorded()}
    print_json(content)


def named(models: list[str] | None) -> list[str]:
    """Return the models that are named; raises ConfigError where none is."""
    if not models:
        from geoseg.models.known import known_models

        own = ", ".join(f"{name} ({path})" for name, path in known_models().items())
        raise ConfigError(f"no model: pass -m FOLDER or -m NAME; bundles known by name: {own or 'none'}")
    return models
