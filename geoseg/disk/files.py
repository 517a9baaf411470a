"""Files that appear complete or not at all, and folders that one run at a time may write to."""

import hashlib
import json
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from geoseg.errors import GeosegError, InputError, OutputError

if TYPE_CHECKING:
    from filelock import BaseFileLock

SIDECARS = (".aux.xml", ".msk", ".ovr")  # GDAL reads them as soon as they lie beside a raster
SPECIAL = {"FIFO": stat.S_ISFIFO, "socket": stat.S_ISSOCK, "device": stat.S_ISCHR, "block device": stat.S_ISBLK}
PAUSES_S = (
    0.1,
    0.2,
    0.4,
    0.8,
    1.6,
)  # between tries to replace a file: on Windows a virus scanner holds it for a moment
LEFT_CHARS = 8  # that tempfile puts behind a name
TAKING_S = 2.0  # how long a run that shares a folder waits while another one takes its share


@contextmanager
def atomic(path: Path, *, beside: Iterable[Path] = (), lasting: bool = True) -> Iterator[Path]:
    """Yield a path of the same name in a hidden folder beside ``path``; what lies there afterwards becomes ``path``.

    The file is fsynced, then renamed over ``path``; those of the names in ``beside`` that lie there too go first. After
    an error the hidden folder is removed, with anything a driver left in it, and ``path`` is as before. lasting: False
    where nothing is lost should the machine stop, and nobody waits for the disk. Raises OutputError where the disk or a
    driver fails.
    """
    try:
        with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            temporary = Path(folder) / path.name
            yield temporary
            for other in (*beside, path):
                made = temporary.with_name(other.name)
                if other == path or made.exists():
                    if lasting:
                        sync(made)
                    move(made, other)
        if lasting:
            sync(path.parent)
    except GeosegError:
        raise
    except write_errors() as error:
        raise OutputError(f"{path}: could not be written ({error}); free or repair the disk, then run again") from error


def remove_left(path: Path) -> None:
    """Remove the hidden folders beside ``path`` that were left by processes which were killed while they wrote it."""
    for folder in path.parent.glob(f".{escape(path.name)}.{'?' * LEFT_CHARS}"):
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)


def write_errors() -> tuple[type[Exception], ...]:
    """Return what the system and GDAL raise where a file cannot be written or read."""
    from rasterio._err import CPLE_BaseError  # what rasterio raises for some GDAL errors; it has no public name
    from rasterio.errors import RasterioError

    return OSError, RasterioError, CPLE_BaseError


def mode_of(path: str | Path) -> int | None:
    """Return the mode bits of what lies at ``path``; None where nothing does, or it is no path at all."""
    try:
        return Path(path).stat().st_mode
    except (OSError, ValueError):
        return None


def refuse_special(path: str | Path) -> None:
    """Raise InputError where a path, or what GDAL would read beside it, is a FIFO, socket or device.

    Opening one may wait without end.
    """
    for name in (str(path), *(f"{path}{suffix}" for suffix in SIDECARS)):
        mode = mode_of(name)
        kind = next((word for word, is_kind in SPECIAL.items() if mode is not None and is_kind(mode)), None)
        if kind is not None:
            raise InputError(f"{name}: is a {kind}, not a file; save what it gives to a file first")


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's content in hexadecimal digits, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def move(source: Path, target: Path) -> None:
    """Let ``source`` be ``target``, in one step; raises OutputError where another program keeps it from being replaced.

    On Windows a file that is open anywhere cannot be replaced: it is tried again for three seconds.
    """
    for pause_s in (*PAUSES_S, None):
        try:
            source.replace(target)
        except PermissionError as error:
            if pause_s is None:
                raise OutputError(
                    f"{target}: cannot be replaced ({error.strerror}); close it in the program that has it open, "
                    f"or choose another folder, then run again"
                ) from error
            time.sleep(pause_s)
        else:
            return


@contextmanager
def locked(path: Path, *, of: Path, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold the file ``path`` as the lock of the folder ``of``, alone or with others that share it.

    Who holds it alone has ``path`` locked and finds no share of another one; who shares it has a file of its own beside
    it locked, and has found ``path`` free since. The locks die with their process. wait: until it is free; else raises
    OutputError where another one holds it. Folders are made as needed; raises OutputError where nothing can be written.
    """
    share = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = _shared(path, share) if shared else _alone(path, wait=wait)
    except OSError as error:
        raise OutputError(
            f"{of}: cannot be written to, or its file system has no locks ({error}); choose another folder"
        ) from error
    if held is None:
        raise OutputError(f"{of}: another run is writing there; wait for it or choose another folder")
    try:
        yield
    finally:
        held.release()
        if shared:
            share.unlink(missing_ok=True)


def _shared(path: Path, share: Path) -> "BaseFileLock | None":
    """Return a lock of ``share``, None where ``path`` is held."""
    own = _lock(share, wait_s=0)
    alone = _lock(path, wait_s=TAKING_S)
    if alone is not None:
        alone.release()
        return own
    if own is not None:
        own.release()
        share.unlink(missing_ok=True)
    return None


def _alone(path: Path, *, wait: bool) -> "BaseFileLock | None":
    """Return a lock of ``path``, None where it is held, or a share of it is."""
    alone = _lock(path, wait_s=-1 if wait else 0)
    if alone is None:
        return None
    for share in path.parent.glob(f"{path.name}.*"):
        taken = _lock(share, wait_s=0)
        if taken is None:
            alone.release()
            return None
        taken.release()
        share.unlink(missing_ok=True)  # of a process that was killed
    return alone


def _lock(path: Path, *, wait_s: float) -> "BaseFileLock | None":
    """Return the lock of a file, None where it is held for longer than ``wait_s``, -1 for no end; raises OSError."""
    from filelock import FileLock, Timeout  # it takes longer to load than help takes to be printed

    lock = FileLock(path, timeout=wait_s)
    try:
        lock.acquire()
    except Timeout:
        return None
    return lock


def sync(path: Path) -> None:
    """Flush a file, or a folder's list of names, to the disk; Windows has no such thing for folders."""
    windows = os.name == "nt"
    if windows and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
