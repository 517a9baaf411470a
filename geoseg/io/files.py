"""Files that appear complete or not at all."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rasterio._err import CPLE_BaseError  # what rasterio raises for some GDAL errors; it has no public name
from rasterio.errors import RasterioError

from geoseg.errors import GeosegError, OutputError

WRITE_ERRORS = (OSError, RasterioError, CPLE_BaseError)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a path of the same name in a hidden folder beside ``path``; what lies there afterwards becomes ``path``.

    The file is fsynced, then renamed over ``path``. After an error the hidden folder is removed, with anything a driver
    left in it, and ``path`` is as before. Raises OutputError where the disk or a driver fails.
    """
    try:
        with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            temporary = Path(folder) / path.name
            yield temporary
            sync(temporary)
            temporary.replace(path)
        sync(path.parent)
    except GeosegError:
        raise
    except WRITE_ERRORS as error:
        raise OutputError(f"{path}: could not be written ({error}); free or repair the disk, then run again") from error


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, keys as given; raises ValueError for NaN, and what ``atomic`` raises."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def append_json_line(path: Path, value: object) -> None:
    """Append ``value`` to a log of JSON lines, in one write; raises OutputError where the disk fails."""
    line = json.dumps(value, ensure_ascii=False) + "\n"
    try:
        with path.open("ab") as file:
            file.write(line.encode())
    except OSError as error:
        raise OutputError(f"{path}: could not be written ({error}); free or repair the disk, then run again") from error


@contextmanager
def locked(path: Path, *, of: Path, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold the file ``path`` as the lock of the folder ``of``, alone or with others that share it.

    The lock dies with its process. wait: until it is free; else raises OutputError where another one holds it. Folders
    are made as needed; raises OutputError where nothing can be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OutputError(f"{of}: cannot be written to ({error}); choose another folder") from error
    try:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise OutputError(f"{of}: another run is writing there; wait for it or choose another folder") from error
        yield
    finally:
        os.close(handle)


def sync(path: Path) -> None:
    """Flush a file, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
