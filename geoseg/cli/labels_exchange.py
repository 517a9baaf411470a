"""geoseg labels export and labels import: to annotation tools, and back."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from geoseg.cli.options import VECTOR_FILE, Output, Overwrite, SceneFlags, named_path, spread, target
from geoseg.config.parse import parse_config
from geoseg.config.scene import SceneInput
from geoseg.disk.places import vector_target
from geoseg.errors import InputError, OutputError


@spread
def labels_export(
    scene: SceneFlags,
    *,
    files: Annotated[
        list[str],
        typer.Argument(metavar="SCENE... POLYGONS", help="A scene; polygons of any format, in any CRS."),
    ],
    output: Output,
    tool: Annotated[
        Literal["cvat", "label-studio"],
        typer.Option("--format", help="Of which tool: COCO for CVAT, or tasks with predictions.", show_default=False),
    ],
    column: Annotated[
        str | None, typer.Option(help="Column that holds the class (default: class or class_name, if any).")
    ] = None,
    tile_px: Annotated[int, typer.Option(min=64, max=8192, help="Side of a tile.")] = 1024,
) -> None:
    """Write a scene as tiles and its polygons as labels that CVAT or Label Studio read.

    Tiles are PNG with a world file each; tiles.json says where they lie: keep it, geoseg labels import needs it.
    """
    usage = f"{files[0]}: name the scene, then the polygons: geoseg labels export SCENE POLYGONS"
    keys = scene.before(files[:-1], usage)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise OutputError(f"{output}: exists already; choose another folder")
    from geoseg.training.exchange import export_labels

    opened = parse_config(SceneInput, keys, where="flags").open()
    tiles, objects = export_labels(opened, files[-1], output, tool=tool, column=column, side_px=tile_px)
    print(f"{output}: {objects} objects on {tiles} tiles")


@spread
def labels_import(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="COCO, or tasks of Label Studio as JSON.", parser=named_path)
    ],
    *,
    tiles: Annotated[
        Path | None,
        typer.Option(
            parser=named_path,
            metavar="FILE",
            help="The tiles.json of geoseg labels export, or georeference.json of geoseg annotations.",
        ),
    ] = None,
    output: Annotated[
        Path,
        target(VECTOR_FILE),
    ],
    overwrite: Overwrite = False,
) -> None:
    """Bring what was drawn in CVAT or Label Studio back to the map, as polygons to train with.

    Columns: class, and review, accepted where somebody looked at it. Polygons that were cut at tiles are whole again.
    """
    if tiles is None:
        raise InputError(
            f"{file}: does not say where its tiles lie; --tiles is missing: the tiles.json of geoseg "
            f"labels export, or the georeference.json of geoseg annotations"
        )
    path = vector_target(output, overwrite=overwrite, inputs=[file, tiles])
    from geoseg.training.exchange import import_labels

    print(f"{path}: {import_labels(file, tiles, path)} polygons")
