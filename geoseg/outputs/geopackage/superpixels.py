"""Superpixels as polygons: what each holds of every band, and a class that somebody may give it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray
from rasterio.crs import CRS

from geoseg.outputs.geopackage.layer import GEOMETRY, PolygonLayer, free_name, layer_batch
from geoseg.outputs.geopackage.styles import Category, Style
from geoseg.outputs.geopackage.writer import write_layer
from geoseg.vector.ground import geodesic_measures

LAYER = "segments"
COLUMNS = {
    "segment_id": ("Segment", "Number of the superpixel"),
    "class": ("Class", "Name of its class, for whoever labels it"),
    "review": ("Review", "unseen, accepted, rejected or edited, for whoever labels it"),
    "area_m2": ("Area [m²]", "Geodesic area on the ellipsoid of the layer's CRS, in square metres"),
    "pixels": ("Pixels", "Number of pixels"),
}
UNSEEN = "unseen"
STYLE = Style("review", (Category(UNSEEN, "not labelled yet", (250, 210, 60)),))


def superpixel_schema(bands: Sequence[str]) -> pa.Schema:
    """Return the columns of the layer, with a mean of each band."""
    types = (pa.int64(), pa.string(), pa.string(), pa.float64(), pa.int64())
    fields = [pa.field(name, kind) for name, kind in zip(COLUMNS, types, strict=True)]
    for band in bands:
        fields.append(pa.field(free_name(f"mean_{band}", [f.name for f in fields]), pa.float32()))
    return pa.schema([*fields, GEOMETRY])


def superpixels_batch(
    ids: NDArray[Any], pixels: NDArray[Any], means: NDArray[Any], polygons: NDArray[Any], *, crs: CRS, schema: pa.Schema
) -> pa.RecordBatch:
    """Return N superpixels as rows: their numbers, pixels (N,), means (C, N) of bands, and MultiPolygons (N,)."""
    areas, _ = geodesic_measures(polygons, crs)
    return layer_batch(schema, [ids, [""] * len(ids), [UNSEEN] * len(ids), areas, pixels, *means], polygons)


def write_superpixels(
    path: Path, batches: Iterable[pa.RecordBatch], *, schema: pa.Schema, crs: CRS, provenance: Mapping[str, Any]
) -> int:
    """Write rows of ``superpixels_batch`` in one pass, and return their number; raises OutputError."""
    layer = PolygonLayer(
        name=LAYER,
        schema=schema,
        crs=crs.to_wkt(),
        title="Superpixels",
        description="Superpixels with the mean of every band, to be labelled by class and review, made by geoseg",
        columns=COLUMNS,
        style=STYLE,
        provenance=provenance,
    )
    return write_layer(path, layer, batches)
