"""objects.gpkg: what a promptable model answers, a row an object, ready to be corrected and to train with."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import shapely
from rasterio.crs import CRS

from geoseg.outputs.geopackage.layer import GEOMETRY, PolygonLayer, layer_batch
from geoseg.outputs.geopackage.superpixels import COLUMNS as OF_LABELS
from geoseg.outputs.geopackage.superpixels import STYLE, UNSEEN
from geoseg.outputs.geopackage.writer import write_layer
from geoseg.vector.ground import geodesic_measures

LAYER = "objects"
COLUMNS = {
    "object": ("Object", "Name of the object, as its prompts have it"),
    "class": OF_LABELS["class"],
    "review": OF_LABELS["review"],
    "rank": ("Rank", "0: the answer; 1 and more: what the model finds less likely"),
    "predicted_iou": ("Predicted IoU", "What the model says of its own mask, 0 to 1"),
    "stability": ("Stability", "Share of the pixels that stay where the mask is drawn more strictly, 0 to 1"),
    "score": ("Score", "How sure it is that this is what the words say, or is there on that date, 0 to 1; else empty"),
    "date": ("Date", "Of the scene that it was followed to; empty where it was not"),
    "state": ("State", "Of what was followed: there, gone, or unseen where that date has no data"),
    "area_m2": OF_LABELS["area_m2"],
    "pixels": OF_LABELS["pixels"],
}
SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("object", "class", "review")),
        pa.field("rank", pa.int16()),
        *(pa.field(name, pa.float64()) for name in ("predicted_iou", "stability", "score")),
        *(pa.field(name, pa.string()) for name in ("date", "state")),
        pa.field("area_m2", pa.float64()),
        pa.field("pixels", pa.int64()),
        GEOMETRY,
    ]
)


class PromptedObject(NamedTuple):
    """An answer."""

    name: str
    """The object's."""
    rank: int
    """0: the likeliest mask."""
    predicted_iou: float | None
    """0..1, None where it was followed."""
    stability: float | None
    """0..1, None where it is of several masks."""
    pixels: int
    """How many it has."""
    polygon: shapely.Geometry | None
    """In the layer's CRS, None where the mask is empty."""
    class_name: str = ""
    """Empty where nobody says it."""
    score: float | None = None
    """0..1, None where neither words were asked for nor dates."""
    date: str = ""
    """Empty where it was not followed."""
    state: str = ""
    """there, gone or unseen; empty where it was not followed."""


def packed(objects: Sequence[PromptedObject]) -> bytes:
    """Return objects for a file, read back by ``unpacked``."""
    shapes = [None if one.polygon is None else shapely.to_wkb(one.polygon, hex=True) for one in objects]
    return json.dumps([one._replace(polygon=shape) for one, shape in zip(objects, shapes, strict=True)]).encode()


def unpacked(content: bytes) -> list[PromptedObject]:
    """Return what ``packed`` has written."""
    rows = [PromptedObject(*row) for row in json.loads(content)]
    return [one._replace(polygon=None if one.polygon is None else shapely.from_wkb(one.polygon)) for one in rows]


def prompted_batch(objects: Sequence[PromptedObject], *, crs: CRS) -> pa.RecordBatch:
    """Return objects as rows of the layer."""
    polygons = np.empty(len(objects), object)
    polygons[:] = [one.polygon for one in objects]
    areas = np.zeros(len(objects))
    there = ~shapely.is_missing(polygons)
    areas[there], _ = geodesic_measures(polygons[there], crs)
    columns = {
        "object": [one.name for one in objects],
        "class": [one.class_name for one in objects],
        "review": [UNSEEN] * len(objects),
        "rank": [one.rank for one in objects],
        "predicted_iou": [one.predicted_iou for one in objects],
        "stability": [one.stability for one in objects],
        "score": [one.score for one in objects],
        "date": [one.date for one in objects],
        "state": [one.state for one in objects],
        "area_m2": areas,
        "pixels": [one.pixels for one in objects],
    }
    return layer_batch(SCHEMA, columns.values(), polygons)


def write_prompted(path: Path, batches: Iterable[pa.RecordBatch], *, crs: CRS, provenance: Mapping[str, Any]) -> int:
    """Write rows of ``prompted_batch`` in one pass, and return their number; raises OutputError."""
    layer = PolygonLayer(
        name=LAYER,
        schema=SCHEMA,
        crs=crs.to_wkt(),
        title="Objects",
        description="Objects that were asked for by prompts, to be reviewed and classed, made by geoseg",
        columns=COLUMNS,
        style=STYLE,
        provenance=provenance,
    )
    return write_layer(path, layer, batches)
