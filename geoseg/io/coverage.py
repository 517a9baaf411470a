"""Coverages as GeoPackages: land-cover polygons with class names, true areas, a style and their provenance."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from geoseg.classes import ClassInfo
from geoseg.io.geopackage import COLUMNS
from geoseg.io.layer import GEOMETRY, PolygonLayer, as_multipolygons, write_layer
from geoseg.polygons.coverage import Coverage
from geoseg.polygons.measure import geodesic_area_m2

LAYER = "coverage"
LONGEST_EDGE_M = 2000  # geodesics so short are the straight edges they stand for; across a scene they are 1e-3 off
_SCHEMA = pa.schema(
    [
        pa.field("class_id", pa.int32()),
        pa.field("class_name", pa.string()),
        pa.field("area_m2", pa.float64()),
        GEOMETRY,
    ]
)


def write_coverage(
    path: Path, coverage: Coverage, *, classes: Sequence[ClassInfo], provenance: Mapping[str, Any]
) -> dict[int, float]:
    """Write a coverage as layer "coverage", batch by batch, and return the true area in m² of each class in it.

    classes: one for each value; provenance: as of ``PolygonLayer``. Equal arguments give equal bytes. Raises
    OutputError where the file is open elsewhere or cannot be written.
    """
    names = {c.id: c.name for c in classes}
    total = dict.fromkeys(names, 0.0)
    grid = coverage.grid
    longest = LONGEST_EDGE_M * np.sqrt(abs(grid.transform.determinant) / np.prod(grid.ground_resolution_m()))

    def batches() -> Iterator[pa.RecordBatch]:
        for part, polygons in coverage.batches():
            values: NDArray[np.int32] = coverage.value[part]
            areas = geodesic_area_m2(shapely.segmentize(polygons, longest), grid.crs)
            for value, area in zip(values.tolist(), areas.tolist(), strict=True):
                total[value] += area
            yield pa.RecordBatch.from_arrays(
                [
                    pa.array(values),
                    pa.array([names[value] for value in values.tolist()], pa.string()),
                    pa.array(areas),
                    pa.array(shapely.to_wkb(as_multipolygons(polygons)), pa.binary()),
                ],
                schema=_SCHEMA,
            )

    layer = PolygonLayer(
        name=LAYER,
        title="Land cover",
        description="Polygons of all classes, without gap or overlap, with geodesic areas, made by geoseg",
        columns=COLUMNS,
        styled=classes,
        classes=classes,
        provenance=provenance,
    )
    write_layer(path, layer, batches(), schema=_SCHEMA, crs=grid.crs)
    return total
