"""How a scene is cut into superpixels, as its user chooses it."""

from dataclasses import dataclass
from typing import Annotated, Literal

from geoseg.options.option import Checked, Option, span


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOptions(Checked):
    """Which superpixels are made, and how large."""

    TOPIC = "Segment"

    method: Annotated[
        Literal["slic", "waterpixels"],
        Option("slic: pixels of one colour that lie together; waterpixels: floods that meet at edges."),
    ] = "slic"
    spacing_px: Annotated[int, Option("Side of a cell of the lattice: one superpixel each.", limit=span(4, 128))] = 16
    compactness: Annotated[
        int,
        Option(
            "Difference in value, of 255, that slic counts as much as a distance of one spacing; larger: rounder.",
            limit=span(1, 255),
        ),
    ] = 40
