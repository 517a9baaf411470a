"""geoseg vectorize: polygons of a raster that is there already."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.options import Overwrite, PolygonFlags, spread


@spread
def vectorize(
    raster: Annotated[Path, typer.Argument(metavar="RASTER", help="Probabilities, or classes with --class-id.")],
    *,
    output: Annotated[Path, typer.Option("-o", "--output", help="GeoPackage to write.", show_default=False)],
    polygons: PolygonFlags,
    band: Annotated[str | None, typer.Option(help="Band number or name (default: the only one, or the last).")] = None,
    class_id: Annotated[int | None, typer.Option(help="Draw this class of a class raster.")] = None,
    threshold: Annotated[float, typer.Option(help="Probability from which a pixel is inside.")] = 0.5,
    overwrite: Overwrite = False,
) -> None:
    """Draw the building polygons of a probability raster and write them as a styled GeoPackage."""
    from geoseg.engine.vectorize import vectorize as draw

    made = draw(
        raster,
        output,
        band=band,
        class_id=class_id,
        threshold=threshold,
        options=polygons.options(),
        overwrite=overwrite,
    )
    print(f"{made['count']} polygons, {made['area_m2'] / 1e4:.2f} ha\n{made['file']}")
