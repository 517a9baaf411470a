"""What autoconfig cannot see in the data, and how long the training may take."""

from dataclasses import dataclass
from typing import Annotated, Literal

from geoseg.options.option import Checked, Option, above


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoconfigOptions(Checked):
    """Which files are scenes and labels, what labels say, and the time for the training."""

    scenes: Annotated[
        str | None, Option("The scenes in DATA: a pattern with one *, or a folder.", unset="by their names")
    ] = None
    labels: Annotated[
        str | None,
        Option("Their labels: a pattern, where * stands for what it does in --scenes; a folder; or one file for all."),
    ] = None
    column: Annotated[str | None, Option("Column of label polygons that holds the class.", unset="found")] = None
    target: Annotated[
        Literal["buildings", "classes"] | None, Option("What is mapped: footprints, or classes.", unset="found")
    ] = None
    minutes: Annotated[float, Option("How long the training may take on this machine.", limit=above(0))] = 15.0
    device: Annotated[str, Option("auto, cpu or cuda.")] = "auto"
