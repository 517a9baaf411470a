"""geoseg check: re-read finished outputs."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.options import spread
from geoseg.cli.table import table
from geoseg.errors import FaultFoundError


@spread
def check(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Output folder of a run.")],
) -> None:
    """Re-read the outputs of a run and say whether they are sound; exit code 8 where one is not."""
    from geoseg.outputs.check import check_outputs

    findings = check_outputs(folder)
    print(table([["ok" if f.ok else "FAULT", f.name, f.detail] for f in findings]))
    faults = [f for f in findings if not f.ok]
    if faults:
        raise FaultFoundError(
            f"{folder}: {len(faults)} of {len(findings)} checks found a fault, first {faults[0].name}: "
            f"{faults[0].detail}; run the job again"
        )
