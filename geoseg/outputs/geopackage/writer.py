"""The one writer of polygon layers, from one stream of batches; the suffix says the format.

OGR writes features and spatial index, tables.py what else a GeoPackage has; GeoParquet is written by geoparquet.py.
GeoPackages have version 1.3, because GDAL 3.6 (QGIS of Debian 12) warns about 1.4 on each opening.
"""

import logging
import math
import shutil
import sqlite3
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
from pyogrio.errors import DataLayerError

from geoseg.disk.files import atomic
from geoseg.disk.places import STYLE, VECTOR_DRIVERS, written_beside
from geoseg.errors import OutputError
from geoseg.outputs.geopackage.layer import PolygonLayer, free_name
from geoseg.outputs.geopackage.side_files import refuse_if_in_use
from geoseg.outputs.geopackage.styles import polygon_qml
from geoseg.outputs.geopackage.tables import FIXED_TIME, describe, forget_batches, read_back
from geoseg.outputs.geoparquet import write_geoparquet
from geoseg.scenes.vectors import OGR_ERRORS
from geoseg.values.grid import PLACELESS

SHAPEFILES = (".shp", ".shz")
OWN_STYLE = "<!-- written by geoseg, which replaces it -->"
JSON_DIGITS = 9  # of degrees: 0.1 mm, so that areas and right angles stay what they are

log = logging.getLogger(__name__)


def write_layer(path: Path, layer: PolygonLayer, batches: Iterable[pa.RecordBatch]) -> int:
    """Write the features as the only layer of ``path`` in one pass, and return how many there are.

    The suffix is one of VECTOR_DRIVERS; a GeoPackage holds aliases, style and provenance, beside others lies their
    style. No features give an empty layer, styled all the same. Equal arguments give equal bytes, whatever the batches'
    sizes. Raises OutputError where the file is open elsewhere or cannot be written, and what the batches raise.
    """
    refuse_if_in_use(path)
    features = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal features
        for batch in batches:
            features += len(batch)
            yield batch

    with atomic(path, beside=written_beside(path)) as target, _for_ogr(counted()) as asked:
        temporary = target.with_name(target.name.replace(";", "_"))  # which begins parameters, pyogrio believes
        try:
            _write_file(temporary, layer, asked, lambda: features)
            _write_style(temporary, layer, there=path.with_suffix(STYLE))
        except (*OGR_ERRORS, sqlite3.Error, pa.ArrowException) as error:
            raise OutputError(f"{path}: could not be written ({error}); check the disk, then run again") from error
        for made, wanted in zip(
            (temporary, *written_beside(temporary)), (target, *written_beside(target)), strict=True
        ):
            if made.exists():
                made.rename(wanted)
    if path.suffix.lower() in SHAPEFILES:
        _tell_losses(path, layer)
    return features


def write_areas(path: Path, layer: PolygonLayer, batches: Iterable[pa.RecordBatch]) -> tuple[int, float]:
    """Write a layer as ``write_layer`` does, and return also the sum of its column area_m2."""
    areas_m2: list[float] = []

    def measured() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            areas_m2.append(math.fsum(batch.column("area_m2").to_pylist()))
            yield batch

    return write_layer(path, layer, measured()), math.fsum(areas_m2)


def _write_file(
    path: Path, layer: PolygonLayer, batches: Iterator[pa.RecordBatch], features: Callable[[], int]
) -> None:
    """Write a file and its style, and read back how many features it holds; features: how many were given."""
    driver = VECTOR_DRIVERS[path.suffix.lower()]
    if driver == "Parquet":
        write_geoparquet(path, layer, batches)
        written = pq.read_metadata(path).num_rows
    else:
        _write_features(path, layer, pa.RecordBatchReader.from_batches(layer.schema, batches), driver)
        if path.suffix.lower() == ".shz":
            _forget_time(path)
        written = pyogrio.read_info(path, force_feature_count=True)["features"]
    if written != features():
        raise DataLayerError(f"holds {written} features instead of {features()}")
    if driver == "GPKG":
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            describe(db, layer)
            read_back(db, layer, written)
        forget_batches(path)


def _write_style(path: Path, layer: PolygonLayer, *, there: Path) -> None:
    """Write the style beside a file that does not hold it; one that lies ``there`` and is not geoseg's stays."""
    if path.suffix.lower() == ".gpkg" or (there.exists() and OWN_STYLE not in there.read_text("utf-8", "replace")):
        return
    aliases = {name: alias for name, (alias, _) in layer.columns.items()}
    path.with_suffix(STYLE).write_text(f"{polygon_qml(layer.style, aliases)}\n{OWN_STYLE}\n", encoding="utf-8")


def _tell_losses(path: Path, layer: PolygonLayer) -> None:
    kept = pyogrio.read_info(path)["fields"].tolist()
    cut = [f"{name} is {short}" for name, short in zip(layer.schema.names, kept, strict=False) if name != short]
    log.warning(
        "%s: a Shapefile keeps 10 characters of a column's name%s and 254 of a text, at most 2 GB, and no aliases, no "
        "class table nor provenance; a GeoPackage keeps all",
        path.name,
        f" ({', '.join(cut)})" if cut else "",
    )


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


def _forget_time(path: Path) -> None:
    """Write an archive anew without the times of its files, so that equal layers have equal bytes."""
    anew = path.with_suffix(".zip")
    with zipfile.ZipFile(path) as given, zipfile.ZipFile(anew, "w") as made:
        for name in given.namelist():
            entry = zipfile.ZipInfo(name)  # of 1980
            entry.compress_type = zipfile.ZIP_DEFLATED
            with given.open(name) as source, made.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target)
    anew.replace(path)


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
    dataset = {"VERSION": "1.3"} if driver == "GPKG" else {}
    options = {
        "GPKG": {
            "GEOMETRY_NAME": layer.geometry,
            "FID": free_name("fid", layer.schema.names),
            "SPATIAL_INDEX": "YES",
            "IDENTIFIER": layer.title,
            "DESCRIPTION": layer.description,
        },
        "FlatGeobuf": {"TITLE": layer.title, "DESCRIPTION": layer.description},
        "GeoJSON": {"RFC7946": "YES", "COORDINATE_PRECISION": str(JSON_DIGITS)},
        "ESRI Shapefile": {"ENCODING": "UTF-8", "2GB_LIMIT": "YES", "DBF_DATE_LAST_UPDATE": FIXED_TIME[:10]},
    }[driver]
    with _fixed_time(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that Shapefiles shorten
        pyogrio.write_arrow(
            reader,
            path,
            layer=layer.name,
            driver=driver,
            geometry_name=layer.geometry,
            geometry_type="MultiPolygon Z" if layer.high else "MultiPolygon",
            crs=None if PLACELESS in layer.crs else layer.crs,
            dataset_options=dataset,
            layer_options=options,
        )
