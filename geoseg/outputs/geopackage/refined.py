"""Polygons that were drawn to what a scene shows, with the attributes they had and what was done."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from geoseg.outputs.geopackage.layer import GEOMETRY, PolygonLayer, free_name, polygon_column
from geoseg.outputs.geopackage.styles import Category, Style
from geoseg.scenes.vectors import VectorLayer
from geoseg.vector.ground import geodesic_area_m2

REFINED, KEPT, SKIPPED = "refined", "kept", "skipped"
COLUMNS = {
    "refined": ("Refined", "refined; kept: nothing was found that is like it; skipped: off the scene or on nodata"),
    "iou_before": ("IoU with before", "Common part of the outline before and after, as a share of their union"),
    "area_m2": ("Area [m²]", "Geodesic area on the ellipsoid of the layer's CRS, in square metres"),
    "area_change_m2": ("Change of area [m²]", "Area after less area before, in square metres"),
}
LOOKS = (
    Category(REFINED, "drawn anew", (61, 133, 198)),
    Category(KEPT, "as it was: nothing like it was found", (230, 145, 56)),
    Category(SKIPPED, "as it was: off the scene or on nodata", (128, 128, 128)),
)


class Redrawn(NamedTuple):
    """What became of an object."""

    status: str
    """REFINED, KEPT or SKIPPED."""
    iou_before: float
    """0..1."""
    polygon: shapely.Geometry | None
    """In the layer's CRS; None: as it was."""


def refined_layer(source: VectorLayer, *, provenance: Mapping[str, Any]) -> PolygonLayer:
    """Return the layer of the features of ``source`` with COLUMNS, which get a number where it has their names."""
    fields, added = [*source.schema], {}
    for column, kind in zip(COLUMNS, (pa.string(), pa.float64(), pa.float64(), pa.float64()), strict=True):
        name = free_name(column, [field.name for field in fields])
        fields.append(pa.field(name, kind))
        added[name] = COLUMNS[column]
    return PolygonLayer(
        name=source.name,
        schema=pa.schema([*fields, GEOMETRY.with_name(free_name("geom", [field.name for field in fields]))]),
        crs=source.crs_text,
        title=source.name,
        description="Outlines drawn to what a scene shows, made by geoseg",
        columns=added,
        style=Style(next(iter(added)), LOOKS),
        provenance=provenance,
    )


def refined_batch(
    layer: PolygonLayer, source: VectorLayer, given: NDArray[Any], attributes: pa.RecordBatch, drawn: Sequence[Redrawn]
) -> pa.RecordBatch:
    """Return features as rows of ``layer``; given: their geometries before, (N,)."""
    after = given.copy()
    for i, one in enumerate(drawn):
        if one.polygon is not None:
            after[i] = one.polygon
    after = shapely.force_2d(after)
    areas = np.zeros((2, len(given)))
    for row, shapes in zip(areas, (given, after), strict=True):
        there = ~shapely.is_missing(shapes)
        row[there] = geodesic_area_m2(shapes[there], source.crs)
    columns = [[one.status for one in drawn], [one.iou_before for one in drawn], areas[1], areas[1] - areas[0]]
    arrays = [pa.array(column) for column in columns]
    return pa.RecordBatch.from_arrays([*attributes.columns, *arrays, polygon_column(after)], schema=layer.schema)
