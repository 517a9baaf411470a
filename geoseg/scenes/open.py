"""A scene from one file, or from several single-band files of one grid."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from geoseg.errors import ConfigError, InputError
from geoseg.scenes.band_names import name_bands
from geoseg.scenes.geotiff import describe_file
from geoseg.scenes.scene import Scene
from geoseg.values.grid import Grid


def open_scene(
    source: str | Path | Sequence[str | Path],
    *,
    bands: str | None = None,
    sensor: str | None = None,
    nodata: float | None = None,
    mask: str | Path | None = None,
    assume_crs: str | None = None,
    local_only: bool = False,
) -> Scene:
    """Open a GeoTIFF, COG, VRT or any raster GDAL reads, or several single-band files of one grid, as one scene.

    bands: the bands' names in file order ("B02,B03,…"), or 1-based numbers to pick ("3,2,1"); a band marked as alpha
    is one of them when it is named or picked, else it masks. sensor: a key of ``geoseg.values.bands.SENSORS`` that
    gives the bands wavelengths; nodata: overrides the tag; mask: a raster on the scene's grid, pixels where its first
    band is 0, nodata or NaN are invalid; assume_crs: for files without one;
    local_only: names and formats that make GDAL read further files or URLs (VRT, WMS, …) are refused.
    Raises InputError (not there, not a raster, no CRS, complex pixels, grids that differ) and ConfigError.

    >>> from importlib.resources import files
    >>> scene = open_scene(str(files("geoseg") / "demo" / "scene.tif"))
    >>> scene.grid.shape, scene.bands.names
    ((1536, 768), ('red', 'green', 'blue'))
    """
    paths = [str(p) for p in ([source] if isinstance(source, str | Path) else source)]
    if not paths:
        raise ConfigError("no scene given")
    parts = [describe_file(path, assume_crs, local_only=local_only) for path in paths]
    first = parts[0]
    for path, part in zip(paths[1:], parts[1:], strict=True):
        if not first.grid.same_as(part.grid):
            raise InputError(
                f"{path}: its grid ({_words(part.grid)}) differs from that of {paths[0]} ({_words(first.grid)}). "
                f"Bring the bands to one grid first ({_way_to_one_grid(first.grid, part.grid)})"
            )
    every = [s if nodata is None else replace(s, nodata=nodata) for part in parts for s in part.sources]
    labels = [label for part in parts for label in part.labels]
    dtypes = [dtype for part in parts for dtype in part.dtypes]
    is_alpha = [s.index == s.alpha for s in every]
    band_set, named, picked = name_bands(labels, is_alpha, bands, sensor, paths[0])
    if mask is not None and not (own := describe_file(str(mask), assume_crs, local_only=local_only).grid).same_as(
        first.grid
    ):
        raise InputError(
            f"{mask}: its grid ({_words(own)}) differs from that of {paths[0]} ({_words(first.grid)}); "
            f"bring the mask to the scene's grid first (gdalwarp -te -tr -r near)"
        )
    plain = {every[i].file for i in picked if is_alpha[i]}  # their alpha band is a band like the others
    return Scene(
        grid=first.grid,
        bands=band_set,
        named=named,
        sources=tuple(replace(s, alpha=None) if s.file in plain else s for s in (every[i] for i in picked)),
        dtype=_dtype_of_all(dtypes[i] for i in picked),
        block=first.block,
        mask=None if mask is None else str(mask),
    )


def _dtype_of_all(dtypes: Iterable[str]) -> str:
    """Return the type that holds the values of all; float32 for half floats, which few libraries work with."""
    common = np.result_type(*dtypes)
    return "float32" if common == np.float16 else str(common)


def _words(grid: Grid) -> str:
    """Return what a reader needs to tell two grids apart."""
    t = grid.transform
    size = f"{grid.width} x {grid.height} px of {t.a:g} x {t.e:g}"
    return f"{size} from {t.c:.10g}, {t.f:.10g} in {grid.crs.to_string()[:60]}"


def _way_to_one_grid(first: Grid, other: Grid) -> str:
    """Return the command that brings two grids together: pixels of another size on the same ground need no warp."""
    if first.crs == other.crs and np.allclose(first.bounds, other.bounds, rtol=0, atol=abs(first.transform.a) / 100):
        return "gdalbuildvrt -separate -resolution highest -r bilinear bands.vrt FILES, then that VRT with --bands"
    return "gdalwarp -t_srs -te -tr"
