"""GeoPackage: building polygons with names, true areas, a style and their provenance, as stock QGIS shows them.

OGR writes features and spatial index; the tables of the schema and metadata extensions and QGIS's layer_styles are
added with SQLite. Version 1.3, because GDAL 3.6 (QGIS of Debian 12) warns about 1.4 on each opening.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError
from rasterio.crs import CRS

from geoseg.classes import ClassInfo, ClassMap
from geoseg.errors import OutputError
from geoseg.io.files import atomic
from geoseg.io.styles import polygon_qml, polygon_sld
from geoseg.polygons.fit import STATUS
from geoseg.polygons.footprints import Footprints
from geoseg.polygons.measure import geodesic_area_m2

LAYER = "buildings"
ALIASES = {
    "class_id": "Class",
    "class_name": "Class name",
    "area_m2": "Area [m²]",
    "confidence": "Confidence",
    "status": "Shape",
    "direction_deg": "Direction [°]",
    "deviation_m": "Deviation [m]",
    "iou_contour": "IoU with contour",
}
DESCRIPTIONS = {
    "class_id": "Class code",
    "class_name": "Class name",
    "area_m2": "Geodesic area on the ellipsoid of the layer's CRS, in square metres",
    "confidence": "Mean probability of the class over the polygon's pixels, 0 to 1",
    "status": "ortho: right angles; multi: several directions; circle; free: neither; kept: the contour as it was",
    "direction_deg": "Direction of the walls against the raster's columns, clockwise, 0 to 90",
    "deviation_m": "Largest distance from the contour of the probability",
    "iou_contour": "IoU with the contour of the probability",
}
OGR_ERRORS = (DataSourceError, DataLayerError, FeatureError)
SIDECARS = ("-wal", "-shm", "-journal")
FIXED_TIME = "1970-01-01T00:00:00.000Z"  # the format asks for times, but the same job gives the same bytes
BATCH_ROWS = 65_536
_SPEC = "http://www.geopackage.org/spec131/"

_TABLES = """
CREATE TABLE layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
    f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')));
CREATE TABLE gpkg_data_columns (
    table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT, title TEXT, description TEXT, mime_type TEXT,
    constraint_name TEXT, CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name),
    CONSTRAINT gdc_tn UNIQUE (table_name, name));
CREATE TABLE gpkg_data_column_constraints (
    constraint_name TEXT NOT NULL, constraint_type TEXT NOT NULL, value TEXT, min NUMERIC, min_is_inclusive BOOLEAN,
    max NUMERIC, max_is_inclusive BOOLEAN, description TEXT,
    CONSTRAINT gdcc_ntv UNIQUE (constraint_name, constraint_type, value));
CREATE TABLE gpkg_metadata (
    id INTEGER CONSTRAINT m_pk PRIMARY KEY ASC NOT NULL, md_scope TEXT NOT NULL DEFAULT 'dataset',
    md_standard_uri TEXT NOT NULL, mime_type TEXT NOT NULL DEFAULT 'text/xml', metadata TEXT NOT NULL DEFAULT '');
CREATE TABLE gpkg_metadata_reference (
    reference_scope TEXT NOT NULL, table_name TEXT, column_name TEXT, row_id_value INTEGER,
    timestamp DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')), md_file_id INTEGER NOT NULL,
    md_parent_id INTEGER, CONSTRAINT crmr_mfi_fk FOREIGN KEY (md_file_id) REFERENCES gpkg_metadata(id),
    CONSTRAINT crmr_mpi_fk FOREIGN KEY (md_parent_id) REFERENCES gpkg_metadata(id));
"""
_EXTENSIONS = {
    "gpkg_data_columns": "schema",
    "gpkg_data_column_constraints": "schema",
    "gpkg_metadata": "metadata",
    "gpkg_metadata_reference": "metadata",
}


def refuse_if_in_use(path: Path) -> None:
    """Raise OutputError where SQLite keeps a side file beside ``path``: a new file would be corrupted."""
    for suffix in SIDECARS:
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            raise OutputError(
                f"{path}: {beside.name} lies beside it, so another program (QGIS in edit mode?) has it open. "
                f"Close it there, or choose another folder"
            )


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
    refuse_if_in_use(path)
    areas = geodesic_area_m2(found.geometries, crs)
    with atomic(path) as temporary:
        try:
            with _fixed_time():
                _write_features(temporary, found, areas, crs=crs, target=target)
            with closing(sqlite3.connect(temporary, isolation_level=None)) as db:
                _describe(db, target=target, classes=classes, provenance=provenance)
                _read_back(db, len(found))
        except (*OGR_ERRORS, sqlite3.Error) as error:
            raise OutputError(f"{path}: could not be written ({error}); check the disk, then run again") from error
    return areas


@contextmanager
def _fixed_time() -> Iterator[None]:
    """Let OGR write FIXED_TIME instead of the clock's."""
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": FIXED_TIME})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})


