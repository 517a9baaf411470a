"""geoseg labels weak: labels of boxes, lines, points, and polygons of a part."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from geoseg.cli.options import Overwrite, SceneFlags, named_path, spread
from geoseg.cli.table import table
from geoseg.disk.places import refuse_file
from geoseg.errors import ConfigError


@spread
def labels(
    method: Annotated[Literal["weak"], typer.Argument(metavar="METHOD", help="weak")],
    *,
    scene: SceneFlags,
    marks: Annotated[
        str,
        typer.Option(metavar="FILE[:LAYER]", help="Boxes, lines, points or polygons, in any CRS.", show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", parser=named_path, metavar="PATH", help="The label raster, .tif.", show_default=False
        ),
    ],
    column: Annotated[
        str | None, typer.Option(help="Column of the marks that holds the class (default: all are objects).")
    ] = None,
    kind: Annotated[
        Literal["boxes", "scribbles", "partial"] | None,
        typer.Option(help="What the marks are (default: rectangles are boxes, lines and points scribbles)."),
    ] = None,
    rest: Annotated[
        Literal["void", "background"] | None,
        typer.Option(help="What unmarked ground is (default: background beside boxes, else void)."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make a label raster of marks: objects in boxes by GrabCut, regions of lines and points by a random walker."""
    if output.suffix.lower() not in (".tif", ".tiff"):
        raise ConfigError(f"{output}: labels are a GeoTIFF, so the name ends in .tif")
    refuse_file(output, overwrite=overwrite, inputs=[marks, *(scene.files or ())])
    from geoseg.training.weak import Marks, weak_labels, write_labels

    opened = scene.open()
    read = Marks.read(marks, opened.grid, column=column, kind=kind)
    made = weak_labels(opened, read, rest=rest)
    write_labels(output, made, opened, read.classes)
    pixels = {c.name: int((made.ids == c.id).sum()) for c in read.classes}
    print(table([[name, str(n)] for name, n in pixels.items()], head=["class", "pixels"]))
    unclear = f", {made.unclear} without a difference to their surroundings: void" if made.unclear else ""
    print(f"\n{method} labels of {len(read.ids)} {read.kind}{unclear}\n{output}")
