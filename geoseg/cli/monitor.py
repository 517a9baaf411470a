"""geoseg monitor: how far runs drift."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.options import Overwrite, named_path, spread, target
from geoseg.cli.table import table
from geoseg.disk.places import refuse_file, refuse_suffix
from geoseg.errors import ConfigError, FaultFoundError


@spread
def monitor(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Output folders of runs.", parser=named_path)
    ],
    *,
    output: Annotated[
        Path,
        target("Page to write."),
    ],
    psi: Annotated[float, typer.Option(min=0, help="Largest stability index of a band.")] = 0.25,
    alert: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="A share that is an alarm, e.g. 'building > 2 %'.")
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(parser=named_path, metavar="FOLDER", help="Runs to compare with, not the model's training."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Compare the values and classes of runs over time with a model's training, or with other runs, as a page.

    Exit code 8 where a band's population stability index is above --psi, or a class has a share that --alert names. Of
    several runs --against, or areas of the training, the index that each has against all of them is no alarm either.
    """
    if psi == float("inf"):
        raise ConfigError("psi inf: no index would be above it; give a number")
    refuse_suffix(output, (".html", ".htm"))
    refuse_file(output, overwrite=overwrite, inputs=[])
    from geoseg.config.load import scene_of_run
    from geoseg.jobs.monitor import Alert, Watch, drift_page
    from geoseg.outputs.page import write_page

    alerts, others = [Alert.parse(text) for text in alert or ()], against or []
    watch = Watch.of(scene_of_run, psi=psi, alerts=alerts, against=others)
    found = sorted((watch.over(folder) for folder in folders), key=lambda one: (one.finished, one.name))
    write_page(output, drift_page(found, psi=psi, against=others))
    rows = [[one.name, one.finished, f"{max(one.psi.values()):.3f}", "; ".join(one.faults) or "–"] for one in found]
    print(f"{table(rows, head=['run', 'finished', 'largest index', 'beyond its bounds'])}\n\n{output}")
    if faulty := [one.name for one in found if one.faults]:
        raise FaultFoundError(f"{len(faulty)} of {len(found)} runs are beyond their bounds: {', '.join(faulty[:5])}")
