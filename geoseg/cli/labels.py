"""geoseg labels: of boxes, lines, points, and polygons of a part (weak), or of what a model is sure of (pseudo)."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from geoseg.cli.options import Overwrite, SceneFlags, spread, target
from geoseg.cli.table import table
from geoseg.disk.places import refuse_file
from geoseg.errors import ConfigError

SURE = 0.9  # probability from which a model's own answer is a label


@spread
def labels(
    method: Annotated[Literal["weak", "pseudo"], typer.Argument(metavar="METHOD", help="weak or pseudo")],
    *,
    scene: SceneFlags,
    output: Annotated[
        Path,
        target("The label raster, .tif."),
    ],
    marks: Annotated[
        str | None,
        typer.Option(metavar="FILE[:LAYER]", help="Of weak: boxes, lines, points or polygons, in any CRS."),
    ] = None,
    model: Annotated[str | None, typer.Option("-m", "--model", help="Of pseudo: a model bundle.")] = None,
    confidence: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help=f"Of pseudo: the least probability of a label; below it is void (default: {SURE})."
        ),
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="Of weak: column of the marks with the class (default: all are objects).")
    ] = None,
    kind: Annotated[
        Literal["boxes", "scribbles", "partial"] | None,
        typer.Option(help="Of weak: what the marks are (default: rectangles are boxes, lines and points scribbles)."),
    ] = None,
    rest: Annotated[
        Literal["void", "background"] | None,
        typer.Option(help="Of weak: what unmarked ground is (default: background beside boxes, else void)."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make a label raster of a scene.

    weak: of marks; objects in boxes by GrabCut, regions of lines and points by a random walker. pseudo: what a model
    says where it is sure, to train it or a smaller one further. geoseg labels export and geoseg labels import take
    polygons to annotation tools and back.
    """
    if output.suffix.lower() not in (".tif", ".tiff"):
        raise ConfigError(f"{output}: labels are a GeoTIFF, so the name ends in .tif")
    if marks is None and method == "weak":
        raise ConfigError("weak labels are made of marks: name them, --marks FILE")
    if model is None and method == "pseudo":
        raise ConfigError("pseudo-labels are what a model says: name one, -m BUNDLE")
    others: dict[str, dict[str, object]] = {
        "weak": {"--model": model, "--confidence": confidence},
        "pseudo": {"--marks": marks, "--column": column, "--kind": kind, "--rest": rest},
    }
    if stray := [flag for flag, value in others[method].items() if value is not None]:
        raise ConfigError(
            f"{', '.join(stray)}: not of {method} labels; leave {'it' if len(stray) == 1 else 'them'} out"
        )
    refuse_file(output, overwrite=overwrite, inputs=[*([marks] if marks else []), *(scene.files or ())])
    from geoseg.models.bundle import load_model
    from geoseg.training.pseudo import write_pseudo_labels
    from geoseg.training.weak import Marks, weak_labels, write_labels

    opened = scene.open()
    if model is not None and method == "pseudo":
        bundle = load_model(model)
        ids = write_pseudo_labels(output, opened, bundle, confidence=SURE if confidence is None else confidence)
        classes, told = bundle.spec.class_map, f"{(ids == 0).mean():.1%} of the scene is void: no data, or less sure"
    else:
        assert marks is not None  # refused above
        read = Marks.read(marks, opened.grid, column=column, kind=kind)
        made = weak_labels(opened, read, rest=rest)
        unclear = f", {made.unclear} without a difference to their surroundings: void" if made.unclear else ""
        classes, ids, source = read.classes, made.ids, f"{len(read.ids)} {read.kind}"
        write_labels(output, ids, opened, classes, source=source)
        told = f"weak labels of {source}{unclear}"
    print(table([[c.name, str(int((ids == c.id).sum()))] for c in classes], head=["class", "pixels"]))
    print(f"\n{told}\n{output}")
