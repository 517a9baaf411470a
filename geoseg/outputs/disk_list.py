"""Spool: polygons on disk, for stages that look at them more than once and cannot hold them all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.errors import GeosegError, OutputError


class Spool:
    """Polygons in a file, by number; 16 bytes of memory each."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._begin, self._size = np.empty(0, np.int64), np.empty(0, np.int64)

    def append(self, polygons: NDArray[np.object_]) -> None:
        """Add polygons behind those that are there."""
        begin, size = self._write(polygons)
        self._begin, self._size = np.append(self._begin, begin), np.append(self._size, size)

    def replace(self, numbers: NDArray[np.intp], polygons: NDArray[np.object_]) -> None:
        """Let those numbers be these polygons from now on."""
        self._begin[numbers], self._size[numbers] = self._write(polygons)

    def read(self, numbers: NDArray[np.intp]) -> NDArray[np.object_]:
        """Return the polygons of those numbers."""
        return np.asarray(shapely.from_wkb(np.array([self._at(n) for n in numbers], object)))

    def _at(self, number: int) -> bytes:
        self._file.seek(self._begin[number])
        return self._file.read(self._size[number])

    def _write(self, polygons: NDArray[np.object_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        blobs = shapely.to_wkb(polygons)
        size = np.array([len(blob) for blob in blobs], np.int64)
        begin = self._file.seek(0, 2) + np.cumsum(size) - size
        self._file.writelines(blobs)
        return begin, size


@contextmanager
def spooled(folder: Path) -> Iterator[Spool]:
    """Yield an empty spool in ``folder``, which is gone afterwards; raises OutputError where the disk fails."""
    try:
        with TemporaryFile(dir=folder) as file:
            yield Spool(file)
    except GeosegError:
        raise
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written to ({error}); choose another folder") from error