def _write_features(path: Path, found: Footprints, areas: NDArray[np.float64], *, crs: CRS, target: ClassInfo) -> None:
    """Write all features in one transaction, in batches, so that memory stays small and the index is built once."""
    table = _attributes(found, areas, target)
    wkb = pa.field("geom", pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"})
    schema = pa.schema([*(pa.field(name, column.type) for name, column in table.items()), wkb])

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(found), BATCH_ROWS):
            multi = _as_multipolygons(found.geometries[start : start + BATCH_ROWS])
            columns = [column.slice(start, BATCH_ROWS) for column in table.values()]
            yield pa.RecordBatch.from_arrays([*columns, pa.array(shapely.to_wkb(multi), pa.binary())], schema=schema)

    pyogrio.write_arrow(
        pa.RecordBatchReader.from_batches(schema, batches()),
        path,
        layer=LAYER,
        driver="GPKG",
        geometry_name="geom",
        geometry_type="MultiPolygon",
        crs=crs.to_wkt(),
        dataset_options={"VERSION": "1.3"},
        layer_options={
            "GEOMETRY_NAME": "geom",
            "FID": "fid",
            "SPATIAL_INDEX": "YES",
            "IDENTIFIER": f"{target.name.capitalize()} polygons",
            "DESCRIPTION": f"Polygons of class {target.name!r} with geodesic areas and confidence, made by geoseg",
        },
    )


def _attributes(found: Footprints, areas: NDArray[np.float64], target: ClassInfo) -> dict[str, pa.Array]:
    """Return the columns by name; those that tell how a polygon was fitted only where it was."""
    table = {
        "class_id": pa.array(np.full(len(found), target.id, np.int16)),
        "class_name": pa.array([target.name] * len(found), pa.string()),
        "area_m2": pa.array(areas),
        "confidence": pa.array(found.mean_probability.astype(np.float32)),
    }
    if found.fit is not None:
        table |= {
            "status": pa.array([STATUS[code] for code in found.fit.status], pa.string()),
            "direction_deg": pa.array(found.fit.direction_deg.astype(np.float32), from_pandas=True),  # NaN is NULL
            "deviation_m": pa.array(found.fit.deviation_m.astype(np.float32), from_pandas=True),
            "iou_contour": pa.array(found.fit.iou_contour.astype(np.float32), from_pandas=True),
        }
    return table


def _as_multipolygons(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return every geometry as a MultiPolygon with counter-clockwise shells.

    OGR's Arrow path would write plain Polygons into a MultiPolygon layer.
    """
    parts, owner = shapely.get_parts(geometries, return_index=True)
    return np.asarray(shapely.multipolygons(shapely.orient_polygons(parts), indices=owner))


def _describe(db: sqlite3.Connection, *, target: ClassInfo, classes: ClassMap, provenance: Mapping[str, Any]) -> None:
    """Add style, aliases, the class domain and the provenance."""
    db.executescript(_TABLES)
    db.execute("BEGIN")
    extensions = [(table, f"gpkg_{name}", f"{_SPEC}#extension_{name}") for table, name in _EXTENSIONS.items()]
    db.executemany("INSERT INTO gpkg_extensions VALUES (?, NULL, ?, ?, 'read-write')", extensions)
    columns = [name for _, name, *_ in db.execute(f'PRAGMA table_info("{LAYER}")') if name in ALIASES]
    qml = polygon_qml([target], attribute="class_id", aliases={name: ALIASES[name] for name in columns})
    sld = polygon_sld([target], layer=LAYER, attribute="class_id")
    db.execute(
        "INSERT INTO layer_styles VALUES (1, '', '', ?, 'geom', ?, ?, ?, 1, 'geoseg default style', '', NULL, ?)",
        (LAYER, LAYER, qml, sld, FIXED_TIME),
    )
    # registered as attributes, QGIS does not offer the table as a layer of its own
    db.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change) "
        "VALUES ('layer_styles', 'attributes', 'layer_styles', '', ?)",
        (FIXED_TIME,),
    )
    db.execute("INSERT OR REPLACE INTO gpkg_ogr_contents (table_name, feature_count) VALUES ('layer_styles', 1)")
    for column in columns:
        alias = ALIASES[column]  # name carries the alias: GDAL uses title only where name is the column's
        domain = "geoseg_class" if column == "class_id" else None
        row = (LAYER, column, alias, alias, DESCRIPTIONS[column], domain)
        db.execute("INSERT INTO gpkg_data_columns VALUES (?, ?, ?, ?, ?, NULL, ?)", row)
    db.executemany(
        "INSERT INTO gpkg_data_column_constraints VALUES ('geoseg_class', 'enum', ?, NULL, NULL, NULL, NULL, ?)",
        [(str(c.id), c.name) for c in classes],
    )
    text = json.dumps(provenance, sort_keys=True, ensure_ascii=False)
    db.execute(
        "INSERT INTO gpkg_metadata VALUES (1, 'dataset', 'urn:geoseg:provenance', 'application/json', ?)", (text,)
    )
    db.execute("INSERT INTO gpkg_metadata_reference VALUES ('geopackage', NULL, NULL, NULL, ?, 1, NULL)", (FIXED_TIME,))
    db.execute("COMMIT")


def _read_back(db: sqlite3.Connection, count: int) -> None:
    """Raise sqlite3.DatabaseError unless the file is whole and holds ``count`` features, all of them indexed."""
    if db.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
        raise sqlite3.DatabaseError("integrity check failed")
    for table in (LAYER, f"rtree_{LAYER}_geom"):
        (rows,) = db.execute(f'SELECT count(*) FROM "{table}"').fetchone()
        if rows != count:
            raise sqlite3.DatabaseError(f"{table} holds {rows} rows instead of {count}")
