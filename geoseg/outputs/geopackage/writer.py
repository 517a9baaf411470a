"""The one writer of polygon layers: OGR writes features and spatial index, tables.py what else a GeoPackage has.

Version 1.3, because GDAL 3.6 (QGIS of Debian 12) warns about 1.4 on each opening.
"""

import sqlite3
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow as pa
import pyogrio
from pyogrio.errors import DataLayerError

from geoseg.disk.files import atomic
from geoseg.disk.places import VECTOR_DRIVERS
from geoseg.errors import OutputError
from geoseg.outputs.geopackage.layer import PolygonLayer, free_name
from geoseg.outputs.geopackage.side_files import refuse_if_in_use
from geoseg.outputs.geopackage.tables import FIXED_TIME, describe, forget_batches, read_back
from geoseg.scenes.vectors import OGR_ERRORS


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
                    describe(db, layer)
                    read_back(db, layer, features)
                forget_batches(temporary)
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
