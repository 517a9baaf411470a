"""geoseg clean: a class map without thin parts, gaps and small patches."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoseg.cli.options import Overwrite, spread, target
from geoseg.cli.table import table
from geoseg.disk.places import refuse_file, refuse_suffix
from geoseg.options.clean import CleanOptions

if TYPE_CHECKING:
    from geoseg.scenes.scene import Scene


@spread
def clean(
    source: Annotated[str, typer.Argument(metavar="OUT", help="A run's folder, or a raster of classes.")],
    *,
    output: Annotated[
        Path,
        target("GeoTIFF to write."),
    ],
    scene: Annotated[
        str | None, typer.Option(help="The scene that --crf looks at (default: that of the run).", metavar="FILE")
    ] = None,
    options: CleanOptions,
    overwrite: Overwrite = False,
) -> None:
    """Take thin parts, gaps and small patches out of a class map, the same for any tiling.

    First neighbours agree (--crf), then comes opening, then closing, then the sieve; nodata stays.
    """
    refuse_suffix(output, (".tif", ".tiff"))
    refuse_file(output, overwrite=overwrite, inputs=[])
    from geoseg.jobs.clean import clean as write

    image = _scene(source, scene) if options.crf else None
    pixels = write(source, output, options=options, scene=image, overwrite=overwrite)
    print(f"{table([[name, count] for name, count in pixels.items()], head=['class', 'pixels'])}\n\n{output}")


def _scene(source: str, named: str | None) -> "Scene":
    from geoseg.config.load import scene_of_run
    from geoseg.errors import ConfigError
    from geoseg.scenes.open import open_scene

    if named is None and not Path(source).is_dir():
        raise ConfigError(f"{source}: name the scene that crf looks at with --scene")
    return open_scene(named) if named is not None else scene_of_run(Path(source))
