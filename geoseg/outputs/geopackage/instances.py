"""instances.gpkg: the objects of a panoptic map, one polygon along the edges of its pixels each."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rasterio.crs import CRS

from geoseg.outputs.geopackage.layer import (
    CLASS_COLUMNS,
    GEOMETRY,
    PolygonLayer,
    class_style,
    polygon_column,
)
from geoseg.outputs.geopackage.writer import write_areas
from geoseg.values.classes import ClassMap
from geoseg.vector.ground import geodesic_measures

LAYER = "instances"
COLUMNS = {
    "segment_id": ("Object", "Number of the object, its value in panoptic.tif"),
    **CLASS_COLUMNS,
    "score": ("Score", "Value of the object's centre times the mean confidence of its pixels, 0 to 1"),
    "perimeter_m": ("Perimeter [m]", "Geodesic length of the outline, holes included, in metres"),
    "pixels": ("Pixels", "Number of pixels"),
}
SCHEMA = pa.schema(
    [
        pa.field("segment_id", pa.int64()),
        pa.field("class_id", pa.int16()),
        pa.field("class_name", pa.string()),
        pa.field("score", pa.float32()),
        pa.field("area_m2", pa.float64()),
        pa.field("perimeter_m", pa.float64()),
        pa.field("pixels", pa.int64()),
        GEOMETRY,
    ]
)


DETECTED = {
    "joined": ("Joined", "Whether it was put together of pieces that windows have cut"),
    "clear_px": ("Clearance", "Pixels from the object to the nearest edge of the window that saw it"),
}


def schema_of(*, detected: bool) -> pa.Schema:
    """Return the columns; detected: of objects that windows have detected."""
    more = [pa.field("joined", pa.bool_()), pa.field("clear_px", pa.int32())] if detected else []
    return pa.schema([*list(SCHEMA)[:-1], *more, GEOMETRY])


class Objects(NamedTuple):
    """N objects, in the order of their ids."""

    ids: NDArray[np.int64]
    """Their values in the panoptic raster, (N,)."""
    class_ids: NDArray[np.int64]
    """Their classes, (N,)."""
    score: NDArray[np.float64]
    """0..1, (N,)."""
    pixels: NDArray[np.int64]
    """How many they have, (N,)."""
    pieces: tuple[NDArray[np.bool_], NDArray[np.int64]] | None = None
    """Of objects that windows have detected: whether they are joined of pieces, and their clearance, (N,)."""


def instances_batch(objects: Objects, polygons: NDArray[np.object_], *, crs: CRS, classes: ClassMap) -> pa.RecordBatch:
    """Return objects and their MultiPolygons (N,) as rows of the layer, with true areas and perimeters."""
    areas, perimeters = geodesic_measures(polygons, crs)
    columns = [
        pa.array(objects.ids, pa.int64()),
        pa.array(objects.class_ids, pa.int16()),
        pa.array([classes.by_id(int(i)).name for i in objects.class_ids], pa.string()),
        pa.array(objects.score.astype(np.float32)),
        pa.array(areas),
        pa.array(perimeters),
        pa.array(objects.pixels, pa.int64()),
        *(() if objects.pieces is None else (pa.array(objects.pieces[0]), pa.array(objects.pieces[1], pa.int32()))),
        polygon_column(polygons),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema_of(detected=objects.pieces is not None))


def write_instances(
    path: Path,
    batches: Iterable[pa.RecordBatch],
    *,
    crs: CRS,
    things: ClassMap,
    classes: ClassMap,
    provenance: Mapping[str, Any],
    detected: bool = False,
) -> tuple[int, float]:
    """Write rows of ``instances_batch`` as layer "instances" in one pass; return their number and area in m².

    things: the classes that objects are of, classes: the model's table; detected: see ``Objects.pieces``. No objects
    give an empty layer, styled all the same. Raises OutputError where the file is open elsewhere or cannot be written,
    and what the batches raise.
    """
    layer = PolygonLayer(
        name=LAYER,
        schema=schema_of(detected=detected),
        crs=crs.to_wkt(),
        title="Objects",
        description=f"Objects of {', '.join(c.name for c in things)} with geodesic areas and scores, made by geoseg",
        columns={**COLUMNS, **(DETECTED if detected else {})},
        style=class_style(things.classes),
        classes=classes.classes,
        provenance=provenance,
    )
    return write_areas(path, layer, batches)
