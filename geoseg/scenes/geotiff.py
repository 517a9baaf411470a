"""One raster file of any format that GDAL reads, as part of a scene: its grid, its bands and their names."""

from collections.abc import Callable

import numpy as np
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from geoseg.errors import ConfigError, InputError
from geoseg.scenes.band_names import label_of, overruled
from geoseg.scenes.raster_grid import PIXEL_TAG, raster_grid
from geoseg.scenes.reading import first_line, open_raster
from geoseg.scenes.reads import files_read
from geoseg.scenes.recipe import Described, Given
from geoseg.scenes.scene import BandSource
from geoseg.values.grid import Grid, lonlat, placeless, pyproj_crs, zone_of

GridOf = Callable[[DatasetReader, Given], Grid]
LARGEST = float(np.finfo(np.float32).max)  # pixels are worked with as float32


def own_grid(src: DatasetReader, given: Given) -> Grid:
    """Return the grid that a file's CRS and geotransform give; raises InputError where it has none."""
    path = src.name
    if src.transform.is_identity and src.gcps[0]:
        raise InputError(
            f"{path}: placed by ground control points only; name the CRS to warp it to, e.g. --warp-to "
            f"{_zone_of_points(src)}"
        )
    if src.transform.is_identity and src.rpcs:
        raise InputError(
            f"{path}: placed by RPCs only; name the CRS to warp it to and the ground's height, e.g. --warp-to "
            f"{zone_of(src.rpcs.long_off, src.rpcs.lat_off)} --dem heights.tif (or --height 120), or rectify it first "
            f"(gdalwarp -rpc)"
        )
    if src.crs is None and PIXEL_TAG in src.tags():
        return raster_grid(src)  # a map of an image without a place
    if given.no_crs and not src.gcps[0] and (src.transform.is_identity or src.crs is None):
        return Grid(placeless(given.pixel_m), src.transform, src.shape)
    if given.no_crs:
        raise InputError(f"{path}: has a place, {(src.crs or src.gcps[1]).to_string()[:60]}; leave --no-crs out")
    if src.transform.is_identity:  # what rasterio gives for a missing or empty one
        raise InputError(
            f"{path}: no geotransform, so nobody knows where its pixels lie or how large they are; give it one "
            f"(gdal_edit -a_ullr left top right bottom, or a world file beside it), or take it in pixel coordinates "
            f"(--no-crs)"
        )
    return Grid(usable_crs(src.crs, path, given.assume_crs), src.transform, src.shape)


def recipe(given: Given) -> Described | None:
    """Return what one raster file says of itself."""
    return describe_file(given.paths[0], given, alone=True) if len(given.paths) == 1 else None


def describe_file(path: str, given: Given, grid_of: GridOf = own_grid, *, alone: bool = False) -> Described:
    """Return what a file says of itself; raises InputError with its name.

    grid_of: gives its grid, instead of its own CRS and geotransform; alone: see ``label_of``.
    """
    with open_raster(path, local_only=given.local_only) as src:
        try:
            return _file(src, path, given, grid_of, alone=alone)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: a band's name or a tag in it, or in its .aux.xml, is not UTF-8 ({error.reason}); "
                f"write it anew (gdal_edit, or remove the .aux.xml)"
            ) from error


def _file(src: DatasetReader, path: str, given: Given, grid_of: GridOf, *, alone: bool) -> Described:
    if src.driver == "VRT":
        files_read([path])  # refuses sources that are missing, or that GDAL would wait for without end
    if src.count == 0:
        hint = (
            f"; it holds {len(src.subdatasets)} rasters, name one, e.g. {src.subdatasets[0]}" if src.subdatasets else ""
        )
        raise InputError(f"{path}: no raster bands{hint}")
    if any(np.dtype(_numpy_name(d)).kind == "c" for d in src.dtypes):
        raise InputError(f"{path}: complex pixels ({src.dtypes[0]}); convert to amplitude or intensity first")
    _refuse_scales(src, path)
    grid = grid_of(src, given)
    labels = tuple(label_of(src, i, path, alone=alone) for i in range(src.count))
    # Writers mark the fourth of four bytes as alpha by default, near infrared included: a name says what it is.
    alpha = [i + 1 for i, c in enumerate(src.colorinterp) if c is ColorInterp.alpha and labels[i] is None]
    return Described(
        grid=grid,
        sources=tuple(
            BandSource(path, i + 1, src.scales[i], src.offsets[i], src.nodatavals[i], alpha[0] if alpha else None)
            for i in range(src.count)
        ),
        labels=labels,
        dtypes=src.dtypes,
        block=src.block_shapes[0],
        notes=(f"{path}: takes {', '.join(taken)}, by colour interpretation; if they are not, name them with --bands",)
        if (taken := overruled(src, labels))
        else (),
    )


def usable_crs(crs: CRS | None, path: str, assume_crs: str | None) -> CRS:
    """Return a file's CRS, or the one to assume; raises InputError where there is none, or it is not on Earth."""
    found = crs if crs is not None and crs.to_wkt() else _assumed(path, assume_crs)
    try:
        pyproj_crs(found)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return found


def _zone_of_points(src: DatasetReader) -> str:
    """Return the zone that a file's ground control points lie in."""
    points, crs = src.gcps
    if not crs:
        return "EPSG:32633"
    lon, lat = lonlat(crs, np.array([p.x for p in points]), np.array([p.y for p in points]))
    return zone_of(float(lon[0]), float(lat[0]))


def _refuse_scales(src: DatasetReader, path: str) -> None:
    """Raise InputError where a band's scale or offset would leave no value to work with."""
    for i, (scale, offset) in enumerate(zip(src.scales, src.offsets, strict=True), 1):
        if not (0 < abs(scale) < LARGEST and abs(offset) < LARGEST):
            raise InputError(
                f"{path}: band {i} has the scale {scale:g} and the offset {offset:g}, which give no physical values; "
                f"set them right (gdal_edit -scale 1 -offset 0)"
            )


def _numpy_name(dtype: str) -> str:
    return "complex64" if dtype.startswith("complex_") else dtype


def _assumed(path: str, assume_crs: str | None) -> CRS:
    if assume_crs is None:
        raise InputError(
            f"{path}: no CRS; say which one it is in with --assume-crs EPSG:n, or take it without a place with --no-crs"
        )
    try:
        return CRS.from_user_input(assume_crs)
    except ValueError as error:  # CRSError is one, and EPSG:words raises it plain
        raise ConfigError(f"--assume-crs {assume_crs}: not a CRS ({first_line(error)})") from error
