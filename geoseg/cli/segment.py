"""geoseg segment: a scene is cut into superpixels."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.options import Overwrite, SceneFlags, named_path, spread, target
from geoseg.options.run import EngineOptions
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
    run: EngineOptions,
    overwrite: Overwrite = False,
) -> None:
    """Cut a scene into superpixels: polygons with the mean of every band, ready to be labelled by a click.

    Nothing is learnt. Tiles change nothing: there is no seam.
    """
    from geoseg.disk.places import vector_target

    path = vector_target(out, overwrite=overwrite, inputs=scene.files or [])
    from geoseg.jobs.segment import segment as cut

    count = cut(scene.open(), path, raster, options=options, run=run, overwrite=overwrite)
    for name in (path, *([] if raster is None else [raster])):
        print(f"{name}: {count} superpixels")
