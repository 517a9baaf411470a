"""A scene, or what is computed of one, as a lazy, dask-backed, georeferenced xarray.DataArray."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geoseg.scenes.reading import read
from geoseg.scenes.scene import Scene
from geoseg.values.box import Box
from geoseg.values.grid import Grid

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr


def to_xarray(scene: Scene, *, chunk_px: int = 2048, masked: bool = False) -> "xr.DataArray":
    """Return the scene as (band, y, x), read by windows when computed; ``.rio`` accessors work on it.

    Chunks hold all bands (pixel-interleaved files would else be decoded once a band) and are whole native blocks of at
    least ``chunk_px`` pixels. masked: float32 in physical units (scale and offset applied), NaN where invalid; else the
    stored type and values, with the nodata value that all bands share. A rotated scene has no x and y coordinates:
    ``.rio.transform()`` places it, and rioxarray's own ``.rio.bounds()`` is wrong there, so use ``scene.grid.bounds``.
    """
    import dask.array as da
    from dask.array.core import normalize_chunks
    from dask.base import tokenize

    height, width = scene.grid.shape
    rows, cols = (_snapped(chunk_px, block, size) for block, size in zip(scene.block, scene.grid.shape, strict=True))
    dtype = np.dtype(np.float32 if masked else scene.dtype)
    pixels = da.map_blocks(
        _load,
        scene=scene,
        masked=masked,
        chunks=normalize_chunks((-1, rows, cols), shape=(len(scene.bands), height, width)),
        dtype=dtype,
        meta=np.empty((0, 0, 0), dtype),
        name=f"geoseg-{tokenize(scene, rows, cols, masked)}",
    )
    nodata = np.nan if masked else _shared([s.nodata for s in scene.sources])
    return georeferenced(pixels, scene.grid, name="scene", bands=scene.bands.names, nodata=nodata)


def georeferenced(
    pixels: "da.Array", grid: Grid, *, name: str, bands: Sequence[str] | None = None, nodata: float | None = None
) -> "xr.DataArray":
    """Place (y, x) pixels, or (band, y, x) where ``bands`` are named, on ``grid``: coordinates and ``.rio``."""
    import rioxarray  # noqa: F401  # registers .rio
    import xarray as xr

    dims, coords = (("y", "x"), {}) if bands is None else (("band", "y", "x"), {"band": list(bands)})
    array = xr.DataArray(pixels, dims=dims, coords=coords, name=name)
    t = grid.transform
    if t.b == t.d == 0:
        array = array.assign_coords(
            x=t.c + t.a * (np.arange(grid.width) + 0.5), y=t.f + t.e * (np.arange(grid.height) + 0.5)
        )
    array = array.rio.write_transform(t)
    array = array.rio.write_crs(grid.crs) if grid.has_place else array
    return array if nodata is None else array.rio.write_nodata(nodata)


def _snapped(wanted: int, block: int, size: int) -> int:
    """Return the least multiple of ``block`` that is ``wanted`` pixels or more, at most ``size``."""
    return min(size, -(-wanted // block) * block)


def _shared(values: list[float | None]) -> float | None:
    return values[0] if all(v == values[0] for v in values) else None


def _load(*, scene: Scene, masked: bool, block_info: dict[None, dict[str, Any]]) -> NDArray[np.generic]:
    (row0, row1), (col0, col1) = block_info[None]["array-location"][1:]
    raster = read(scene, Box(row0, col0, row1, col1))
    if not masked:
        return raster.data
    return np.where(raster.valid, scene.physical(raster.data.astype(np.float32)), np.float32(np.nan))
