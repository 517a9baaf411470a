"""One polygon layer in a GeoPackage, with names, a style and its provenance, as stock QGIS shows them.

OGR writes features and spatial index; the tables of the schema and metadata extensions and QGIS's layer_styles are
added with SQLite. Version 1.3, because GDAL 3.6 (QGIS of Debian 12) warns about 1.4 on each opening.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError
from rasterio.crs import CRS

from geoseg.disk.files import atomic
from geoseg.errors import OutputError
from geoseg.outputs.geopackage.side_files import refuse_if_in_use
from geoseg.outputs.geopackage.styles import Category, Style, polygon_qml, polygon_sld
from geoseg.values.classes import ClassInfo

OGR_ERRORS = (DataSourceError, DataLayerError, FeatureError)
FIXED_TIME = "1970-01-01T00:00:00.000Z"  # the format asks for times, but the same job gives the same bytes
GEOMETRY = pa.field("geom", pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"})
CLASS_COLUMNS = {  # alias, description
    "class_id": ("Class", "Class code"),
    "class_name": ("Class name", "Class name"),
    "area_m2": ("Area [m²]", "Geodesic area on the ellipsoid of the layer's CRS, in square metres"),
}
_SPEC = "http://www.geopackage.org/spec131/"

_STYLES = """
CREATE TABLE layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
    f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')));
"""
_TABLES = """
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PolygonLayer:
    """A layer's name, what people read of it, its classes, and where it comes from.

    columns: name -> (alias, description) of every attribute there may be. styled: the classes that get a colour by the
    column class_id; classes: those that column may hold. provenance: kept as JSON, holds at least software, version,
    model and input.
    """

    name: str
    title: str
    description: str
    columns: Mapping[str, tuple[str, str]]
    styled: Sequence[ClassInfo]
    classes: Sequence[ClassInfo]
    provenance: Mapping[str, Any]


def write_layer(
    path: Path, layer: PolygonLayer, batches: Iterable[pa.RecordBatch], *, schema: pa.Schema, crs: CRS
) -> int:
    """Write the features as the only layer of ``path`` in one pass, and return how many there are.

    schema: the attributes, then GEOMETRY: WKB of MultiPolygons, see ``as_multipolygons``. No features give an empty
    layer, styled all the same. Equal arguments give equal bytes, whatever the batches' sizes. Raises OutputError where
    the file is open elsewhere or cannot be written, and what the batches raise.
    """
    refuse_if_in_use(path)
    count = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal count
        for batch in batches:
            count += len(batch)
            yield batch

    with atomic(path) as temporary, for_ogr(counted()) as asked:
        try:
            with fixed_time():
                _write_features(temporary, layer, pa.RecordBatchReader.from_batches(schema, asked), crs=crs)
            with closing(sqlite3.connect(temporary, isolation_level=None)) as db:
                _describe(db, layer)
                _read_back(db, layer.name, count)
            _forget_batches(temporary)
        except (*OGR_ERRORS, sqlite3.Error) as error:
            raise OutputError(f"{path}: could not be written ({error}); check the disk, then run again") from error
    return count


@contextmanager
def for_ogr[B](batches: Iterable[B]) -> Iterator[Iterator[B]]:
    """Yield the batches for OGR, and raise what they raise: OGR, which asks for them, tells of its own errors alone."""
    failure: list[BaseException] = []

    def watched() -> Iterator[B]:
        try:
            yield from batches
        except BaseException as error:
            failure.append(error)
            raise

    try:
        yield watched()
    except Exception:
        if failure:
            raise failure[0] from None
        raise


@contextmanager
def fixed_time() -> Iterator[None]:
    """Let OGR write FIXED_TIME instead of the clock's."""
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": FIXED_TIME})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})


def _write_features(path: Path, layer: PolygonLayer, reader: pa.RecordBatchReader, *, crs: CRS) -> None:
    """Write all features in one transaction, batch by batch, so that memory stays small and the index is built once."""
    pyogrio.write_arrow(
        reader,
        path,
        layer=layer.name,
        driver="GPKG",
        geometry_name="geom",
        geometry_type="MultiPolygon",
        crs=crs.to_wkt(),
        dataset_options={"VERSION": "1.3"},
        layer_options={
            "GEOMETRY_NAME": "geom",
            "FID": "fid",
            "SPATIAL_INDEX": "YES",
            "IDENTIFIER": layer.title,
            "DESCRIPTION": layer.description,
        },
    )


