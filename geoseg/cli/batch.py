"""geoseg batch: many scenes by one engine, for machines that nobody watches."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geoseg.cli.options import AllowFactory, AllowNetwork, TalkFlags, spread, target
from geoseg.cli.stopping import stoppable
from geoseg.cli.table import print_json, table
from geoseg.config.batches import BatchConfig
from geoseg.config.load import load_config
from geoseg.config.permissions import Allowed
from geoseg.errors import ConfigError
from geoseg.options.run import BatchOptions

if TYPE_CHECKING:
    from geoseg.jobs.batch_log import Report

HEAD = ("scene", "state", "code", "seconds", "polygons")


@spread
def batch(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file of the job batch.")],
    *,
    talk: TalkFlags,
    output: Annotated[
        Path | None,
        target("Instead of the config's out."),
    ] = None,
    options: BatchOptions,
    allow_factory: AllowFactory = False,
    allow_network: AllowNetwork = False,
    dry_run: Annotated[
        bool, typer.Option("-n", "--dry-run", help="Print the plan of every scene as JSON, and do nothing.")
    ] = False,
) -> None:
    """Run the scenes of a glob, a CSV table or STAC items; skip what is complete, log and sum up the rest.

    One scene's fault never stops the others: the exit code is 7 then; 8 where all are done, and some are beyond
    what the config's ``monitor`` allows.
    """
    changes = {"out": output and str(output), "max_failures": options.max_failures}
    allowed = Allowed(factory=allow_factory, network=allow_network, clusters=allow_network)
    loaded = load_config(config, changes={k: v for k, v in changes.items() if v is not None}, allowed=allowed)
    if not isinstance(loaded, BatchConfig):
        raise ConfigError(f"{config}: job: {loaded.job}; geoseg batch runs job: batch, geoseg run the others")
    cluster, workers = options.cluster, options.cluster.workers
    asked: dict[str, Any] = {"overwrite": True} if options.overwrite else {}
    if cluster.ways:
        asked |= {"engine": "dask", "cluster": cluster}
    elif workers is not None:
        asked["cluster"] = replace(loaded.options.cluster, workers=workers)
    if options.max_runtime_s is not None:
        asked["max_runtime_s"] = options.max_runtime_s
    start(loaded.with_options(**asked), talk, dry_run=dry_run)


def start(config: BatchConfig, talk: TalkFlags, *, dry_run: bool = False) -> None:
    """Run a batch and print what became of its scenes, or its plan; raises what the batch should end with."""
    from geoseg.pipelines import batch as recipe

    if dry_run:
        from geoseg.jobs.batch import plan_batch

        print_json(plan_batch(recipe.prepare(config)))
        return
    with talk.listener() as listen, stoppable() as stop:
        report = recipe.run(config, listen=listen, stop=stop)
    print_report(report)
    error = report.error()
    if error is not None:
        raise error


def print_report(report: "Report") -> None:
    """Print a row per scene, what went wrong in words, and the sum."""
    rows: list[list[Any]] = [
        [o.scene, o.state, o.code, f"{o.seconds:.1f}", "–" if o.polygons is None else o.polygons]
        for o in report.outcomes
    ]
    print(table(rows, head=HEAD))
    for outcome in report.outcomes:
        if said := outcome.told or outcome.drift:
            print(f"{outcome.scene}: {said}")
    print(f"\n{report.words}, {report.seconds:.1f} s\n{report.folder / 'summary.json'}")
