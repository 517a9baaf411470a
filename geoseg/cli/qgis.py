"""geoseg qgis: the plugin for QGIS."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from geoseg.cli.options import spread, target


@spread
def qgis(
    action: Annotated[
        Literal["install", "zip"],
        typer.Argument(metavar="ACTION", help="install: into a profile; zip: a file to install from."),
    ],
    *,
    profile: Annotated[str, typer.Option(help="Profile to install into.")] = "default",
    output: Annotated[
        Path | None,
        target("Zip to write (default: geoseg_qgis.zip)."),
    ] = None,
) -> None:
    """Install the plugin for QGIS, with algorithms for the Processing toolbox and a dock for review, or write its zip.

    The plugin runs this geoseg; one that is installed from a zip asks for an environment, or makes it.
    """
    from geoseg.qgis.install import install, write_zip

    print(install(profile) if action == "install" else write_zip(output or Path("geoseg_qgis.zip")))
