"""geoseg annotations: the objects of a run as files for tools of annotation and training."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.options import Output, Overwrite, named_path, spread
from geoseg.disk.places import refuse_file
from geoseg.outputs.coco import FILES


@spread
def annotations(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Output folder of a run.", parser=named_path)],
    *,
    output: Output,
    overwrite: Overwrite = False,
) -> None:
    """Write the objects of a run as COCO files: instances.json, panoptic.json with panoptic.png, georeference.json.

    The whole scene is one image. The outputs of the run stay as they are.
    """
    for name in FILES:
        refuse_file(output / name, overwrite=overwrite, inputs=[])
    from geoseg.jobs.annotations import annotations as write

    for path in write(folder, output, overwrite=overwrite):
        print(path)
