"""How a prediction is scored, as its user chooses it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from geoseg.options.option import Checked, Option, above
from geoseg.options.parse import NODATA, VALUES

NoNodata = Literal["none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions(Checked):
    """How prediction and truth are read, and how exact boundaries have to be."""

    aoi: Annotated[str | None, Option("Polygons of the ground to judge.", unset="all", metavar="FILE[:LAYER]")] = None
    layer: Annotated[str | None, Option("Layer of the truth's file.", unset="its only one")] = None
    column: Annotated[str | None, Option("Column of the truth's polygons that holds class names or ids.")] = None
    values: Annotated[
        Mapping[str, str] | None,
        Option(
            "What values of the truth mean: names or ids of classes, or nodata, e.g. 0=background,7=building.",
            text=VALUES,
        ),
    ] = None
    nodata: Annotated[
        float | NoNodata | None,
        Option(
            "Value that means unknown, instead of what a raster says.",
            unset="that; 0 in geoseg's own maps",
            text=NODATA,
        ),
    ] = None
    tolerance_m: Annotated[float, Option("How far apart boundaries may be and still agree.", limit=above(0))] = 1.0
