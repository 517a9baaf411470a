"""geoseg report: files beside a run's outputs that a person reads."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.options import spread


@spread
def report(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Output folder of a run.")],
) -> None:
    """Write report.html, run.qgz (a QGIS project), item.json (STAC) and SHA256SUMS beside the outputs of a run.

    The outputs stay as they are; files of an earlier report are replaced.
    """
    from geoseg.jobs.report import report as write

    for path in write(folder):
        print(path)
