"""geoseg change: two class maps compared."""

from typing import Annotated

import typer

from geoseg.cli.options import JsonOut, Output, Overwrite, spread
from geoseg.cli.table import print_json, table
from geoseg.errors import ConfigError


@spread
def change(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A run's folder, or a raster of classes.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="Another one of the same grid and classes.")],
    *,
    output: Output,
    min_area_m2: Annotated[float, typer.Option(help="Smaller patches of change are no polygons.")] = 0.0,
    overwrite: Overwrite = False,
    json_out: JsonOut = False,
) -> None:
    """Compare two class maps of one grid: what became what, as a raster, polygons and hectares.

    Writes change.tif, change.gpkg and change.csv. What is nodata on either side is nodata.
    """
    if not 0 <= min_area_m2 < float("inf"):
        raise ConfigError(f"--min-area-m2 {min_area_m2}: at least 0 is needed")
    from geoseg.jobs.change import change as compare

    made = compare(before, after, output, min_area_m2=min_area_m2, overwrite=overwrite)
    if json_out:
        print_json(made)
        return
    rows = [[r["from_class"], r["to_class"], f"{r['area_ha']:.4f}"] for r in made["changes"]]
    print(f"{table(rows, head=['before', 'after', 'ha'])}\n\n{made['polygons']} polygons\n{output}")
