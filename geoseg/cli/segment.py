"""geoseg segment: a scene is cut into superpixels."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.options import DryRun, SceneFlags, TalkFlags, named_path, spread, target
from geoseg.cli.stopping import stoppable
from geoseg.cli.table import print_json, shard_done
from geoseg.config.parse import parse_config
from geoseg.config.segments import SegmentConfig
from geoseg.disk.places import vector_target
from geoseg.options.run import PartsOptions
from geoseg.options.segment import SegmentOptions


@spread
def segment(
    scene: SceneFlags,
    *,
    out: Annotated[
        Path,
        target("File of the polygons, e.g. out.gpkg."),
    ],
    raster: Annotated[
        Path | None,
        typer.Option(parser=named_path, metavar="PATH", help="Also write their numbers as a GeoTIFF."),
    ] = None,
    options: SegmentOptions,
    run: PartsOptions,
    talk: TalkFlags,
    dry_run: DryRun = False,
) -> None:
    """Cut a scene into superpixels: polygons with the mean of every band, ready to be labelled by a click.

    Nothing is learnt. Tiles change nothing: there is no seam.
    """
    content = {**scene.as_config(), "out": str(out), "raster": raster and str(raster), "options": options, "run": run}
    start(parse_config(SegmentConfig, content, where="flags"), talk, dry_run=dry_run)


def start(config: SegmentConfig, talk: TalkFlags, *, dry_run: bool = False, finishing: bool = False) -> None:
    """Run a config's recipe and print what it made, or print its plan; finishing: of shards, which have cut it."""
    if dry_run:
        from geoseg.jobs.segment import plan

        print_json(plan(config.open(), options=config.options, run=config.run))
        return
    path = vector_target(Path(config.out), overwrite=config.run.overwrite, inputs=config.scene)
    from geoseg.pipelines import segment as recipe

    with talk.listener() as listen, stoppable() as stop:
        count = recipe.run(config, listen=listen, stop=stop, finishing=finishing)
    if config.run.shard is not None:
        print(shard_done(config.run.shard, f"{count} tiles", path))
        return
    for name in (path, *([] if config.raster is None else [config.raster])):
        print(f"{name}: {count} superpixels")
