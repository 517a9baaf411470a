"""geoseg fetch-tiles: tiles of a map service become a scene."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.options import Overwrite, TalkFlags, spread, target
from geoseg.cli.stopping import terminable
from geoseg.disk.places import refuse_file, refuse_suffix
from geoseg.options.tiles import TileOptions


@dataclass(frozen=True, kw_only=True)
class TileFlags(TileOptions):
    """Which tiles, and the service that has them."""

    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="Address with {z}, {x} and {y} (or {-y}), or {TileMatrix}, {TileCol} and {TileRow}; or WMTS "
            "capabilities, a file or URL.",
        ),
    ]


@spread
def fetch_tiles(
    tiles: TileFlags,
    *,
    output: Annotated[
        Path,
        target("Scene, .tif."),
    ],
    overwrite: Overwrite = False,
    talk: TalkFlags,
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Say how many tiles, and do nothing.")] = False,
) -> None:
    """Fetch the tiles of an area from a map service, XYZ in Web Mercator or WMTS, once, into a COG: a scene.

    Many services forbid that their tiles are stored or analysed: --licence says by what right you do, and goes into the
    scene. What is fetched is kept until the scene is whole, so the same command goes on after a break.
    """
    refuse_suffix(output, (".tif", ".tiff"))
    refuse_file(output, overwrite=overwrite, inputs=[tiles.aoi])
    from geoseg.jobs.fetch_tiles import Wanted
    from geoseg.jobs.fetch_tiles import fetch_tiles as fetch
    from geoseg.jobs.run import Progress

    wanted = Wanted.of(tiles)
    side_px = wanted.matrix.side_px
    height_m, _ = wanted.grid(side_px).ground_resolution_m()
    print(f"{len(wanted.tiles):,} tiles at zoom {tiles.zoom}, pixels of {height_m:.3g} m where tiles have {side_px}")
    if dry_run:
        return
    with terminable("the tiles that are there are kept, run the same command again"), talk.listener() as listen:
        lacking = fetch(output, wanted, listen=lambda done, total: listen(Progress("fetch", done, total)))
    print(f"{lacking:,} tiles are not there, nodata\n{output}" if lacking else output)
