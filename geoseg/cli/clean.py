"""geoseg clean: a class map without thin parts, gaps and small patches."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.options import Overwrite, spread, target
from geoseg.cli.table import table
from geoseg.disk.places import refuse_file, refuse_suffix
from geoseg.options.clean import CleanOptions


@spread
def clean(
    source: Annotated[str, typer.Argument(metavar="OUT", help="A run's folder, or a raster of classes.")],
    *,
    output: Annotated[
        Path,
        target("GeoTIFF to write."),
    ],
    options: CleanOptions,
    overwrite: Overwrite = False,
) -> None:
    """Take thin parts, gaps and small patches out of a class map, the same for any tiling.

    Opening comes first, then closing, then the sieve; nodata stays.
    """
    refuse_suffix(output, (".tif", ".tiff"))
    refuse_file(output, overwrite=overwrite, inputs=[])
    from geoseg.jobs.clean import clean as write

    pixels = write(source, output, options=options, overwrite=overwrite)
    print(f"{table([[name, count] for name, count in pixels.items()], head=['class', 'pixels'])}\n\n{output}")
