"""Polygons of a vector file: which layer, which shapes, in which CRS. Areas of interest, labels and truth share it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.disk.files import refuse_special
from geoseg.errors import InputError
from geoseg.values.grid import Grid

if TYPE_CHECKING:
    import geopandas as gpd

LAYER_KEY = "|layername="  # as QGIS writes it
CURVED = "holds curves; make straight polygons of them (ogr2ogr -nlt CONVERT_TO_LINEAR)"
PARQUET = (".parquet", ".geoparquet")
AREAL = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


def is_geoparquet(path: str | Path) -> bool:
    """Return whether a file is called what a GeoParquet file is called; OGR here does not know the format."""
    return Path(path).suffix.lower() in PARQUET


def split_layer(source: str | Path) -> tuple[Path, str | None]:
    """Return the file and the layer of ``FILE``, ``FILE|layername=NAME`` or ``FILE:NAME``.

    >>> split_layer("town.gpkg|layername=blocks")
    (PosixPath('town.gpkg'), 'blocks')
    """
    text = str(source)
    if Path(text).exists():
        return Path(text), None
    if LAYER_KEY in text:
        path, _, rest = text.partition(LAYER_KEY)
        return Path(path), rest.partition("|")[0]
    path, colon, layer = text.rpartition(":")
    return (Path(path), layer) if colon and Path(path).exists() else (Path(text), None)


def read_layer(
    source: str | Path,
    *,
    layer: str | None = None,
    near: Grid | None = None,
    areal: bool = True,
    crs: str | None = None,
    bare: bool = False,
) -> "gpd.GeoDataFrame":
    """Read the polygons of a layer with all columns, as they are in the file.

    source: see ``split_layer``; layer: the layer's name, where ``source`` names none; without either it is the only one
    that has geometries; near: those alone that may lie on this grid; areal: collections of polygons become
    multipolygons, and points and lines are refused; crs: of files that have none; bare: features without a geometry
    stay, which else are left out. Raises InputError where the file cannot be read, the layer has to be named, it has no
    CRS, or it holds what is refused.
    """
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError
    from shapely.errors import GEOSException

    path, named = split_layer(source)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    refuse_special(path)
    try:
        frame = _read_parquet(path) if is_geoparquet(path) else _read_ogr(path, layer or named, near)
    except (DataSourceError, DataLayerError, FeatureError, GEOSException, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a vector file that can be read ({str(error).splitlines()[0]})") from error
    except NotImplementedError as error:  # shapely's word for curves
        raise InputError(f"{path}: {CURVED}") from error
    if frame.crs is None and crs is not None:
        frame = frame.set_crs(crs)
    if frame.crs is None:
        raise InputError(f"{source}: has no CRS; set it with ogr2ogr -a_srs")
    if not bare:
        frame = frame[~frame.geometry.isna() & ~frame.geometry.is_empty]
    geometries = np.asarray(frame.geometry.array, object)
    return frame.set_geometry(polygonal(geometries, source) if areal else geometries, crs=frame.crs)


def _read_ogr(path: Path, layer: str | None, near: Grid | None) -> "gpd.GeoDataFrame":
    import geopandas as gpd
    import pyogrio

    name = layer_name(path, layer)
    bounds = None if near is None else _bounds_in(near, pyogrio.read_info(path, layer=name)["crs"])
    return gpd.read_file(path, layer=name, bbox=bounds)


def _read_parquet(path: Path) -> "gpd.GeoDataFrame":
    import geopandas as gpd
    import pyarrow as pa

    try:
        return gpd.read_parquet(path)
    except (ValueError, OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: no GeoParquet that can be read ({str(error).splitlines()[0]})") from error


def _bounds_in(grid: Grid, crs: str | None) -> tuple[float, float, float, float] | None:
    """Return the bounds of a grid in another CRS, a pixel wider; None where they have no place there."""
    from rasterio.errors import RasterioError
    from rasterio.warp import transform_bounds

    if crs is None:
        return None
    try:
        found = transform_bounds(grid.crs, crs, *grid.crop(grid.box.grown(1)).bounds, densify_pts=21)
    except (RasterioError, ValueError):
        return None
    left, bottom, right, top = found
    return found if np.isfinite(found).all() and left <= right and bottom <= top else None


def layer_name(path: Path, wanted: str | None) -> str:
    """Return the layer that is wanted, or the only one with geometries; a GeoPackage may hold tables beside it.

    Raises InputError where it has to be named, and what pyogrio does where the file cannot be read.
    """
    import pyogrio

    names = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    if wanted in names:
        return str(wanted)
    if not names:
        raise InputError(f"{path}: tables without geometries; polygons are needed")
    example = f"{path}{LAYER_KEY}{names[0]}"
    if wanted is not None:
        raise InputError(f"{path}: no layer {wanted!r}; there are {', '.join(names)}; name one as {example}")
    if len(names) > 1:
        raise InputError(f"{path}: holds {len(names)} layers ({', '.join(names)}); name one as {example}")
    return names[0]


def polygonal(geometries: NDArray[np.object_], source: str | Path) -> NDArray[np.object_]:
    """Return polygons, multipolygons and None as they are, and collections of polygons as multipolygons.

    Raises InputError for everything else.
    """
    out = geometries.copy()
    others: Counter[str] = Counter()
    for i in np.flatnonzero(~np.isin(shapely.get_type_id(geometries), (-1, *AREAL))):  # -1: None
        parts = list(_parts(geometries[i]))
        others.update(part.geom_type for part in parts if part.geom_type != "Polygon")
        out[i] = shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon"])
    if others:
        found = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
        raise InputError(
            f"{source}: {found} found; only polygons count here, keep them alone "
            f"(ogr2ogr -explodecollections -where \"OGR_GEOMETRY='POLYGON'\")"
        )
    return out


def _parts(geometry: shapely.Geometry) -> Iterator[shapely.Geometry]:
    """Yield the simple geometries of a collection of any depth, without the empty ones."""
    for part in shapely.get_parts(geometry):
        if part.geom_type.startswith(("Multi", "GeometryCollection")):
            yield from _parts(part)
        elif not part.is_empty:
            yield part


def read_polygons(
    source: str | Path, *, layer: str | None, grid: Grid, near: bool = False, areal: bool = True
) -> "gpd.GeoDataFrame":
    """Read the polygons of a layer with all columns in the CRS of ``grid``; see ``read_layer``.

    near: those alone that may lie on the grid.
    Raises InputError where there are none to read, or they have no place in that CRS.
    """
    from pyproj.exceptions import ProjError

    own = None if grid.has_place else grid.crs.to_wkt()  # files without a CRS are taken in pixel coordinates
    frame = read_layer(source, layer=layer, near=grid if near else None, areal=areal, crs=own)
    if own is not None and frame.crs != own:
        raise InputError(
            f"{source}: lies in {frame.crs.name!r}, and the image has no place; give polygons in pixel coordinates, "
            f"without a CRS"
        )
    try:
        frame = frame.to_crs(grid.crs.to_wkt())
    except ProjError as error:
        raise InputError(
            f"{source}: its CRS {frame.crs.name!r} leads to no {grid.crs.to_string()[:60]} ({error}); "
            f"give it its true one (ogr2ogr -a_srs)"
        ) from error
    if len(frame) and not np.isfinite(frame.total_bounds).all():
        raise InputError(
            f"{source}: polygons that have no place in the scene's CRS {grid.crs.to_string()}; clip them first"
        )
    return frame
