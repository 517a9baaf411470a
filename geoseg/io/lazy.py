"""A scene as a lazy, dask-backed, georeferenced xarray.DataArray."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geoseg.grid import Box
from geoseg.io.source import Scene, read

if TYPE_CHECKING:
    import xarray as xr


def to_xarray(scene: Scene, *, chunk_px: int = 2048, masked: bool = False) -> "xr.DataArray":
    """Return the scene as (band, y, x), read by windows when computed; ``.rio`` accessors work on it.

    Chunks hold all bands (pixel-interleaved files would else be decoded once a band) and are whole native blocks of at
    least ``chunk_px`` pixels. masked: float32 in physical units (scale and offset applied), NaN where invalid; else the
    stored type and values.
    """
    import dask.array as da
    import rioxarray  # noqa: F401  # registers .rio
    import xarray as xr
    from dask.base import tokenize

    height, width = scene.grid.shape
    rows, cols = (_snapped(chunk_px, block, size) for block, size in zip(scene.block, scene.grid.shape, strict=True))
    dtype = np.dtype(np.float32 if masked else scene.dtype)
    template = da.zeros((len(scene.bands), height, width), chunks=(len(scene.bands), rows, cols), dtype=dtype)
    pixels = da.map_blocks(
        _load, template, scene, masked, dtype=dtype, meta=np.empty((0, 0, 0), dtype), name=f"geoseg-{tokenize(scene, rows, cols, masked)}"
    )
    array = xr.DataArray(pixels, dims=("band", "y", "x"), coords={"band": list(scene.bands.names)}, name="scene")
    t = scene.grid.transform
    if t.b == t.d == 0:  # rotated grids have no x and y of their own: their transform says it all
        array = array.assign_coords(x=t.c + t.a * (np.arange(width) + 0.5), y=t.f + t.e * (np.arange(height) + 0.5))
    array = array.rio.write_crs(scene.grid.crs).rio.write_transform(t)
    return array.rio.write_nodata(np.nan) if masked else array


def _snapped(wanted: int, block: int, size: int) -> int:
    """Return the least multiple of ``block`` that is ``wanted`` pixels or more, at most ``size``."""
    return min(size, -(-wanted // block) * block)


def _load(template: NDArray[np.generic], scene: Scene, masked: bool, block_info=None) -> NDArray[np.generic]:  # type: ignore[no-untyped-def]  # noqa: FBT001
    (row0, row1), (col0, col1) = block_info[0]["array-location"][1:]
    raster = read(scene, Box(row0, col0, row1, col1))
    if not masked:
        return raster.data
    return np.where(raster.valid, scene.physical(raster.data.astype(np.float32)), np.float32(np.nan))
