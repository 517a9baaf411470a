"""What becomes a polygon, as its user chooses it; areas and lengths are true ground metres."""

from dataclasses import dataclass
from typing import Annotated, Literal

from geoseg.options.option import Checked, Option, at_least, span

Method = Literal["regular", "contour"]
Detail = Literal["plain", "normal", "fine"]
Split = Literal["borders", "necks", "none"]
VectorFormat = Literal["gpkg", "parquet", "fgb", "geojson", "shp", "shz"]

VECTOR_FORMAT = Option(
    "What polygons are written as: GeoPackage, GeoParquet, FlatGeobuf, GeoJSON, Shapefile, or one in an archive.",
    unset="by the suffix, else gpkg",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolygonOptions(Checked):
    """What becomes a polygon of a map; see ``geoseg.vector.FootprintRules`` for how."""

    min_area_m2: Annotated[float, Option("Smaller buildings are left out.", limit=at_least(0))] = 5.0
    min_hole_m2: Annotated[float, Option("Smaller holes are filled.", limit=at_least(0))] = 2.0
    tolerance_m: Annotated[
        float | None,
        Option(
            "How far a wall may stray from the contour.",
            unset="by pixel and detail",
            limit=at_least(0),
        ),
    ] = None
    method: Annotated[Method, Option("regular: straight walls and right corners; contour: the pixels' edges.")] = (
        "regular"
    )
    detail: Annotated[
        Detail,
        Option("What is drawn of a building: plain: from 1 m on; normal: from 0.45 m on; fine: whatever pixels show."),
    ] = "normal"
    diagonal_penalty: Annotated[
        float | None,
        Option(
            "How many corners a wall off the main direction must save; 0 squares nothing.", unset="4", limit=at_least(0)
        ),
    ] = None
    split: Annotated[
        Split,
        Option(
            "borders: touching buildings apart, where the model sees a border; necks: where they are narrow; "
            "none: merged."
        ),
    ] = "borders"
    max_component_px: Annotated[
        int,
        Option(
            "What is connected and whose box holds more pixels is drawn by its pixels' edges; takes memory.",
            limit=at_least(512**2),
        ),
    ] = 2**23
    vector_format: Annotated[VectorFormat | None, VECTOR_FORMAT] = None

    @property
    def splits(self) -> bool:
        """Whether touching buildings are cut apart."""
        return self.split == "borders"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegularizeOptions(Checked):
    """What becomes of footprints that come from elsewhere; see ``geoseg.vector.footprints.imported``."""

    pixel_m: Annotated[
        float | None,
        Option(
            "Pixel size the outlines were drawn from, or how exact they are.",
            unset="from their steps, else 0.25",
            limit=span(0.01, 100),
        ),
    ] = None
    tolerance_m: Annotated[
        float | None, Option("How far a wall may stray from the outline.", unset="four pixels", limit=at_least(0))
    ] = None
    min_area_m2: Annotated[float, Option("Smaller footprints are left out.", limit=at_least(0))] = 0.0
    min_hole_m2: Annotated[float, Option("Smaller holes are filled.", limit=at_least(0))] = 0.0
    vector_format: Annotated[VectorFormat | None, VECTOR_FORMAT] = None
