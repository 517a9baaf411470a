"""open_scene: the recipe that knows an input describes it, and what the user says of it replaces that."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from geoseg.errors import ConfigError, InputError
from geoseg.scenes import dates, geotiff, mosaic, stack, warped
from geoseg.scenes.band_names import name_bands
from geoseg.scenes.dates import of_each_date
from geoseg.scenes.geotiff import describe_file
from geoseg.scenes.placement import Heights
from geoseg.scenes.products import kinds as products
from geoseg.scenes.recipe import Described, Given, Recipe
from geoseg.scenes.scene import Scene, Tiles, of_date
from geoseg.scenes.stack import in_words
from geoseg.values.bands import BandSet
from geoseg.values.grid import Grid
from geoseg.values.resampling import Overlap, Rule

RECIPES: tuple[Recipe, ...] = (  # the first that knows the input makes the scene
    products.recipe,
    mosaic.recipe,
    warped.recipe,
    stack.recipe,
    geotiff.recipe,
)


def open_scene(
    source: str | Path | Sequence[str | Path],
    *,
    bands: str | None = None,
    sensor: str | None = None,
    nodata: float | None = None,
    scale: float | None = None,
    offset: float | None = None,
    mask: str | Path | None = None,
    assume_crs: str | None = None,
    resampling: Rule | None = None,
    warp_to: str | None = None,
    height: float | None = None,
    dem: str | Path | None = None,
    mask_quality: bool = False,
    no_crs: bool = False,
    pixel_m: float | None = None,
    overlap: Overlap = "first",
    local_only: bool = False,
) -> Scene:
    """Open a GeoTIFF, COG, VRT or any raster GDAL reads, several single-band files of one place, or many tiles, as one.

    Files named DATE=FILE are dates of one place, see ``geoseg.scenes.dates``.
    Tiles are a folder, a pattern ("tiles/*.tif"), a tile index or STAC items; see ``geoseg.scenes.mosaic``.
    bands: the bands' names in file order ("B02,B03,…"), or 1-based numbers to pick ("3,2,1"); a band marked as alpha
    is one of them when it is named or picked, else it masks. sensor: a key of ``geoseg.values.sensors.SENSORS`` that
    gives the bands wavelengths; nodata: overrides the tag; scale, offset: override the tags,
    physical value = stored value x scale + offset; mask: a raster on the scene's grid, pixels where its first
    band is 0, nodata or NaN are invalid; assume_crs: for files without one; resampling: "nearest", "bilinear" or
    "average", by which files of other pixel sizes become bands on the grid of the first one;
    warp_to: a CRS, such as "EPSG:32633", that a scene placed by ground control points, or in another CRS, is warped to;
    height, dem: the ground's height in metres, or a raster of heights, for scenes placed by RPCs;
    mask_quality: whether a product's own quality band masks clouds, shadows and defects: SCL, QA_PIXEL, UDM2;
    no_crs: images without any place are taken in pixel coordinates, x to the right and y down; pixel_m: the side of
    their pixels, None for that of the model's training;
    overlap: which tile of a mosaic gives a pixel that several know;
    local_only: names and formats that make GDAL read further files or URLs (VRT, WMS, …) are refused.
    Raises InputError (not there, not a raster, no CRS, complex pixels, grids that differ) and ConfigError.

    >>> from importlib.resources import files
    >>> scene = open_scene(str(files("geoseg") / "demo" / "scene.tif"))
    >>> scene.grid.shape, scene.bands.names
    ((1536, 768), ('red', 'green', 'blue'))
    """
    paths = tuple(str(p) for p in ([source] if isinstance(source, str | Path) else source))
    if not paths:
        raise ConfigError("no scene given")
    if no_crs and warp_to is not None:
        raise ConfigError("--no-crs and --warp-to: what has no place cannot be warped to one")
    heights = _heights(height, dem)
    given = Given(paths, assume_crs, resampling, warp_to, heights, mask_quality, no_crs, pixel_m, overlap, local_only)
    found = dates.recipe(given, _described) or _described(given)
    if mask_quality and found.quality is None and not any(tile.quality for tile, _ in found.tiles):
        raise InputError(f"{paths[0]}: no quality band of it is known; leave --mask-quality out, or pass --mask FILE")
    if bands is not None and found.dates > 1:
        bands = of_each_date(bands, found)
    given_values = {"nodata": nodata, "scale": scale, "offset": offset}
    told: dict[str, Any] = {name: value for name, value in given_values.items() if value is not None}
    is_alpha = [s.index == s.alpha for s in found.sources]
    names = name_bands(list(found.labels), is_alpha, bands, sensor or found.sensor, paths[0])
    if mask is not None:
        _refuse_other_grid(str(mask), given, found.grid)
    scene = _scene(found, names, told)
    return replace(scene, mask=None if mask is None else str(mask), tiles=_tiles(found, names, told))


def _described(given: Given) -> Described:
    return next(known for recipe in RECIPES if (known := recipe(given)) is not None)


def _scene(found: Described, names: tuple[BandSet, bool, tuple[int, ...]], told: dict[str, Any]) -> Scene:
    """Return the scene of some bands of what is described; told: what its user says of all bands."""
    bands, named, picked = names
    every = [replace(s, **told) for s in found.sources]
    plain = {every[i].file for i in picked if every[i].index == every[i].alpha}  # their alpha band is one like others
    return Scene(
        grid=found.grid,
        bands=bands,
        named=named,
        sources=tuple(replace(s, alpha=None) if s.file in plain else s for s in (every[i] for i in picked)),
        dtype=_dtype_of_all(found.dtypes[i] for i in picked),
        block=found.block,
        quality=found.quality,
        notes=found.notes,
    )


def _tiles(found: Described, names: tuple[BandSet, bool, tuple[int, ...]], told: dict[str, Any]) -> Tiles | None:
    """Return what a scene is put together from, each with the bands of its date; None for one that is not."""
    if not found.tiles:
        return None
    bands, named, picked = names
    dates = [s.date for s in found.sources]
    own = {date: of_date(date, dates, bands, picked) for date in {dates[i] for i in picked}}
    laid = [(part, box, *own[date]) for part, box in found.tiles if (date := part.sources[0].date) in own]
    scenes = tuple(_scene(part, (those, named, which), told) for part, _, those, which in laid)
    return Tiles(scenes, tuple(box for _, box, *_ in laid), found.lone, found.physical and not told)


def _heights(height: float | None, dem: str | Path | None) -> Heights | None:
    if height is not None and dem is not None:
        raise ConfigError("--height and --dem: give one of them")
    if dem is None:
        return None if height is None else Heights(height)
    describe_file(str(dem), Given((str(dem),)))  # has a place
    return Heights(dem=str(dem))


def _dtype_of_all(dtypes: Iterable[str]) -> str:
    """Return the type that holds the values of all; float32 for half floats, which few libraries work with."""
    common = np.result_type(*dtypes)
    return "float32" if common == np.float16 else str(common)


def _refuse_other_grid(mask: str, given: Given, grid: Grid) -> None:
    own = describe_file(mask, given).grid
    if not own.same_as(grid):
        raise InputError(
            f"{mask}: its grid ({in_words(own)}) differs from that of {given.paths[0]} ({in_words(grid)}); "
            f"bring the mask to the scene's grid first (gdalwarp -te -tr -r near)"
        )
