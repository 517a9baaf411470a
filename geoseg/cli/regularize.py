"""geoseg regularize: straight walls and right corners for footprints that come from elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.options import VECTOR_FILE, JsonOut, Overwrite, spread, target
from geoseg.cli.table import print_json
from geoseg.disk.places import vector_files, vector_target
from geoseg.options.polygons import RegularizeOptions


@spread
def regularize(
    footprints: Annotated[
        Path, typer.Argument(metavar="FOOTPRINTS", help="Polygons: GeoPackage, GeoJSON, (zipped) Shapefile, …")
    ],
    *,
    output: Annotated[
        Path,
        target(VECTOR_FILE),
    ],
    layer: Annotated[str | None, typer.Option(help="Layer to read, where there are several.")] = None,
    options: RegularizeOptions,
    overwrite: Overwrite = False,
    json_out: JsonOut = False,
) -> None:
    """Regularise building footprints that come from elsewhere; their attributes stay, and columns say what was done."""
    inputs = vector_files(footprints)
    output = vector_target(output, vector_format=options.vector_format, overwrite=overwrite, inputs=inputs)
    from geoseg.vector.footprints.regularize import regularize as straighten  # numba: a refusal does not wait for it

    made = straighten(footprints, output, layer=layer, options=options, overwrite=overwrite)
    if json_out:
        print_json(made)
        return
    kinds = ", ".join(f"{count} {status}" for status, count in made["status"].items())
    print(f"{made['count']} footprints, {made['area_m2'] / 1e4:.2f} ha: {kinds or 'none'}")
    for what in ("repaired", "left_out"):
        if made[what]:
            print(f"{made[what]} {what.replace('_', ' ')}")
    print(made["file"])
