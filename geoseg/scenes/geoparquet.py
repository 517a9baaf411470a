"""GeoParquet files, read batch by batch as OGR's Arrow streams are: geometries as WKB, marked as such.

Not here: how they are written, see outputs/geoparquet.py.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from geoseg.errors import InputError

LON_LAT = "OGC:CRS84"  # where a file names none
MARK = {"ARROW:extension:name": "geoarrow.wkb"}


@contextmanager
def reading_geoparquet(
    path: str, columns: list[str] | None, *, rows: int = 20_000
) -> Iterator[tuple[dict[str, Any], pa.RecordBatchReader]]:
    """Yield the CRS, None where the file does not know it, and a reader of the geometries and ``columns``; None: all.

    What only helps to find features, their boxes, is left out. Raises InputError for other files.
    """
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        known = file.schema_arrow
        geo = json.loads((known.metadata or {})[b"geo"])
        geometry = geo["primary_column"]
        about = geo["columns"][geometry]
        crs = about.get("crs", LON_LAT)
        boxes = about.get("covering", {}).get("bbox", {}).get("xmin", [None])[0]
    except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
        raise InputError(f"{path}: no GeoParquet that can be read ({str(error).splitlines()[0]})") from error
    names = [n for n in known.names if n not in (geometry, boxes) and (columns is None or n in columns)]
    schema = pa.schema([*map(known.field, names), known.field(geometry).with_metadata(MARK)])
    batches = (
        pa.RecordBatch.from_arrays([batch.column(name) for name in schema.names], schema=schema)
        for batch in file.iter_batches(rows, columns=schema.names)
    )
    with file:
        named = crs if crs is None or isinstance(crs, str) else json.dumps(crs)
        yield {"crs": named}, pa.RecordBatchReader.from_batches(schema, batches)
