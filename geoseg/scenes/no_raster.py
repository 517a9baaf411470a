"""What a file that GDAL reads no raster from is instead, and what to do with it."""

import zipfile
from pathlib import Path

from geoseg.disk.places import RASTER_FILES, VECTORS

ARCHIVES = {".zip": "vsizip", ".tar": "vsitar", ".tgz": "vsitar", ".gz": "vsigzip", ".7z": "vsi7z"}


def way_out(path: str) -> str:
    """Return what to do with a file that is no raster, "" where nobody knows.

    >>> way_out("fields.parquet")
    'it holds vectors or a table, and a scene is a raster: name one'
    """
    suffix = Path(path).suffix.lower()
    if Path(path).is_dir():
        return "it is a folder without rasters, and no product that is known"
    if suffix in {*VECTORS, ".csv"}:
        return "it holds vectors or a table, and a scene is a raster: name one"
    if suffix in ARCHIVES:
        inside = _rasters_of(path) or ["NAME.tif"]
        return f"it is an archive: unpack it, or name a raster in it, e.g. /{ARCHIVES[suffix]}/{path}/{inside[0]}"
    return ""


def _rasters_of(path: str) -> list[str]:
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        return [name for name in archive.namelist() if name.lower().endswith(RASTER_FILES)]
