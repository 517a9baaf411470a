"""Rasters kept open between reads: neither is a file opened anew, nor a block decoded that GDAL still has."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Self

from rasterio.io import DatasetReader

Opener = Callable[[str], AbstractContextManager[DatasetReader]]  # of a raster by its name; leaving it may close it
MOST = 32  # files at once: the bands of a product lie in a dozen


class KeptOpen:
    """Opens rasters by ``opener`` and keeps those that were read last; for one thread at a time.

    One that raises is closed. Leaving it, or ``close``, closes all.
    """

    def __init__(self, opener: Callable[[str], DatasetReader]) -> None:
        self._opener = opener
        self._held: dict[str, DatasetReader] = {}  # the one that was used last comes last

    @contextmanager
    def __call__(self, path: str) -> Iterator[DatasetReader]:
        """Yield a raster, open; raises what ``opener`` raises."""
        found = self._held.pop(path, None)  # nobody else gets it meanwhile
        src = self._opener(path) if found is None else found
        try:
            yield src
        except BaseException:
            src.close()
            raise
        self._held[path] = src
        if len(self._held) > MOST:
            self._held.pop(next(iter(self._held))).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all."""
        while self._held:
            self._held.popitem()[1].close()
