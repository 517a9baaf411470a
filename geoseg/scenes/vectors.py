"""Vector files with all their attributes, read batch by batch: GeoParquet, and the formats that OGR knows.

Not here: how layers are written, see outputs/geopackage/writer.py; layers read at once, see polygons.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError
from rasterio.crs import CRS
from shapely.errors import GEOSException

from geoseg.disk.files import refuse_special
from geoseg.errors import InputError
from geoseg.scenes.geoparquet import reading_geoparquet
from geoseg.scenes.polygons import CURVED, is_geoparquet, layer_name, polygonal, split_layer

OGR_ERRORS = (DataSourceError, DataLayerError, FeatureError)
BATCH_ROWS = 20_000
WKB = (b"ogc.wkb", b"geoarrow.wkb")


@dataclass(frozen=True, slots=True, eq=False)
class VectorLayer:
    """A layer of polygons; crs_text: its CRS as the file says it; schema: its attributes."""

    path: str
    name: str
    crs: CRS
    crs_text: str
    schema: pa.Schema

    def batches(self, *, attributes: bool = True) -> Iterator[tuple[NDArray[np.object_], pa.RecordBatch]]:
        """Yield geometries (N,), None where there is none, and attributes, in the order of the file.

        Raises InputError where something else than polygons is found.
        """
        columns = self.schema.names if attributes else []
        with _opened(self.path, self.name, columns=columns) as (_, reader):
            for batch in reader:
                place = _geometry_field(batch.schema)
                wkb = batch.column(place).to_numpy(zero_copy_only=False)
                geometries = polygonal(_decoded(wkb, self.path), self.path)
                others = [batch.column(i) for i in range(batch.num_columns) if i != place] if attributes else []
                yield (
                    geometries,
                    pa.RecordBatch.from_arrays(others, schema=self.schema if attributes else pa.schema([])),
                )


def open_vectors(path: str | Path, *, layer: str | None = None, crs: CRS | None = None) -> VectorLayer:
    """Open a layer of a vector file, zipped or not; ``path`` may name it, see ``split_layer``; None is the only one.

    crs: that of the file, whatever it says of one. Raises InputError for what cannot be read or has no CRS, and where
    the layer has to be named.
    """
    path, named = split_layer(path)
    refuse_special(path)
    try:
        name = path.stem if is_geoparquet(path) and path.exists() else layer_name(path, layer or named)
    except OGR_ERRORS as error:
        said = "no such file" if not path.exists() else "not a vector file that can be read"
        raise InputError(f"{path}: {said} ({str(error).splitlines()[0]})") from error
    with _opened(str(path), name) as (meta, reader):
        schema = reader.schema.remove(_geometry_field(reader.schema)).remove_metadata()
    if crs is not None:
        return VectorLayer(str(path), name, crs, crs.to_wkt(), schema)
    if meta["crs"] is None:
        raise InputError(f"{path}: no CRS; set it with ogr2ogr -a_srs")
    return VectorLayer(str(path), name, CRS.from_user_input(meta["crs"]), meta["crs"], schema)


def _geometry_field(schema: pa.Schema) -> int:
    """Return the place of the geometries: an attribute may have their name."""
    return next(i for i, field in enumerate(schema) if (field.metadata or {}).get(b"ARROW:extension:name") in WKB)


def _decoded(wkb: NDArray[np.object_], path: str) -> NDArray[np.object_]:
    """Return geometries of WKB, None where there is none; raises InputError for curves."""
    try:
        return np.asarray(shapely.from_wkb(wkb, on_invalid="fix"))
    except NotImplementedError as error:  # shapely's word for curves
        raise InputError(f"{path}: {CURVED}") from error


@contextmanager
def _opened(path: str, layer: str, columns: list[str] | None = None) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield what the file says of the layer and a reader of its batches; what goes wrong is an InputError."""
    if is_geoparquet(path):
        with reading_geoparquet(path, columns) as opened:
            yield opened
        return
    how = {"batch_size": BATCH_ROWS, "use_pyarrow": True, "datetime_as_string": True}  # Arrow has no mixed time zones
    try:
        with pyogrio.open_arrow(path, layer=layer, columns=columns, **how) as opened:
            yield opened
    except (*OGR_ERRORS, CRSError, GEOSException, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error
