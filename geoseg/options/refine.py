"""How footprints are drawn to what a scene shows, as their user chooses it."""

from dataclasses import dataclass
from typing import Annotated, Literal

from geoseg.options.option import Checked, Option, above
from geoseg.options.polygons import VECTOR_FORMAT, VectorFormat

RefineMethod = Literal["snake", "graph-cut", "chan-vese"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineOptions(Checked):
    """How outlines move, and how far."""

    TOPIC = "Refine"

    method: Annotated[
        RefineMethod,
        Option(
            "snake: outlines are drawn to the strongest edges; graph-cut: colours of the object against those around; "
            "chan-vese: each side is as much of one colour as can be."
        ),
    ] = "snake"
    reach_m: Annotated[
        float | None, Option("How far outlines may move.", unset="six pixels of the scene", limit=above(0))
    ] = None
    skip_bad: Annotated[
        bool, Option("Leave objects as they are that lie off the scene or on nodata (default: refuse).")
    ] = False
    vector_format: Annotated[VectorFormat | None, VECTOR_FORMAT] = None
