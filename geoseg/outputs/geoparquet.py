"""GeoParquet 1.1: one file of row groups along a Hilbert curve, each with the box of what it holds.

Rows wait on the disk, each batch along the curve, until all are there: then the row groups are known, and each takes
its rows from every batch. So memory holds a row group and the places of all rows on the curve, 8 bytes each.
"""

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import shapely
from numpy.typing import NDArray

from geoseg.outputs.geopackage.layer import PolygonLayer
from geoseg.outputs.provenance import PROVENANCE

GROUP_ROWS = 25_000
CURVE_BITS = 31
DEGREES_SPAN, SPAN = 2.0**9, 2.0**27  # of the square that the curve fills, about (0, 0): half of them either way
BBOX = ("xmin", "ymin", "xmax", "ymax")


def write_geoparquet(path: Path, layer: PolygonLayer, batches: Iterable[pa.RecordBatch]) -> int:
    """Write the rows of ``layer`` along a Hilbert curve, and return how many there are.

    Equal rows give equal bytes, however they are batched. Raises OSError and what the batches raise.
    """
    crs = pyproj.CRS.from_user_input(layer.crs)
    spool = path.with_name("rows.arrow")
    box = pa.struct([pa.field(side, pa.float64()) for side in BBOX])
    schema = layer.schema.append(pa.field(_box_name(layer), box))
    keys: list[NDArray[np.int64]] = []
    total = np.array([np.inf, np.inf, -np.inf, -np.inf])
    with pa.OSFile(str(spool), "wb") as file, pa.ipc.new_file(file, schema) as waiting:
        for batch in batches:
            bounds = shapely.bounds(shapely.from_wkb(batch.column(layer.geometry).to_numpy(zero_copy_only=False)))
            total = np.concatenate([np.fmin.reduce([total, *bounds])[:2], np.fmax.reduce([total, *bounds])[2:]])
            key = curve_places(bounds, span=DEGREES_SPAN if crs.is_geographic else SPAN)
            order = np.argsort(key, kind="stable")
            boxes = pa.StructArray.from_arrays(
                [pa.array(side) for side in bounds.T], fields=list(box), mask=pa.array(np.isnan(bounds[:, 0]))
            )
            waiting.write_batch(pa.RecordBatch.from_arrays([*batch.columns, boxes], schema=schema).take(order))
            keys.append(key[order])
    about = {b"geo": json.dumps(_geo(layer, crs, total)).encode(), PROVENANCE.encode(): _provenance(layer)}
    texts = [field.name for field in schema if pa.types.is_string(field.type)]  # others hardly ever repeat
    described = _described(schema, layer).with_metadata(about)
    with pq.ParquetWriter(path, described, compression="zstd", use_dictionary=texts) as writer:
        for begins, ends in _row_groups(keys):
            writer.write_table(_gathered(spool, keys, begins, ends), row_group_size=2**31)
    spool.unlink()
    return sum(map(len, keys))


def curve_places(bounds: NDArray[np.float64], *, span: float) -> NDArray[np.int64]:
    """Return the places of boxes' middles on the Hilbert curve of a square of side ``span`` about (0, 0), (N,).

    bounds: (N, 4); what has no box comes first.

    >>> quarters = np.array([[-1.0, -1], [-1, 1], [1, 1], [1, -1]])
    >>> curve_places(np.tile(quarters, 2), span=4.0) >> 60
    array([0, 1, 2, 3])
    """
    middles = (bounds[:, :2] + bounds[:, 2:]) / 2
    cells = np.nan_to_num((middles / span + 0.5) * 2**CURVE_BITS).clip(0, 2**CURVE_BITS - 1).astype(np.int64)
    x, y = cells.T
    place = np.zeros(len(cells), np.int64)
    for bit in reversed(range(CURVE_BITS)):
        right, up = x >> bit & 1, y >> bit & 1
        place = place << 2 | (3 * right ^ up)
        flipped, turned = (right & ~up & 1) == 1, up == 0
        mask = (1 << bit) - 1
        x, y = np.where(flipped, ~x & mask, x & mask), np.where(flipped, ~y & mask, y & mask)
        x, y = np.where(turned, y, x), np.where(turned, x, y)
    return np.where(np.isnan(middles[:, 0]), -1, place)


def _row_groups(keys: list[NDArray[np.int64]]) -> Iterable[tuple[int, int]]:
    """Yield where each row group begins and ends on the curve."""
    every = np.sort(np.concatenate([np.empty(0, np.int64), *keys]))
    cuts = [-1, *np.unique(every[GROUP_ROWS::GROUP_ROWS]).tolist(), 2**63 - 1]
    return pairwise(cuts) if len(every) else ()


def _gathered(spool: Path, keys: list[NDArray[np.int64]], begins: int, ends: int) -> pa.Table:
    """Return the rows between two places on the curve, in its order, and those at one place in their own order."""
    parts, places = [], []
    with pa.memory_map(str(spool)) as file, pa.ipc.open_file(file) as waiting:  # only what is taken is read
        for i, key in enumerate(keys):
            first, last = np.searchsorted(key, (begins, ends))
            if first < last:
                parts.append(waiting.get_batch(i).slice(first, last - first))
                places.append(key[first:last])
        return pa.Table.from_batches(parts).take(np.argsort(np.concatenate(places), kind="stable"))


def _geo(layer: PolygonLayer, crs: pyproj.CRS, total: NDArray[np.float64]) -> dict[str, object]:
    """Return the metadata that make a Parquet file a GeoParquet file."""
    column = {
        "encoding": "WKB",
        "geometry_types": ["MultiPolygon Z" if layer.high else "MultiPolygon"],
        "crs": crs.to_json_dict(),
        "covering": {"bbox": {side: [_box_name(layer), side] for side in BBOX}},
        **({"bbox": total.tolist()} if np.isfinite(total).all() and not layer.high else {}),
    }
    return {"version": "1.1.0", "primary_column": layer.geometry, "columns": {layer.geometry: column}}


def _box_name(layer: PolygonLayer) -> str:
    return "bbox" if "bbox" not in layer.schema.names else f"{layer.geometry}_bbox"


def _described(schema: pa.Schema, layer: PolygonLayer) -> pa.Schema:
    fields = [
        field.with_metadata({"description": layer.columns[field.name][1]}) if field.name in layer.columns else field
        for field in schema
    ]
    return pa.schema([field.remove_metadata() if field.name == layer.geometry else field for field in fields])


def _provenance(layer: PolygonLayer) -> bytes:
    return json.dumps(layer.provenance, sort_keys=True, ensure_ascii=False).encode()
