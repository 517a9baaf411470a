"""geoseg areas: hectares by class and zone."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.options import JsonOut, Overwrite, spread, target
from geoseg.cli.table import print_json, table
from geoseg.disk.places import vector_target


@spread
def areas(
    prediction: Annotated[str, typer.Argument(metavar="OUT", help="A run's folder, or a raster of classes.")],
    *,
    zones: Annotated[
        str, typer.Option(help="Polygons, as FILE or FILE|layername=NAME, in any CRS.", show_default=False)
    ],
    output: Annotated[
        Path,
        target("File to write: a table, .csv, or the zones as .gpkg, .parquet, .fgb, .geojson, .shp or .shz."),
    ],
    overwrite: Overwrite = False,
    json_out: JsonOut = False,
) -> None:
    """Write the hectares and share of every class in each zone, and how many polygons lie in it.

    Areas are true ground; a pixel belongs to the zone in which its middle lies. What of a zone lies beyond the map
    counts as no data. Zones that overlap are each counted on their own.
    """
    vector_target(output, overwrite=overwrite, inputs=[], also=(".csv",))  # before libraries are loaded
    from geoseg.jobs.areas import areas as measure

    rows = measure(prediction, zones, output, overwrite=overwrite)
    if json_out:
        print_json(rows, dates=True)
        return
    names = [name for name in rows[0] if name.endswith("_ha")]
    totals = [[name.removesuffix("_ha"), f"{sum(row[name] for row in rows):.2f}"] for name in names]
    print(f"{table(totals, head=[f'{len(rows)} zones', 'ha'])}\n\n{output}")
