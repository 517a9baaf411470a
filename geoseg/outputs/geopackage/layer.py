"""Polygon layers: their columns, how they look, and where they come from.

Not here: what the columns are (footprints.py, coverage.py, columns.py), how a layer is written (writer.py), and how
layers are read (scenes/vectors.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from geoseg.outputs.geopackage.styles import Category, Style
from geoseg.values.classes import ClassInfo

GEOMETRY = pa.field("geom", pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"})
CLASS_COLUMNS = {  # alias, description
    "class_id": ("Class", "Class code"),
    "class_name": ("Class name", "Class name"),
    "area_m2": ("Area [m²]", "Geodesic area on the ellipsoid of the layer's CRS, in square metres"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolygonLayer:
    """A layer: its columns, what people read of it, and where it comes from."""

    name: str
    """The layer's name."""
    schema: pa.Schema
    """The attributes, then the geometries, a column as ``polygon_column`` makes it."""
    crs: str
    """The CRS as WKT or a code."""
    high: bool = False
    """Whether the polygons have heights."""
    title: str
    """What lists of layers show."""
    description: str
    """What the layer is, in one sentence."""
    columns: Mapping[str, tuple[str, str]]
    """Alias and description of attributes; others have none."""
    style: Style
    """How the layer looks."""
    classes: Sequence[ClassInfo] = ()
    """The classes that the column class_id may hold."""
    provenance: Mapping[str, Any]
    """Kept as JSON; holds at least software, version and input."""

    @property
    def geometry(self) -> str:
        """Name of the geometries' column."""
        return self.schema.names[-1]


def free_name(wanted: str, taken: list[str]) -> str:
    """Return ``wanted``, or that with a number, so that it is not ``taken`` in any case.

    >>> free_name("geom", ["GEOM", "geom_1", "fid"])
    'geom_2'
    """
    used = {name.lower() for name in taken}
    return next(name for name in chain([wanted], (f"{wanted}_{k}" for k in count(1))) if name.lower() not in used)


def polygon_column(geometries: NDArray[np.object_]) -> pa.Array:
    """Return (N,) Polygons, MultiPolygons and None as WKB of MultiPolygons, which OGR's Arrow path does not make."""
    single = shapely.get_type_id(geometries) == shapely.GeometryType.POLYGON
    several = geometries.copy()
    several[single] = shapely.multipolygons(geometries[single, None])
    return pa.array(shapely.to_wkb(several, flavor="iso"), pa.binary())


def layer_batch(schema: pa.Schema, columns: Iterable[Any], geometries: NDArray[np.object_]) -> pa.RecordBatch:
    """Return rows of a layer whose last column is the geometry, (N,); columns: the others, each (N,), in its order."""
    arrays = [pa.array(column, field.type) for column, field in zip(columns, [*schema][:-1], strict=True)]
    return pa.RecordBatch.from_arrays([*arrays, polygon_column(geometries)], schema=schema)


def class_style(classes: Sequence[ClassInfo]) -> Style:
    """Return a style that colours features by the column class_id."""
    return Style("class_id", tuple(Category(c.id, c.name, c.color) for c in classes))
