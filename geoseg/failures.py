"""Failures: what the system, GDAL and other libraries raise, as an error of geoseg with its exit code and a way out."""

import errno
import re
from pathlib import Path

from geoseg.errors import (
    ConfigError,
    GeosegError,
    InputError,
    MemoryBudgetError,
    ModelError,
    OutputError,
    TryAgainError,
)

Kind = type[GeosegError]
SHOWN_CHARS, QUOTE = 60, r'["\n]'  # before and after what is no text, and what a name ends at

# What errno means, and what to do.
SYSTEM: dict[int, tuple[Kind, str]] = {
    errno.ENOSPC: (OutputError, "free space or files (inodes) there, then run again"),
    errno.EDQUOT: (OutputError, "free space or files within the quota there, then run again"),
    errno.EFBIG: (OutputError, "choose a file system that holds files of this size"),
    errno.EROFS: (OutputError, "choose a folder that can be written to"),
    errno.ENOLCK: (OutputError, "choose a folder on a file system with locks"),
    errno.EIO: (OutputError, "check the disk, then run again"),
    errno.ESTALE: (TryAgainError, "its file system was away; run the same command again"),
    errno.EMFILE: (TryAgainError, "raise the number of open files (ulimit -n), then run again"),
    errno.ENFILE: (TryAgainError, "close other programs, then run again"),
    errno.EAGAIN: (TryAgainError, "raise the number of processes (ulimit -u) or take fewer --lanes, then run again"),
    errno.ENOMEM: (MemoryBudgetError, "allow less with --memory, or take fewer --lanes"),
    errno.ENOENT: (InputError, "check the path"),
    errno.ENOTDIR: (InputError, "check the path"),
    errno.EISDIR: (InputError, "name a file"),
    errno.ENAMETOOLONG: (ConfigError, "choose a shorter name"),
    errno.EILSEQ: (ConfigError, "choose a name that can be written in UTF-8"),
}
DISK_FULL = ("no space left", "disk is full", "quota exceeded")
# What text means that libraries put into errors of no particular kind.
TEXTS: tuple[tuple[str, Kind, str], ...] = (
    ("no space left", OutputError, "free space there, then run again"),
    ("disk is full", OutputError, "free space there, then run again"),
    ("quota exceeded", OutputError, "free space within the quota there, then run again"),
    ("read-only file system", OutputError, "choose a folder that can be written to"),
    ("can't start new thread", TryAgainError, "raise the number of processes (ulimit -u) or take fewer --lanes"),
    ("failed to start", TryAgainError, "take fewer --workers or another --engine, then run again"),
    ("can't allocate memory", MemoryBudgetError, "allow less with --memory, or take fewer --lanes"),
)
# What classes of libraries mean, by the top of their module and by name, first match first; nothing is imported for it.
LIBRARIES: dict[tuple[str, str], tuple[Kind, str]] = {
    ("builtins", "MemoryError"): (MemoryBudgetError, "allow less with --memory, or take fewer --lanes"),
    ("builtins", "UnicodeError"): (ConfigError, "names and text have to be UTF-8: rename it"),
    ("torch", "OutOfMemoryError"): (MemoryBudgetError, "take a smaller --batch or --device cpu"),
    ("safetensors_rust", "SafetensorError"): (ModelError, "fetch the bundle again"),
    ("rasterio", "RasterioError"): (InputError, "check the raster with gdalinfo -checksum"),
    ("rasterio", "CRSError"): (InputError, "check the CRS of the inputs"),
    ("rasterio", "CPLE_BaseError"): (InputError, "check the raster with gdalinfo -checksum"),
    ("pyogrio", "DataSourceError"): (InputError, "check the file with ogrinfo"),
    ("pyogrio", "DataLayerError"): (InputError, "check the file with ogrinfo"),
    ("pyogrio", "FeatureError"): (InputError, "check the file with ogrinfo"),
    ("pyogrio", "FieldError"): (InputError, "check the file with ogrinfo"),
    ("pyogrio", "GeometryError"): (InputError, "check the file with ogrinfo"),
    ("pyproj", "ProjError"): (InputError, "check the CRS of the inputs"),
    ("shapely", "ShapelyError"): (InputError, "repair the geometries"),
    ("json", "JSONDecodeError"): (InputError, "check the file"),
    ("sqlite3", "DatabaseError"): (InputError, "check the file"),
}


def as_geoseg_error(error: BaseException, *, step: str) -> GeosegError | None:
    """Return what an error means in geoseg's words, None where only geoseg's authors can know; step: what was done.

    An error of geoseg is itself. What an error was raised from is looked at as well.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, GeosegError):
            return cause
        found = _meaning(cause)
        if found is not None:
            kind, way_out = found
            return kind(f"{step}: {_said(cause)}; {way_out}")
        cause = cause.__cause__
    return None


def disk_is_full(error: BaseException) -> bool:
    """Return whether an error, or what it was raised from, says that no space is left on a disk or in a quota."""
    cause: BaseException | None = error
    while cause is not None:
        full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or any(text in str(cause).lower() for text in DISK_FULL):
            return True
        cause = cause.__cause__
    return False


def _meaning(error: BaseException) -> tuple[Kind, str] | None:
    if isinstance(error, OSError) and error.errno is not None:
        return _denied(error) if error.errno in (errno.EACCES, errno.EPERM) else SYSTEM.get(error.errno)
    said = str(error).lower()
    for text, kind, way_out in TEXTS:
        if text in said:
            return kind, way_out
    for ancestor in type(error).__mro__:
        found = LIBRARIES.get((ancestor.__module__.partition(".")[0], ancestor.__name__))
        if found is not None:
            return found
    return None


def _denied(error: OSError) -> tuple[Kind, str]:
    """Return what a refusal means: a file that is there cannot be read, any other name cannot be written."""
    if isinstance(error.filename, str) and Path(error.filename).is_file():
        return InputError, "give yourself the right to read it"
    return OutputError, "choose a folder that you may write to"


def _said(error: BaseException) -> str:
    """Return what an error says, its file first."""
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([*names, error.strerror])
    if isinstance(error, UnicodeEncodeError):  # most often a name of another encoding, whose bytes are surrogates
        before = re.split(QUOTE, error.object[max(0, error.start - SHOWN_CHARS) : error.start])[-1]
        after = re.split(QUOTE, error.object[error.start : error.end + SHOWN_CHARS])[0]
        return f"{before + after!a} is not UTF-8"
    return str(error) or type(error).__name__