def as_multipolygons(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return every geometry as a MultiPolygon with counter-clockwise shells.

    OGR's Arrow path would write plain Polygons into a MultiPolygon layer.
    """
    parts, owner = shapely.get_parts(geometries, return_index=True)
    return np.asarray(shapely.multipolygons(shapely.orient_polygons(parts), indices=owner))


def add_style(path: Path, layer: str, style: Style, *, geometry: str = GEOMETRY.name) -> None:
    """Let QGIS show a layer of the GeoPackage ``path`` in a style; geometry: its column. Raises sqlite3.Error."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(_STYLES)
        db.execute("BEGIN")
        _insert_style(db, layer, style, geometry=geometry)
        db.execute("COMMIT")


def _insert_style(db: sqlite3.Connection, layer: str, style: Style, *, geometry: str = GEOMETRY.name) -> None:
    qml, sld = polygon_qml(style), polygon_sld(style, layer=layer)
    db.execute(
        "INSERT INTO layer_styles VALUES (1, '', '', ?, ?, ?, ?, ?, 1, 'geoseg default style', '', NULL, ?)",
        (layer, geometry, layer, qml, sld, FIXED_TIME),
    )
    # registered as attributes, QGIS does not offer the table as a layer of its own
    db.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change) "
        "VALUES ('layer_styles', 'attributes', 'layer_styles', '', ?)",
        (FIXED_TIME,),
    )
    db.execute("INSERT OR REPLACE INTO gpkg_ogr_contents (table_name, feature_count) VALUES ('layer_styles', 1)")


def _describe(db: sqlite3.Connection, layer: PolygonLayer) -> None:
    """Add style, aliases, the class domain and the provenance."""
    db.executescript(_STYLES + _TABLES)
    db.execute("BEGIN")
    extensions = [(table, f"gpkg_{name}", f"{_SPEC}#extension_{name}") for table, name in _EXTENSIONS.items()]
    db.executemany("INSERT INTO gpkg_extensions VALUES (?, NULL, ?, ?, 'read-write')", extensions)
    names = [name for _, name, *_ in db.execute(f'PRAGMA table_info("{layer.name}")') if name in layer.columns]
    aliases = {name: layer.columns[name][0] for name in names}
    _insert_style(
        db, layer.name, Style("class_id", tuple(Category(c.id, c.name, c.color) for c in layer.styled), aliases)
    )
    for name, alias in aliases.items():  # name carries the alias: GDAL uses title only where name is the column's
        domain = "geoseg_class" if name == "class_id" else None
        row = (layer.name, name, alias, alias, layer.columns[name][1], domain)
        db.execute("INSERT INTO gpkg_data_columns VALUES (?, ?, ?, ?, ?, NULL, ?)", row)
    db.executemany(
        "INSERT INTO gpkg_data_column_constraints VALUES ('geoseg_class', 'enum', ?, NULL, NULL, NULL, NULL, ?)",
        [(str(c.id), c.name) for c in layer.classes],
    )
    text = json.dumps(layer.provenance, sort_keys=True, ensure_ascii=False)
    db.execute(
        "INSERT INTO gpkg_metadata VALUES (1, 'dataset', 'urn:geoseg:provenance', 'application/json', ?)", (text,)
    )
    db.execute("INSERT INTO gpkg_metadata_reference VALUES ('geopackage', NULL, NULL, NULL, ?, 1, NULL)", (FIXED_TIME,))
    db.execute("COMMIT")


def _forget_batches(path: Path) -> None:
    """Set SQLite's two counters of transactions, of which OGR makes one per batch, to 1."""
    with path.open("r+b") as file:
        for offset in (24, 92):  # file change counter; version-valid-for number, which has to equal it
            file.seek(offset)
            file.write((1).to_bytes(4))


def _read_back(db: sqlite3.Connection, layer: str, count: int) -> None:
    """Raise sqlite3.DatabaseError unless the file is whole and holds ``count`` features, all of them indexed."""
    if db.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
        raise sqlite3.DatabaseError("integrity check failed")
    for table in (layer, f"rtree_{layer}_geom"):
        (rows,) = db.execute(f'SELECT count(*) FROM "{table}"').fetchone()
        if rows != count:
            raise sqlite3.DatabaseError(f"{table} holds {rows} rows instead of {count}")
