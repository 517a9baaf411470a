"""geoseg review: where a map is least sure, to be corrected."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.options import VECTOR_FILE, Overwrite, named_path, spread, target
from geoseg.cli.table import table
from geoseg.disk.places import vector_target

MOST_SHOWN = 10


@spread
def review(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Output folder of a run.", parser=named_path)],
    *,
    output: Annotated[
        Path,
        target(VECTOR_FILE),
    ],
    count: Annotated[int, typer.Option(min=1, help="Windows to look at.")] = 50,
    side_px: Annotated[int, typer.Option(min=16, max=4096, help="Side of a window.")] = 256,
    overwrite: Overwrite = False,
) -> None:
    """Write the windows of a map that are least sure, spread over classes and ground, as polygons to be corrected.

    Correct class and outline in QGIS, set review to accepted, edited or rejected, and train with the file as labels.
    """
    vector_target(output, overwrite=overwrite, inputs=[])  # before libraries are loaded
    from geoseg.jobs.review import review as write

    picked = write(folder, output, count=count, side_px=side_px, overwrite=overwrite)
    rows = [[i, f"{d.score:.3f}", d.box.row0, d.box.col0] for i, d in enumerate(picked[:MOST_SHOWN], start=1)]
    if rows:
        print(f"{table(rows, head=['rank', 'doubt', 'row', 'column'])}\n")
    print(f"{output}: {len(picked)} windows")
