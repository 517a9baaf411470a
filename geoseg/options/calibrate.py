"""How a model is calibrated, as its user chooses it."""

from dataclasses import dataclass
from typing import Annotated, Literal

from geoseg.options.option import Checked, Option, inside


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateOptions(Checked):
    """What is fitted to labelled ground."""

    method: Annotated[
        Literal["temperature", "vector"],
        Option("temperature: one number for all classes; vector: a scale and a bias of each."),
    ] = "vector"
    thresholds: Annotated[
        Literal["f1", "keep"], Option("f1: of every class, for the highest mean F1; keep: as they are.")
    ] = "f1"
    precision: Annotated[
        float | None,
        Option("Instead, of every class the lowest threshold with this precision.", limit=inside(0, 1)),
    ] = None
