"""Places: which file a name means from another folder, and where a file may be written. Loads no library."""

import glob
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from geoseg.errors import ConfigError, OutputError
from geoseg.untrusted.text import fault_of_text, shown

MODELS = "GEOSEG_MODELS"  # variable of the environment: the folder of a user's own models
VECTOR_DRIVERS = {  # what polygons are written as: OGR's name of the format by suffix
    ".gpkg": "GPKG",
    ".parquet": "Parquet",
    ".fgb": "FlatGeobuf",
    ".geojson": "GeoJSON",
    ".json": "GeoJSON",
    ".shp": "ESRI Shapefile",
    ".shz": "ESRI Shapefile",
}
# Suffixes of files that hold polygons: those that are written, and others that OGR reads.
VECTORS = (*VECTOR_DRIVERS, ".kml", ".kmz", ".gml", ".sqlite")
# Suffixes by which rasters are known in a folder, a list or an archive; a single file may have any.
RASTER_FILES = (".tif", ".tiff", ".jp2", ".vrt", ".img", ".png", ".jpg", ".jpeg", ".dem", ".bil", ".asc", ".nc")
STYLE = ".qml"  # QGIS reads the style of a vector file that lies beside it
SHAPE_PARTS = (".shx", ".dbf", ".prj", ".cpg")  # of a Shapefile that is no archive
CONNECTION = re.compile(r"/vsi|[A-Za-z]\w+:")  # /vsicurl/…, https://…, NETCDF:"file.nc":variable
FIRST_BYTES = 4096  # of a VRT: after them its first element has begun
LONGEST_SHOWN = 300  # characters of a path in an error
OWN_DATES = "datetime"  # STAC's word: each item of a collection is a date
DATED = re.compile(rf"(\d{{4}}-\d{{2}}-\d{{2}}(?:T[\d:.]+Z?)?|{OWN_DATES})=(.+)")  # a file of several dates
ARCHIVES = re.compile(r"(?:/vsi(?:zip|gzip|tar|7z|rar)/)+")
LAYERED_ROOT = b"<OGRVRTDataSource"  # of an OGR VRT, within its first bytes
LAYERED_SOURCE = re.compile(r"<SrcDataSource[^>]*>([^<]+)</SrcDataSource>")  # of an OGR VRT


def models_folder() -> Path:
    """Return the folder of the user's own models, there or not: $GEOSEG_MODELS, else one in the user's data folder."""
    if named := os.environ.get(MODELS):
        return Path(named).absolute()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "geoseg" / "models"


def embeddings_folder() -> Path:
    """Return where embeddings of windows are kept, there or not: in the user's cache folder."""
    return _cache_folder() / "embeddings"


def networks_folder() -> Path:
    """Return where networks are kept as other libraries run them, there or not: in the user's cache folder."""
    return _cache_folder() / "networks"


def _cache_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "geoseg"


def weights_folder() -> Path:
    """Return the folder of weights that were fetched by name, there or not: beside the user's own models."""
    return models_folder() / "weights"


def located(path: str | Path, folder: Path | None = None) -> str:
    """Return a file's name as it is found from any folder; a relative one starts at ``folder``, None for the current.

    Names that only GDAL understands keep their form: the file within them is located. What is found nowhere stays.

    >>> located("/vsicurl/https://example.org/scene.tif")
    '/vsicurl/https://example.org/scene.tif'
    """
    name, folder = str(path), (folder or Path()).absolute()
    if dated := DATED.fullmatch(name):
        return f"{dated[1]}={located(dated[2], folder)}"
    if not CONNECTION.match(name) or (folder / name).exists():
        return str(folder / name)
    if "://" in name:
        return name
    if inside := ARCHIVES.match(name):
        file = folder / name[inside.end() :]
        return inside[0] + str(file) if any(p.is_file() for p in (file, *file.parents)) else name
    pieces = re.split('([:"])', name)  # driver:file:what, the file in quotes where it holds a colon
    spans = ((i, k) for i in range(2, len(pieces), 2) for k in range(len(pieces), i, -1))
    for begin, end in spans:
        piece = "".join(pieces[begin:end])
        if piece.strip("./") and (folder / piece).is_file():
            return "".join(pieces[:begin]) + str(folder / piece) + "".join(pieces[end:])
    return name


def matching(pattern: str) -> list[str]:
    """Return the paths that a pattern matches, in order; folders that are there are taken as they are named.

    So ``br[1]/*.tif`` are the files of a folder that is called so.
    """
    parts = Path(pattern).parts
    there = next((k for k in range(len(parts) - 1, 0, -1) if Path(*parts[:k]).is_dir()), 0)
    head = [glob.escape(str(Path(*parts[:there])))] if there else []
    return sorted(glob.glob(os.path.join(*head, *parts[there:]), recursive=True))  # noqa: PTH118, PTH207


