"""Probabilities: windows of a raster's bands as probability bytes, whatever the raster holds."""

from dataclasses import dataclass

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.windows import Window

from geoseg.errors import InputError
from geoseg.grid import Box
from geoseg.io.source import open_raster
from geoseg.tiling.memory import GDAL_CACHE_BYTES


@dataclass(frozen=True, slots=True)
class ProbabilityBands:
    """Reads boxes of p(building), and of p(interior) where there is a band of it, (h, w) uint8 with 0 = nodata.

    band, interior: 1-based. A band holds bytes 1..255 for p 0..1, as geoseg writes them, or floats 0..1; with
    ``class_id`` it holds classes, and that one has p = 1. Picklable: the file is opened for each box. Raises InputError
    for values that are no probabilities.
    """

    path: str
    band: int
    interior: int | None = None
    class_id: int | None = None

    def __call__(self, box: Box, /) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Return both over ``box``."""
        window = Window(box.col0, box.row0, box.shape[1], box.shape[0])
        with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES), open_raster(self.path) as src:
            try:
                values = src.read(self.band, window=window, masked=False)
                inside = None if self.interior is None else src.read(self.interior, window=window, masked=False)
            except RasterioIOError as error:
                raise InputError(f"{self.path}: {box} cannot be read ({error}); is the file damaged?") from error
            return as_bytes(values, src.nodata, class_id=self.class_id, name=self.path), inside


def as_bytes(
    values: NDArray[np.generic], nodata: float | None, *, class_id: int | None, name: str
) -> NDArray[np.uint8]:
    """Return probability bytes of a band: 1..255 for p 0..1, 0 = nodata."""
    if class_id is not None:
        return np.where(values == class_id, 255, 1).astype(np.uint8)
    if values.dtype == np.uint8:
        if nodata != 0:
            raise InputError(
                f"{name}: 8-bit values without nodata 0 are no probability bytes; for a class raster pass --class-id"
            )
        return values  # type: ignore[return-value]
    if values.dtype.kind != "f":
        raise InputError(f"{name}: {values.dtype} values are no probabilities; for a class raster pass --class-id")
    p = values.astype(np.float32)
    known = np.isfinite(p) if nodata is None else np.isfinite(p) & (values != nodata)
    least, most = p.min(initial=1, where=known), p.max(initial=0, where=known)
    if least < 0 or most > 1:
        raise InputError(f"{name}: values {least:g}..{most:g} are no probabilities 0..1")
    return np.where(known, 1 + np.rint(254 * np.where(known, p, 0)), 0).astype(np.uint8)
