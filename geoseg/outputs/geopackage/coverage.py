"""Coverages as GeoPackages: land-cover polygons with class names, true areas, a style and their provenance."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from geoseg.outputs.geopackage.layer import (
    CLASS_COLUMNS,
    GEOMETRY,
    PolygonLayer,
    class_style,
    polygon_column,
)
from geoseg.outputs.geopackage.writer import write_layer
from geoseg.values.classes import ClassInfo
from geoseg.vector.coverage.coverage import Coverage
from geoseg.vector.ground import ring_areas_m2

LAYER = "coverage"
LONGEST_EDGE_M = 400  # geodesics so short are the straight edges they stand for; across a scene they are 1e-3 off
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

    classes: one for each value, by id; provenance: as of ``PolygonLayer``. Equal arguments give equal bytes. Raises
    OutputError where the file is open elsewhere or cannot be written.
    """
    ids, names = np.array([c.id for c in classes]), pa.array([c.name for c in classes], pa.string())
    of_class = np.searchsorted(ids, coverage.value)
    total = np.zeros(len(classes))
    grid = coverage.grid
    longest = LONGEST_EDGE_M * np.sqrt(abs(grid.transform.determinant) / np.prod(grid.ground_resolution_m()))

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal total
        for part, polygons in coverage.batches():
            areas = ring_areas_m2(polygons.xy, polygons.ends, grid.crs, longest_edge=longest)
            areas = 2 * areas[polygons.shells[:-1]] - np.add.reduceat(areas, polygons.shells[:-1])  # without the holes
            total += np.bincount(of_class[part], weights=areas, minlength=len(classes))
            yield pa.RecordBatch.from_arrays(
                [
                    pa.array(coverage.value[part]),
                    names.take(pa.array(of_class[part])),
                    pa.array(areas),
                    polygon_column(polygons.geometries()),
                ],
                schema=_SCHEMA,
            )

    layer = PolygonLayer(
        name=LAYER,
        schema=_SCHEMA,
        crs=grid.crs.to_wkt(),
        title="Land cover",
        description="Polygons of all classes, without gap or overlap, with geodesic areas, made by geoseg",
        columns=CLASS_COLUMNS,
        style=class_style(classes),
        classes=classes,
        provenance=provenance,
    )
    write_layer(path, layer, batches())
    return dict(zip(ids.tolist(), total.tolist(), strict=True))
