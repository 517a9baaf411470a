"""What becomes a polygon, as its user chooses it: frozen values with the defaults of the command line."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Literal

from geoseg.options.checked import Checked

Method = Literal["regular", "contour"]
Split = Literal["borders", "necks", "none"]
LEAST_COMPONENT_PX = 512**2


@dataclass(frozen=True, slots=True, kw_only=True)
class PolygonOptions(Checked):
    """Options of the polygons, in true ground metres; see ``geoseg.vector.FootprintRules`` for all but the last two.

    split: "borders" cuts touching buildings apart where the model sees a border between them, "none" leaves them
    merged, "necks" parts them where what is connected is narrow; a model without an interior channel sees no borders.
    max_component_px: what is connected and whose box holds more
    pixels is drawn by its pixels' edges, not fitted.
    """

    min_area_m2: float = 5.0
    min_hole_m2: float = 2.0
    tolerance_m: float | None = None
    method: Method = "regular"
    diagonal_penalty: float | None = None
    split: Split = "borders"
    max_component_px: int = 2**23  # memory of a lane is planned for so many

    def _faults(self) -> Iterator[str]:
        for name in ("min_area_m2", "min_hole_m2", "tolerance_m", "diagonal_penalty"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < inf:
                yield f"{name.replace('_', '-')} {value}: choose 0 or more"
        if self.max_component_px < LEAST_COMPONENT_PX:
            yield f"max_component_px {self.max_component_px}: give {LEAST_COMPONENT_PX} or more"

    @property
    def splits(self) -> bool:
        """Whether touching buildings are cut apart."""
        return self.split == "borders"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegularizeOptions(Checked):
    """Options of footprints that come from elsewhere, in true ground metres; see ``geoseg.vector.footprints.imported``.

    pixel_m: side of the pixels the outlines were drawn from, or how exact they are; None: found from their steps, and
    0.25 m for outlines without. tolerance_m: how far a wall may be from the outline (None: four pixels). Smaller holes
    than min_hole_m2 are filled, then smaller footprints than min_area_m2 left out.
    """

    pixel_m: float | None = None
    tolerance_m: float | None = None
    min_area_m2: float = 0.0
    min_hole_m2: float = 0.0

    def _faults(self) -> Iterator[str]:
        if self.pixel_m is not None and not 0.01 <= self.pixel_m <= 100:
            yield f"pixel-m {self.pixel_m}: choose 0.01 to 100"
        for name in ("tolerance_m", "min_area_m2", "min_hole_m2"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < inf:
                yield f"{name.replace('_', '-')} {value}: choose 0 or more"
