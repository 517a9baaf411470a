"""What GDAL reads for a raster: the files behind its name, recursively, and a stamp of each that shows a change."""

import os
import re
import stat
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import rasterio
from rasterio.errors import RasterioError

from geoseg.disk.files import SIDECARS, mode_of, refuse_special
from geoseg.errors import InputError
from geoseg.scenes import remote
from geoseg.scenes.remote import is_remote

PIECES = re.compile(r'/vsi\w+/|:(?://)?|[",?!{}]')  # what stands between the paths in a name of GDAL's

Stamp = list[object]


def files_read(names: Iterable[str], *, lone: Collection[str] = ()) -> tuple[str, ...]:
    """Return every file that GDAL reads, or would read if it were there, for rasters of these ``names``.

    The rasters themselves, what a VRT draws from, recursively, masks, overviews and .aux.xml beside each, whole
    archives and containers of subdatasets, all files of a folder that is a raster; a remote one is its name alone.
    Sidecars that are not there are listed too: one that appears later changes what is read. Not followed: the rasters
    that a tile index (GTI) or a service's XML names. lone: those that need not be opened to know it.
    Raises InputError where a source is missing, or a FIFO, say.
    """
    found: dict[str, None] = {}
    todo = deque(names)
    while todo:
        name = todo.popleft()
        file = None if is_remote(name) else local_file(name)
        key = name if file is None else str(file)
        if key in found:
            continue
        found[key] = None
        if file is None or key.endswith(SIDECARS):
            continue
        found.update(dict.fromkeys(_beside(file)))
        if name in lone:
            continue
        refuse_special(file)
        todo.extend(_listed(name))
    return tuple(found)


def local_file(name: str) -> Path | None:
    """Return the local file or folder behind a name that GDAL understands: the path, its archive or its container.

    >>> local_file("/vsicurl/https://example.org/scene.tif") is None
    True
    """
    if mode_of(name) is not None:
        return Path(name)
    inner = re.sub(r"^(/vsi\w+/)+", "", name)
    for piece in (inner, *name.split('"'), *PIECES.split(name)):
        if piece.strip("./") and mode_of(piece) is not None:
            return Path(piece)
        for above in Path(piece).parents:
            if not stat.S_ISDIR(mode_of(above) or stat.S_IFDIR):
                return above
    return None


def stamps(files: Iterable[str], *, seen: bool = False) -> list[Stamp]:
    """Return [name, bytes, mtime, ctime, inode] of each file as it is now, times in ns; [name] where there is none.

    Of a remote one: its address, ETag, date and bytes, see ``remote.stamp``; seen: as this process first saw it.

    ctime shows what keeps size and mtime (cp -p, touch -r), the inode a file that was moved into the place of another
    one. NFS, Lustre, GPFS and Ceph give all four as the server has them, the same on every machine; NFS asks the server
    for them at every open, so each file is opened. sshfs, and SMB mounted with noserverino, number inodes anew on each
    machine: see ``changed``.
    """
    return [list(remote.first_stamp(file)) if seen and is_remote(file) else _stamp(file) for file in files]


def changed(found: list[Stamp], wanted: list[Stamp], *, inodes: bool = True) -> list[str]:
    """Return the names of the files whose stamps differ, or are in one list alone, each once.

    inodes: whether to compare them; not between machines, where a file system may number them by machine. What they
    show is in ctime too, but on file systems that have none.
    """
    length = 5 if inodes else 4
    plain, other = [[tuple(stamp[:length]) for stamp in stamps] for stamps in (found, wanted)]
    if plain == other:
        return []
    differing = {*plain} ^ {*other} or {*plain}  # the same files in another order
    return list(dict.fromkeys(str(key[0]) for key in (*other, *plain) if key in differing))


def _stamp(file: str) -> Stamp:
    if is_remote(file):
        return remote.stamp(file)
    name: Stamp = [Path(file).name]
    try:
        info = _info(file)
    except (OSError, ValueError):  # gone: the name alone differs from what it was
        return name
    if stat.S_ISDIR(info.st_mode):  # its files are stamped, outputs may be written beside them
        return name
    return [*name, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino]


def _info(file: str) -> os.stat_result:
    """Return what the file system says of a file, as its server has it now; see ``stamps``."""
    try:
        opened = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError:  # a folder, elsewhere than on Linux, or what nobody may read
        return Path(file).stat()
    try:
        return os.fstat(opened)
    finally:
        os.close(opened)


def _beside(file: Path) -> Iterator[str]:
    """Yield what else belongs to a local raster: all of a folder, or its sidecars, there or not."""
    if file.is_dir():
        yield from sorted(str(p) for p in file.rglob("*") if p.is_file())
    else:
        yield from (f"{file}{suffix}" for suffix in SIDECARS)


def _listed(name: str) -> list[str]:
    """Return the files that GDAL lists for a raster; none for what is no raster, e.g. a world file."""
    try:
        with rasterio.open(name) as src:
            files, driver = list(src.files), src.driver
    except RasterioError:
        return []
    if driver == "VRT":
        for file in files:
            if not is_remote(file) and local_file(file) is None and not file.startswith("/vsimem/"):
                raise InputError(f"{name}: its source {file} is missing; bring it back, or make the VRT again")
    return files
