"""The one writer of polygon layers; GeoPackages with names, a style and provenance, as stock QGIS shows them.

OGR writes features and spatial index; the tables of the schema and metadata extensions and QGIS's layer_styles are
added with SQLite. Version 1.3, because GDAL 3.6 (QGIS of Debian 12) warns about 1.4 on each opening.

Not here: what the columns are (footprints.py, coverage.py, columns.py), and how layers are read (scenes/vectors.py).
"""

import json
import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError

from geoseg.disk.files import atomic
from geoseg.disk.places import VECTOR_DRIVERS
from geoseg.errors import OutputError
from geoseg.outputs.geopackage.side_files import refuse_if_in_use
from geoseg.outputs.geopackage.styles import Category, Style, polygon_qml, polygon_sld
from geoseg.outputs.provenance import PROVENANCE
from geoseg.scenes.vectors import OGR_ERRORS
from geoseg.values.classes import ClassInfo

FIXED_TIME = "1970-01-01T00:00:00.000Z"  # the format asks for times, but the same job gives the same bytes
GEOMETRY = pa.field("geom", pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"})
CLASS_COLUMNS = {  # alias, description
    "class_id": ("Class", "Class code"),
    "class_name": ("Class name", "Class name"),
    "area_m2": ("Area [m²]", "Geodesic area on the ellipsoid of the layer's CRS, in square metres"),
}
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


def class_style(classes: Sequence[ClassInfo]) -> Style:
    """Return a style that colours features by the column class_id."""
    return Style("class_id", tuple(Category(c.id, c.name, c.color) for c in classes))


def write_layer(path: Path, layer: PolygonLayer, batches: Iterable[pa.RecordBatch]) -> int:
    """Write the features as the only layer of ``path`` in one pass, and return how many there are.

    The suffix is one of VECTOR_DRIVERS; only a GeoPackage keeps aliases, style and provenance. No features give an
    empty layer, styled all the same. Equal arguments give equal bytes, whatever the batches' sizes. Raises
    OutputError where the file is open elsewhere or cannot be written, and what the batches raise.
    """
    driver = VECTOR_DRIVERS[path.suffix.lower()]
    refuse_if_in_use(path)
    features = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal features
        for batch in batches:
            features += len(batch)
            yield batch

    with atomic(path) as target, _for_ogr(counted()) as asked:
        temporary = target.with_name(target.name.replace(";", "_"))  # which begins parameters, pyogrio believes
        try:
            _write_features(temporary, layer, pa.RecordBatchReader.from_batches(layer.schema, asked), driver)
            if driver == "GPKG":
                with closing(sqlite3.connect(temporary, isolation_level=None)) as db:
                    _describe(db, layer)
                    _read_back(db, layer, features)
                _forget_batches(temporary)
            elif (written := pyogrio.read_info(temporary)["features"]) != features:
                raise DataLayerError(f"holds {written} features instead of {features}")
        except (*OGR_ERRORS, sqlite3.Error) as error:
            raise OutputError(f"{path}: could not be written ({error}); check the disk, then run again") from error
        temporary.rename(target)
    return features


@contextmanager
def _for_ogr[B](batches: Iterable[B]) -> Iterator[Iterator[B]]:
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
def _fixed_time() -> Iterator[None]:
    """Let OGR write FIXED_TIME instead of the clock's."""
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": FIXED_TIME})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})


def _write_features(path: Path, layer: PolygonLayer, reader: pa.RecordBatchReader, driver: str) -> None:
    """Write all features in one transaction, batch by batch, so that memory stays small and the index is built once."""
    dataset: dict[str, str] = {}
    options: dict[str, str] = {}
    if driver == "GPKG":
        dataset = {"VERSION": "1.3"}
        options = {
            "GEOMETRY_NAME": layer.geometry,
            "FID": free_name("fid", layer.schema.names),
            "SPATIAL_INDEX": "YES",
            "IDENTIFIER": layer.title,
            "DESCRIPTION": layer.description,
        }
    with _fixed_time(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that Shapefiles shorten
        pyogrio.write_arrow(
            reader,
            path,
            layer=layer.name,
            driver=driver,
            geometry_name=layer.geometry,
            geometry_type="MultiPolygon Z" if layer.high else "MultiPolygon",
            crs=layer.crs,
            dataset_options=dataset,
            layer_options=options,
        )


def _describe(db: sqlite3.Connection, layer: PolygonLayer) -> None:
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


def _forget_batches(path: Path) -> None:
    """Set SQLite's two counters of transactions, of which OGR makes one per batch, to 1."""
    with path.open("r+b") as file:
        for offset in (24, 92):  # file change counter; version-valid-for number, which has to equal it
            file.seek(offset)
            file.write((1).to_bytes(4))


def _read_back(db: sqlite3.Connection, layer: PolygonLayer, features: int) -> None:
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
