"""What makes a GeoPackage of OGR's one that stock QGIS shows with names, a style and provenance.

The tables of the schema and metadata extensions and QGIS's layer_styles are added with SQLite.
"""

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from geoseg.outputs.geopackage.layer import PolygonLayer, free_name
from geoseg.outputs.geopackage.styles import polygon_qml, polygon_sld
from geoseg.outputs.provenance import PROVENANCE

FIXED_TIME = "1970-01-01T00:00:00.000Z"  # the format asks for times, but the same job gives the same bytes
_SPEC = "http://www.geopackage.org/spec131/"

_TABLES = """
CREATE TABLE IF NOT EXISTS layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
    f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')));
CREATE TABLE IF NOT EXISTS gpkg_data_columns (
    table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT, title TEXT, description TEXT, mime_type TEXT,
    constraint_name TEXT, CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name),
    CONSTRAINT gdc_tn UNIQUE (table_name, name));
CREATE TABLE IF NOT EXISTS gpkg_data_column_constraints (
    constraint_name TEXT NOT NULL, constraint_type TEXT NOT NULL, value TEXT, min NUMERIC, min_is_inclusive BOOLEAN,
    max NUMERIC, max_is_inclusive BOOLEAN, description TEXT,
    CONSTRAINT gdcc_ntv UNIQUE (constraint_name, constraint_type, value));
CREATE TABLE IF NOT EXISTS gpkg_metadata (
    id INTEGER CONSTRAINT m_pk PRIMARY KEY ASC NOT NULL, md_scope TEXT NOT NULL DEFAULT 'dataset',
    md_standard_uri TEXT NOT NULL, mime_type TEXT NOT NULL DEFAULT 'text/xml', metadata TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS gpkg_metadata_reference (
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


def describe(db: sqlite3.Connection, layer: PolygonLayer) -> None:
    """Add style, aliases, the class domain and the provenance."""
    there = [table for (table,) in db.execute("SELECT name FROM sqlite_schema")]  # with aliases that attributes had
    db.executescript(_TABLES)
    db.execute("BEGIN")
    new = [(table, name) for table, name in _EXTENSIONS.items() if table not in there]
    extensions = [(table, f"gpkg_{name}", f"{_SPEC}#extension_{name}") for table, name in new]
    db.executemany("INSERT INTO gpkg_extensions VALUES (?, NULL, ?, ?, 'read-write')", extensions)
    taken = [alias for (alias,) in db.execute("SELECT name FROM gpkg_data_columns WHERE name NOT NULL")]
    named = {name: layer.columns[name] for name in layer.schema.names if name in layer.columns}
    _insert_style(db, layer, {name: alias for name, (alias, _) in named.items()})
    for name, (alias, description) in named.items():  # GDAL uses title only where name is the column's
        domain = "geoseg_class" if name == "class_id" else None
        row = (layer.name, name, free_name(alias, taken), alias, description, domain)
        db.execute("INSERT INTO gpkg_data_columns VALUES (?, ?, ?, ?, ?, NULL, ?)", row)
    db.executemany(
        "INSERT INTO gpkg_data_column_constraints VALUES ('geoseg_class', 'enum', ?, NULL, NULL, NULL, NULL, ?)",
        [(str(c.id), c.name) for c in layer.classes],
    )
    text = json.dumps(layer.provenance, sort_keys=True, ensure_ascii=False)
    db.execute("INSERT INTO gpkg_metadata VALUES (1, 'dataset', ?, 'application/json', ?)", (PROVENANCE, text))
    db.execute("INSERT INTO gpkg_metadata_reference VALUES ('geopackage', NULL, NULL, NULL, ?, 1, NULL)", (FIXED_TIME,))
    db.execute("COMMIT")


def _insert_style(db: sqlite3.Connection, layer: PolygonLayer, aliases: Mapping[str, str]) -> None:
    """Let QGIS show the layer in its style."""
    qml, sld = polygon_qml(layer.style, aliases), polygon_sld(layer.style, layer=layer.name)
    db.execute(
        "INSERT INTO layer_styles VALUES (1, '', '', ?, ?, ?, ?, ?, 1, 'geoseg default style', '', NULL, ?)",
        (layer.name, layer.geometry, layer.name, qml, sld, FIXED_TIME),
    )
    # registered as attributes, QGIS does not offer the table as a layer of its own
    db.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change) "
        "VALUES ('layer_styles', 'attributes', 'layer_styles', '', ?)",
        (FIXED_TIME,),
    )
    db.execute("INSERT OR REPLACE INTO gpkg_ogr_contents (table_name, feature_count) VALUES ('layer_styles', 1)")


def forget_batches(path: Path) -> None:
    """Set SQLite's two counters of transactions, of which OGR makes one per batch, to 1."""
    with path.open("r+b") as file:
        for offset in (24, 92):  # file change counter; version-valid-for number, which has to equal it
            file.seek(offset)
            file.write((1).to_bytes(4))


def read_back(db: sqlite3.Connection, layer: PolygonLayer, features: int) -> None:
    """Raise sqlite3.DatabaseError unless all ``features`` are in a sound file, and in its index if not empty."""
    if db.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
        raise sqlite3.DatabaseError("integrity check failed")
    name, geometry = (text.replace('"', '""') for text in (layer.name, layer.geometry))
    empty = f"""("{geometry}" IS NULL OR hex(substr("{geometry}", 4, 1)) = '11')"""  # by the flags of a geometry
    sql = f'SELECT count(*), count(*) FILTER (WHERE {empty}) FROM "{name}"'
    rows, no_ground = db.execute(sql).fetchone()
    (indexed,) = db.execute(f'SELECT count(*) FROM "rtree_{name}_{geometry}"').fetchone()
    if (rows, indexed) != (features, features - no_ground):
        raise sqlite3.DatabaseError(f"{rows} rows, {indexed} of them indexed, instead of {features}")
