"""buildings.gpkg: building polygons with names, true areas, a style and their provenance."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS

from geoseg.classes import ClassInfo, ClassMap
from geoseg.io.layer import (
    GEOMETRY,
    OGR_ERRORS,
    SIDECARS,
    PolygonLayer,
    as_multipolygons,
    refuse_if_in_use,
    write_layer,
)
from geoseg.polygons.fit import STATUS
from geoseg.polygons.footprints import Footprints
from geoseg.polygons.measure import geodesic_measures

__all__ = ["COLUMNS", "LAYER", "OGR_ERRORS", "SIDECARS", "refuse_if_in_use", "write_buildings"]

LAYER = "buildings"
COLUMNS = {  # alias, description
    "class_id": ("Class", "Class code"),
    "class_name": ("Class name", "Class name"),
    "area_m2": ("Area [m²]", "Geodesic area on the ellipsoid of the layer's CRS, in square metres"),
    "perimeter_m": ("Perimeter [m]", "Geodesic length of the outline, courtyards included, in metres"),
    "confidence": ("Confidence", "Mean probability of the class over the polygon's pixels, 0 to 1"),
    "status": (
        "Shape",
        "ortho: right angles; multi: several directions; circle; free: neither; kept: the contour as it was",
    ),
    "direction_deg": ("Direction [°]", "Direction of the walls against the raster's columns, clockwise, 0 to 90"),
    "deviation_m": ("Deviation [m]", "Largest distance from the contour of the probability"),
    "rms_m": ("Misfit [m]", "Root of the mean square distance from the contour of the probability"),
    "iou_contour": ("IoU with contour", "IoU with the contour of the probability"),
}
BATCH_ROWS = 65_536


def write_buildings(
    path: Path,
    found: Footprints,
    *,
    crs: CRS,
    target: ClassInfo,
    classes: ClassMap,
    provenance: Mapping[str, Any],
) -> NDArray[np.float64]:
    """Write ``found`` as layer "buildings" and return the polygons' true areas in m², shape (N,).

    target: the polygons' class; classes: the model's class table; provenance: kept as JSON, holds at least software,
    version, model and input. No polygons give an empty layer, styled all the same. Equal arguments give equal bytes.
    Raises OutputError where the file is open elsewhere or cannot be written.
    """
    areas, perimeters = geodesic_measures(found.geometries, crs)
    table = _attributes(found, areas, perimeters, target)
    schema = pa.schema([*(pa.field(name, column.type) for name, column in table.items()), GEOMETRY])
    layer = PolygonLayer(
        name=LAYER,
        title=f"{target.name.capitalize()} polygons",
        description=f"Polygons of class {target.name!r} with geodesic areas and confidence, made by geoseg",
        columns=COLUMNS,
        styled=[target],
        classes=classes.classes,
        provenance=provenance,
    )

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(found), BATCH_ROWS):
            multi = as_multipolygons(found.geometries[start : start + BATCH_ROWS])
            columns = [column.slice(start, BATCH_ROWS) for column in table.values()]
            yield pa.RecordBatch.from_arrays([*columns, pa.array(shapely.to_wkb(multi), pa.binary())], schema=schema)

    write_layer(path, layer, batches(), schema=schema, crs=crs)
    return areas


def _attributes(
    found: Footprints, areas: NDArray[np.float64], perimeters: NDArray[np.float64], target: ClassInfo
) -> dict[str, pa.Array]:
    """Return the columns by name; those that tell how a polygon was fitted only where it was."""
    table = {
        "class_id": pa.array(np.full(len(found), target.id, np.int16)),
        "class_name": pa.array([target.name] * len(found), pa.string()),
        "area_m2": pa.array(areas),
        "perimeter_m": pa.array(perimeters),
        "confidence": pa.array(found.mean_probability.astype(np.float32)),
    }
    if found.fit is not None:
        table |= {
            "status": pa.array([STATUS[code] for code in found.fit.status], pa.string()),
            "direction_deg": pa.array(found.fit.direction_deg.astype(np.float32), from_pandas=True),  # NaN is NULL
            "deviation_m": pa.array(found.fit.deviation_m.astype(np.float32), from_pandas=True),
            "rms_m": pa.array(found.fit.rms_m.astype(np.float32), from_pandas=True),
            "iou_contour": pa.array(found.fit.iou_contour.astype(np.float32), from_pandas=True),
        }
    return table