def refuse_suffix(path: Path, suffixes: Collection[str]) -> None:
    """Raise ConfigError for a suffix that is none of ``suffixes``."""
    if path.suffix.lower() not in suffixes:
        told = f"{path}: cannot write {path.suffix or 'a name without suffix'}"
        raise ConfigError(f"{told}; choose {', '.join(suffixes)}")


def fault_of_target(path: str | Path) -> str | None:
    """Return why nothing is written to ``path``: a line break, say, in a name of it or of a folder that it lies in.

    SQLite, XML and the lines of errors do not hold such names.

    >>> fault_of_target("maps"), fault_of_target(f"two{chr(13)}lines")[-56:]
    (None, ' holds the control character U+000D; choose another name')
    """
    faults = (fault_of_text(part, allowed="") for part in Path(path).absolute().parts)
    return next((f"{fault}; choose another name" for fault in faults if fault is not None), None)


def refuse_unfit_name(path: Path) -> None:
    """Raise ConfigError for what ``fault_of_target`` says of ``path``."""
    if fault := fault_of_target(path):
        raise ConfigError(f"{shown(str(path), at_most=LONGEST_SHOWN)}: nothing can be written there: {fault}")


def vector_target(
    out: str | Path,
    *,
    vector_format: str | None = None,
    overwrite: bool,
    inputs: Iterable[str | Path],
    also: Collection[str] = (),
) -> Path:
    """Return the file of polygons that ``out`` means: its suffix is its format, and is added where there is none.

    Raises ConfigError for suffixes that are none of VECTOR_DRIVERS and ``also``, or not of the format that is asked
    for, and what ``refuse_file`` raises for it and for what is written beside it.
    """
    path = Path(out)
    if vector_format and not path.suffix:
        path = path.with_name(f"{path.name}.{vector_format}")
    refuse_suffix(path, (*VECTOR_DRIVERS, *also))
    if vector_format and VECTOR_DRIVERS.get(path.suffix.lower()) != VECTOR_DRIVERS[f".{vector_format}"]:
        raise ConfigError(f"{path}: --vector-format {vector_format} has another suffix; name it .{vector_format}")
    inputs = list(inputs)
    for file in (path, *(other for other in written_beside(path) if other.suffix != STYLE)):
        refuse_file(file, overwrite=overwrite, inputs=inputs)
    return path


def written_beside(path: Path) -> tuple[Path, ...]:
    """Return the files that are written along with one of polygons: its style, and the parts of a Shapefile.

    >>> [p.name for p in written_beside(Path("roofs.fgb"))], written_beside(Path("roofs.gpkg"))
    (['roofs.qml'], ())
    """
    suffix = path.suffix.lower()
    suffixes = (
        *(SHAPE_PARTS if suffix == ".shp" else ()),
        *((STYLE,) if suffix in VECTOR_DRIVERS and suffix != ".gpkg" else ()),
    )
    return tuple(path.with_suffix(other) for other in suffixes)


def undated(name: str) -> str:
    """Return the file in DATE=FILE, and any other name as it is."""
    dated = DATED.fullmatch(name)
    return dated[2] if dated else name


def refuse_file(path: Path, *, overwrite: bool, inputs: Iterable[str | Path]) -> None:
    """Refuse to write ``path``: OutputError where it is there, unless told, a folder or an input.

    Raises ConfigError for a name that no output can bear.
    """
    refuse_unfit_name(path)
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file with -o")
    key = file_key(path)
    if key is not None and key in {file_key(file) for file in inputs}:
        raise OutputError(f"{path}: is read by this run, so it is not written; choose another name")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path}: exists already; choose another name or pass --overwrite")


def file_key(path: str | Path) -> tuple[int, int] | None:
    """Return what all names of one file share, None where there is no such file."""
    try:
        info = Path(path).stat()
    except (OSError, ValueError):
        return None
    return info.st_dev, info.st_ino


def holds_vectors(path: str | Path) -> bool:
    """Whether a file is one of vectors: by its suffix, and a VRT by its first element, as GDAL's and OGR's share it.

    >>> holds_vectors("roofs.gpkg"), holds_vectors("classes.tif")
    (True, False)
    """
    path = Path(path)
    if path.suffix.lower() != ".vrt":
        return path.suffix.lower() in VECTORS
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return LAYERED_ROOT in file.read(FIRST_BYTES)


def vector_files(source: str | Path) -> list[str]:
    """Return the files behind the name of a vector source: itself, its archive, its parts, and what a VRT draws from.

    >>> vector_files("roofs.shp")[-2:]
    ['roofs.prj', 'roofs.cpg']
    """
    path = Path(ARCHIVES.sub("", str(source)))
    found = [str(source), str(path), *map(str, path.parents)]
    if path.suffix.lower() == ".shp":
        found += [str(path.with_suffix(part)) for part in SHAPE_PARTS]
    if path.suffix.lower() == ".vrt" and path.is_file():
        named = LAYERED_SOURCE.findall(path.read_text(encoding="utf-8", errors="replace"))
        found += [name for text in named for name in (text, str(path.parent / text))]
    return found
