"""buildings.gpkg: building polygons with names, true areas, a style and their provenance."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from rasterio.crs import CRS

from geoseg.outputs.geopackage.layer import (
    CLASS_COLUMNS,
    GEOMETRY,
    PolygonLayer,
    class_style,
    polygon_column,
)
from geoseg.outputs.geopackage.writer import write_areas
from geoseg.values.classes import ClassInfo, ClassMap
from geoseg.values.confidence import PolygonConfidence, polygon_features
from geoseg.vector.fit.fit import STATUS
from geoseg.vector.footprints.extract import Footprints
from geoseg.vector.ground import geodesic_measures

LAYER = "buildings"
COLUMNS = {
    **CLASS_COLUMNS,
    "perimeter_m": ("Perimeter [m]", "Geodesic length of the outline, courtyards included, in metres"),
    "confidence": ("Confidence", "Chance that it is a building, where the model was calibrated, else mean probability"),
    "status": (
        "Shape",
        "ortho: right angles; multi: several directions; circle; free: neither; unchanged: the contour as it was",
    ),
    "direction_deg": ("Direction [°]", "Direction of the walls against the raster's columns, clockwise, 0 to 90"),
    "deviation_m": ("Deviation [m]", "Largest distance from the contour of the probability"),
    "rms_m": ("Misfit [m]", "Root of the mean square distance from the contour of the probability"),
    "iou_contour": ("IoU with contour", "IoU with the contour of the probability"),
}
_COMMON = [
    pa.field("class_id", pa.int16()),
    pa.field("class_name", pa.string()),
    pa.field("area_m2", pa.float64()),
    pa.field("perimeter_m", pa.float64()),
    pa.field("confidence", pa.float32()),
]
_OF_FIT = [
    pa.field("status", pa.string()),
    *(pa.field(name, pa.float32()) for name in ("direction_deg", "deviation_m", "rms_m", "iou_contour")),
]


def buildings_schema(*, fitted: bool) -> pa.Schema:
    """Return the columns of the layer; those of the fit only where polygons were fitted."""
    return pa.schema([*_COMMON, *(_OF_FIT if fitted else []), GEOMETRY])


def buildings_batch(
    found: Footprints, *, crs: CRS, target: ClassInfo, confidence: PolygonConfidence | None = None
) -> pa.RecordBatch:
    """Return polygons of class ``target`` as rows of the layer, with their true areas and perimeters.

    confidence: that of the model; None gives the mean probability over the polygon's pixels.
    """
    areas, perimeters = geodesic_measures(found.geometries, crs)
    sure = found.mean_probability
    if confidence is not None:
        fitted = None if found.fit is None else found.fit.iou_contour
        sure = confidence.of(
            polygon_features(mean_probability=sure, area_m2=areas, perimeter_m=perimeters, iou_contour=fitted)
        )
    columns = [
        pa.array(np.full(len(found), target.id, np.int16)),
        pa.array([target.name] * len(found), pa.string()),
        pa.array(areas),
        pa.array(perimeters),
        pa.array(sure.astype(np.float32)),
    ]
    if found.fit is not None:
        columns.append(pa.array([STATUS[code] for code in found.fit.status], pa.string()))
        for name in _OF_FIT[1:]:
            values = getattr(found.fit, name.name).astype(np.float32)
            columns.append(pa.array(values, from_pandas=True))  # NaN is NULL
    columns.append(polygon_column(shapely.orient_polygons(found.geometries)))
    return pa.RecordBatch.from_arrays(columns, schema=buildings_schema(fitted=found.fit is not None))


def write_buildings(
    path: Path,
    batches: Iterable[pa.RecordBatch],
    *,
    fitted: bool,
    crs: CRS,
    target: ClassInfo,
    classes: ClassMap,
    provenance: Mapping[str, Any],
) -> tuple[int, float]:
    """Write the rows of ``buildings_batch`` as layer "buildings" in one pass; return their number and area in m².

    target: the polygons' class; classes: the model's class table; provenance: kept as JSON, holds at least software,
    version, model and input. No polygons give an empty layer, styled all the same. Equal rows give equal bytes, however
    they are batched. Raises OutputError where the file is open elsewhere or cannot be written, and what the batches
    raise.
    """
    layer = PolygonLayer(
        name=LAYER,
        schema=buildings_schema(fitted=fitted),
        crs=crs.to_wkt(),
        title=f"{target.name.capitalize()} polygons",
        description=f"Polygons of class {target.name!r} with geodesic areas and confidence, made by geoseg",
        columns=COLUMNS,
        style=class_style([target]),
        classes=classes.classes,
        provenance=provenance,
    )
    return write_areas(path, layer, batches)
