"""Which rasters a mosaic is made of: those of a folder, of a pattern, or of a tile index."""

import glob
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from geoseg.disk.places import CONNECTION, RASTER_FILES, located, matching
from geoseg.errors import InputError
from geoseg.scenes.lists import is_output

INDEXES = (".gpkg", ".shp", ".geojson", ".json", ".fgb", ".parquet")
PRODUCT = re.compile(r"\.SAFE$|^S2[ABCD]_MSIL\w*\.zip$|^L[COTEM]0\d_L\w+(\.tar)?$", re.IGNORECASE)  # folders, archives
LOCATION = ("location", "filename", "path")  # fields of a tile index, as gdaltindex and others call them
DATES = ("datetime", "date", "acquired", "timestamp")
CLOUDS = ("eo:cloud_cover", "cloud_cover", "clouds")


@dataclass(frozen=True, slots=True)
class Listed:
    """A tile: its raster, and what the list says of it."""

    path: str
    date: str | None = None  # sorts as text
    clouds: float | None = None  # share of it that clouds cover, in whatever unit the list has


def listed_tiles(path: str) -> list[Listed] | None:
    """Return the tiles behind a name, None where it is one raster; raises InputError where there are none."""
    if CONNECTION.match(path) and not Path(path).exists():
        return None
    place = Path(path)
    if place.is_dir():
        found = _rasters(place.iterdir()) or _rasters(place.rglob("*"))
        return [Listed(file) for file in found] or None  # GDAL knows formats that are folders
    if glob.has_magic(path) and not place.exists():
        found = _rasters(map(Path, matching(path)), every=True)
        if not found:
            raise InputError(f"{path}: no file matches; check the pattern")
        return [Listed(file) for file in found]
    if PurePosixPath(path).suffix.lower() in INDEXES and place.is_file():
        return _indexed(place)
    return None


def product_names(path: str) -> list[str]:
    """Return the products that a folder holds, or that match a pattern, by their names; none where it is one itself."""
    place = Path(path)
    if place.is_dir() and not PRODUCT.search(place.name):
        return sorted(str(p) for p in place.iterdir() if PRODUCT.search(p.name))
    if not CONNECTION.match(path) and glob.has_magic(path) and not place.exists():
        return [p for p in matching(path) if PRODUCT.search(Path(p).name)]
    return []


def _rasters(files: Iterable[Path], *, every: bool = False) -> list[str]:
    """Return the rasters among files in order; not what a run of geoseg has written."""
    found = [p for p in files if (every or p.suffix.lower() in RASTER_FILES) and not p.name.startswith(".")]
    folders = {p.parent for p in found}
    own = {folder for folder in folders if (folder / "run.json").is_file() or (folder / ".job").is_dir()}
    return sorted(str(p) for p in found if p.parent not in own or not is_output(p))


def _indexed(path: Path) -> list[Listed] | None:
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        fields = list(pyogrio.read_info(path)["fields"])
    except (DataSourceError, DataLayerError):  # e.g. a raster in a GeoPackage
        return None
    location = _first_of(LOCATION, fields)
    if location is None:
        return None
    date, clouds = _first_of(DATES, fields), _first_of(CLOUDS, fields)
    wanted = [field for field in (location, date, clouds) if field is not None]
    frame = pyogrio.read_dataframe(path, columns=wanted, read_geometry=False, datetime_as_string=True)
    if not len(frame):
        raise InputError(f"{path}: a tile index without tiles")
    return [
        Listed(
            located(str(row[location]), path.parent),
            None if date is None or row[date] is None else str(row[date]),
            None if clouds is None else float(row[clouds]),
        )
        for row in frame.to_dict("records")
    ]


def _first_of(names: tuple[str, ...], fields: list[str]) -> str | None:
    lower = {field.lower(): field for field in reversed(fields)}
    return next((lower[name] for name in names if name in lower), None)
