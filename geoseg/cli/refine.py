"""geoseg refine: outlines from elsewhere are drawn to what a scene shows."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.options import VECTOR_FILE, Overwrite, SceneFlags, spread, target
from geoseg.config.parse import parse_config
from geoseg.config.scene import SceneInput
from geoseg.disk.places import vector_files, vector_target
from geoseg.options.refine import RefineOptions
from geoseg.options.run import EngineOptions

log = logging.getLogger(__name__)


@spread
def refine(
    scene: SceneFlags,
    *,
    files: Annotated[
        list[str],
        typer.Argument(metavar="FOOTPRINTS SCENE...", help="Polygons of any format, FILE[:LAYER]; then a scene."),
    ],
    output: Annotated[Path, target(VECTOR_FILE)],
    options: RefineOptions,
    run: EngineOptions,
    overwrite: Overwrite = False,
) -> None:
    """Draw polygons that come from elsewhere to what a scene shows; attributes stay, and columns say what was done.

    Each is looked at in a window of its own. Straight walls come after it: geoseg regularize.
    """
    footprints, *rest = files
    keys = scene.before(rest, f"{footprints}: name the polygons, then the scene: geoseg refine FOOTPRINTS SCENE")
    inputs = [*vector_files(footprints), *keys["scene"]]
    path = vector_target(output, vector_format=options.vector_format, overwrite=overwrite, inputs=inputs)
    from geoseg.jobs.refine import refine as redraw

    opened = parse_config(SceneInput, keys, where="flags").open()
    tally = redraw(footprints, opened, path, options=options, run=run, overwrite=overwrite)
    if tally["skipped"]:
        log.warning("%d objects lie off the scene or on nodata, and stay as they were", tally["skipped"])
    print(f"{path}: {', '.join(f'{count} {status}' for status, count in tally.items() if count) or 'no objects'}")
