"""How a prediction is scored, as its user chooses it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from geoseg.options.option import Checked, Option, above, at_least
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
    zones: Annotated[str | None, Option("Polygons in each of which objects are counted.", metavar="FILE[:LAYER]")] = (
        None
    )
    min_area_m2: Annotated[
        float, Option("Smaller objects are left out, of the prediction and of the truth.", limit=at_least(0))
    ] = 0.0
    tolerance_m: Annotated[float, Option("How far apart boundaries may be and still agree.", limit=above(0))] = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions(Checked):
    """How a prediction is compared with an earlier one."""

    TOPIC = "Compare"

    against: Annotated[
        str | None, Option("An earlier prediction to compare with, class by class.", metavar="PREDICTION")
    ] = None
    not_worse: Annotated[
        float | None,
        Option("Exit with 8 where the IoU of a class falls by more than this.", unset="never", limit=at_least(0)),
    ] = None
    block_m: Annotated[
        float | None,
        Option("Side of the blocks that intervals are made of.", unset="the ground in 100 blocks", limit=above(0)),
    ] = None

    def _faults(self) -> Iterator[str]:
        for name in ("not_worse", "block_m"):
            if self.against is None and getattr(self, name) is not None:
                yield f"{name.replace('_', '-')}: name the earlier prediction with --against"
