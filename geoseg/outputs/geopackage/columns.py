"""Features put together again from their single polygons, with the columns that say how each was fitted."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS
from scipy.spatial import cKDTree

from geoseg.outputs.geopackage.footprints import COLUMNS as BUILDINGS
from geoseg.outputs.geopackage.layer import GEOMETRY, PolygonLayer, free_name, polygon_column
from geoseg.outputs.geopackage.styles import Category, Style
from geoseg.scenes.vectors import VectorLayer
from geoseg.vector.fit.fit import STATUS
from geoseg.vector.ground import geodesic_measures
from geoseg.vector.tiles.outlines import Fit

EMPTY = "empty"  # status of a feature without ground
COLUMNS = {
    "status": pa.string(),
    "direction_deg": pa.float32(),
    "deviation_m": pa.float32(),
    "rms_m": pa.float32(),
    "iou_contour": pa.float32(),
    "area_m2": pa.float64(),
    "perimeter_m": pa.float64(),
    "repaired": pa.bool_(),
}
LOOKS = {  # of a status: legend, and colour: that of the class building for what is usual
    "ortho": ("right angles", (200, 66, 46)),
    "multi": ("several directions", (230, 145, 56)),
    "circle": ("circle", (142, 99, 170)),
    "free": ("directions of their own", (61, 133, 198)),
    "unchanged": ("unchanged: the contour as it was", (128, 128, 128)),
}


ABOUT = {  # alias, description
    **{name: BUILDINGS[name] for name in COLUMNS if name in BUILDINGS},
    "repaired": ("Repaired", "Whether the outline was invalid as it was given"),
}


def fitted_layer(source: VectorLayer, *, high: bool, provenance: Mapping[str, Any]) -> PolygonLayer:
    """Return the layer of the features of ``source`` with COLUMNS; high: whether any has heights."""
    names = column_names(source.schema.names)
    added = [pa.field(name, kind) for name, kind in zip(names, COLUMNS.values(), strict=True)]
    attributes = pa.schema([*source.schema, *added])
    return PolygonLayer(
        name=source.name,
        schema=attributes.append(GEOMETRY.with_name(free_name("geom", attributes.names))),
        crs=source.crs_text,
        high=high,
        title=source.name,
        description="Outlines with straight walls and right corners, made by geoseg",
        columns={name: ABOUT[column] for name, column in zip(names, COLUMNS, strict=True)},
        style=Style(names[0], tuple(Category(status, *look) for status, look in LOOKS.items())),
        provenance=provenance,
    )


def fitted_batch(
    layer: PolygonLayer, attributes: pa.RecordBatch, features: "FittedFeatures", repaired: NDArray[np.bool_]
) -> pa.RecordBatch:
    """Return features as rows of ``layer``; repaired: which were invalid as they were given, (N,)."""
    columns = [pa.array(column, from_pandas=True) for column in (*features[1:], repaired)]
    geometries = polygon_column(features.geometries)
    return pa.RecordBatch.from_arrays([*attributes.columns, *columns, geometries], schema=layer.schema)


class FittedFeatures(NamedTuple):
    """Features and their columns, all (N,), in the order of COLUMNS without repaired."""

    geometries: NDArray[np.object_]
    status: NDArray[np.object_]
    direction_deg: NDArray[np.float32]
    deviation_m: NDArray[np.float32]
    rms_m: NDArray[np.float32]
    iou_contour: NDArray[np.float32]
    area_m2: NDArray[np.float64]
    perimeter_m: NDArray[np.float64]


def column_names(taken: list[str]) -> list[str]:
    """Return a name for each of COLUMNS that the layer has not: its own, or that with fit_ before it.

    >>> column_names(["id", "Status", "fit_status"])[:2]
    ['fit_fit_status', 'direction_deg']
    """
    used, out = {name.lower() for name in taken}, []
    for name in COLUMNS:
        free = name
        while free in used:
            free = f"fit_{free}"
        out.append(free)
    return out


def fitted_features(
    given: NDArray[np.object_], parts: NDArray[np.object_], owner: NDArray[np.intp], fit: Fit, *, crs: CRS
) -> FittedFeatures:
    """Put the fitted ``parts`` of features together; owner: which of the ``given`` features each is of, ascending.

    status and direction are those of the largest part, the deviation is the largest, rms and IoU are means by area. A
    feature without parts stays as it was given. Those with heights keep them: each vertex takes that of the nearest.
    """
    count = len(given)
    geometries = _joined(given, parts, owner)
    area = shapely.area(parts)
    order = np.lexsort((-area, owner))
    largest = order[np.flatnonzero(np.diff(owner[order], prepend=-1))]
    filled = owner[largest]
    status = np.full(count, EMPTY, object)
    status[filled] = np.array(STATUS, object)[fit.status[largest]]
    direction, deviation, rms, iou = (np.full(count, np.nan, np.float32) for _ in range(4))
    direction[filled] = fit.direction_deg[largest]
    deviation[filled] = 0
    np.maximum.at(deviation, owner, fit.deviation_m.astype(np.float32))
    for column, values in ((rms, fit.rms_m), (iou, fit.iou_contour)):
        weights = (np.bincount(owner, weights=w, minlength=count)[filled] for w in (area * values, area))
        column[filled] = np.divide(*weights)
    measures = np.zeros((2, count))
    measures[:, filled] = geodesic_measures(geometries[filled], crs)
    return FittedFeatures(geometries, status, direction, deviation, rms, iou, *measures)


def _joined(given: NDArray[np.object_], parts: NDArray[np.object_], owner: NDArray[np.intp]) -> NDArray[np.object_]:
    """Return the features as MultiPolygons, with heights where they were given some."""
    out = given.copy()
    filled = np.unique(owner)
    out[filled] = shapely.multipolygons(shapely.orient_polygons(parts), indices=np.searchsorted(filled, owner))
    for i in filled[~shapely.is_valid(out[filled])]:  # parts of one feature that have a wall in common
        out[i] = shapely.union_all(shapely.get_parts(out[i]))
    for i in filled[shapely.has_z(given[filled])]:
        out[i] = _with_heights(out[i], given[i])
    return out


def _with_heights(drawn: shapely.Geometry, given: shapely.Geometry) -> shapely.Geometry:
    old = shapely.get_coordinates(given, include_z=True)
    nearest = cKDTree(old[:, :2]).query(shapely.get_coordinates(drawn))[1]
    return shapely.transform(
        shapely.force_3d(drawn), lambda xyz: np.column_stack([xyz[:, :2], old[nearest, 2]]), include_z=True
    )
