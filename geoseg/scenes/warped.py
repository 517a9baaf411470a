"""Warped: files placed by ground control points or RPCs, turned, or in another CRS, on a grid in a stated CRS."""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import hypot
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.io import DatasetReader

from geoseg.errors import ConfigError, InputError
from geoseg.scenes.geotiff import describe_file, own_grid, usable_crs
from geoseg.scenes.placement import ByPoints, ByRational, ByTransform, Flags, Placement, Places, applied, span, taken
from geoseg.scenes.reading import first_line, open_raster
from geoseg.scenes.recipe import Described, Given
from geoseg.scenes.scene import Fetch
from geoseg.scenes.stack import joined
from geoseg.values.box import Box
from geoseg.values.grid import Grid, lonlat, pyproj_crs
from geoseg.values.resampling import Rule

PROBES = 21  # places along each axis of a file that tell where it lies in the stated CRS, as many as GDAL takes
MOST_TIMES = 16  # as many pixels may a scene have as its file, and the file under a box as the box


@dataclass(frozen=True, slots=True)
class Warped:
    """Where a scene's pixels lie in a file of another CRS, and what they take of its pixels."""

    transform: Affine  # of the scene
    operation: str  # PROJ's, from the scene's CRS to the file's
    file: Placement
    rule: Rule  # nearest or bilinear

    @property
    def files(self) -> tuple[str, ...]:
        """See ``Placing``."""
        return self.file.way.files

    def bring(self, box: Box, fetch: Fetch) -> tuple[NDArray[np.float64], Flags]:
        """See ``Placing``."""
        rows, cols = self._places(box)
        height, width = self.file.shape
        inside = (rows >= 0) & (rows <= height) & (cols >= 0) & (cols <= width)
        rows, cols = np.where(inside, rows, 0), np.where(inside, cols, 0)
        (r0, r1), (c0, c1) = span(rows[inside], height), span(cols[inside], width)
        if (r1 - r0) * (c1 - c0) > MOST_TIMES * max(inside.size, MOST_TIMES) and max(box.shape) > 1:
            return self._in_parts(box, fetch)  # a pole, or the ends of a file that reaches around the Earth
        part = Box(r0, c0, r1, c1)
        values, some = taken(fetch(part), part, (rows, cols), self.file.shape, self.rule)
        return np.where(inside, values, 0), some & inside

    def _in_parts(self, box: Box, fetch: Fetch) -> tuple[NDArray[np.float64], Flags]:
        parts = [(part.within(box), *self.bring(part, fetch)) for part in box.blocks(-(-max(box.shape) // 2))]
        shape = (len(parts[0][1]), *box.shape)
        values, some = np.zeros(shape), np.zeros(shape, np.bool_)
        for (rows, cols), part_values, part_some in parts:
            values[:, rows, cols], some[:, rows, cols] = part_values, part_some
        return values, some

    def _places(self, box: Box) -> tuple[Places, Places]:
        """Return rows and cols in the file of the centres of a box's pixels."""
        rows, cols = np.mgrid[box.row0 : box.row1, box.col0 : box.col1] + 0.5
        x, y = _operation(self.operation).transform(*applied(self.transform, cols, rows))
        return self.file.to_pixels(np.asarray(x), np.asarray(y))


def recipe(given: Given) -> Described | None:
    """Return files on a grid in the CRS that ``--warp-to`` names: that of the first if it lies in it, north up."""
    if given.warp_to is None:
        return None
    places = [_placement(path, given) for path in given.paths]
    grid = north_up(given.paths[0], places[0], stated_crs(given.warp_to))
    return joined([_onto(grid, path, place, given) for path, place in zip(given.paths, places, strict=True)])


def stated_crs(text: str) -> CRS:
    """Return the CRS that --warp-to names; raises ConfigError."""
    try:
        return CRS.from_user_input(text)
    except ValueError as error:
        raise ConfigError(f"--warp-to {text}: not a CRS ({first_line(error)})") from error


def of_grid(grid: Grid) -> Placement:
    """Return where the pixels of a grid lie."""
    return Placement(grid.crs, grid.shape, ByTransform(grid.transform, 360 if grid.crs.is_geographic else None))


def bounds_in(path: str, place: Placement, grid: Grid) -> tuple[float, float, float, float]:
    """Return the least row and column and the largest of a grid, as far as it may reach, over which a file lies."""
    cols, rows = applied(~grid.transform, *_probes(path, place, grid.crs))
    return float(rows.min()), float(cols.min()), float(rows.max()), float(cols.max())


def warped_onto(path: str, place: Placement, grid: Grid, rule: Rule) -> tuple[Warped, bool]:
    """Return how a file's pixels become those of a grid, and whether there is no better way."""
    if rule == "average":
        raise ConfigError("--resampling average is for files of other pixel sizes in one CRS; take nearest or bilinear")
    operation, best = _operation_between(path, grid.crs, place)
    return Warped(grid.transform, operation, place, rule), best


def _onto(grid: Grid, path: str, place: Placement, given: Given) -> Described:
    """Return a file's bands on ``grid``, with a note where they are warped."""

    def stated(_src: DatasetReader, _given: Given) -> Grid:
        return grid

    part = describe_file(path, given, stated)
    if place.transform is not None and Grid(place.crs, place.transform, place.shape).same_as(grid):
        return part
    rule = given.resampling or "bilinear"
    placing, best = warped_onto(path, place, grid, rule)
    found = place.crs.to_string()[:60] if place.transform is not None else str(place.way)
    note = f"{path}: warped from {found} to {given.warp_to} ({rule})"
    note += "" if best else "; a better transformation exists, but its grid is not installed (projsync)"
    sources = tuple(replace(s, placing=placing) for s in part.sources)
    return replace(part, sources=sources, own=(place,) * len(sources), notes=(*part.notes, note))


def _placement(path: str, given: Given) -> Placement:
    """Return where a file's pixels lie; raises InputError where nothing says it."""
    with open_raster(path, local_only=given.local_only) as src:
        points, crs = src.gcps
        if src.transform.is_identity and points:
            crs = usable_crs(crs, path, given.assume_crs)
            return Placement(crs, src.shape, _by_points(path, tuple((p.row, p.col, p.x, p.y) for p in points)))
        if src.transform.is_identity and src.rpcs and given.heights is not None:
            return Placement(CRS.from_epsg(4326), src.shape, ByRational.of(src.rpcs, given.heights))
        return of_grid(own_grid(src, given))


def _by_points(path: str, points: tuple[tuple[float, float, float, float], ...]) -> ByPoints:
    way = ByPoints(points)
    try:
        way.to_crs(np.zeros(1), np.zeros(1))
    except Exception as error:  # rasterio raises GDAL's errors by names of its own
        raise InputError(
            f"{path}: its {len(points)} ground control points lead to no grid ({first_line(error)}); it needs three "
            f"that do not lie on a line"
        ) from error
    return way


def north_up(path: str, place: Placement, crs: CRS) -> Grid:
    """Return the file's own grid if it is north up in ``crs``, else one around it, of square pixels of its diagonal."""
    if place.transform is not None and place.crs == crs and place.transform.b == place.transform.d == 0:
        return Grid(crs, place.transform, place.shape)
    (height, width), (x, y) = place.shape, _probes(path, place, crs)
    size = hypot(x[-1, -1] - x[0, 0], y[-1, -1] - y[0, 0]) / hypot(height, width)
    shape = (round(np.ptp(y) / size) or 1, round(np.ptp(x) / size) or 1)
    if shape[0] * shape[1] > MOST_TIMES * height * width:
        raise InputError(
            f"{path}: its {height} x {width} px would be {shape[0]} x {shape[1]} in {crs.to_string()[:60]}; name a CRS "
            f"made for its region"
        )
    return Grid(crs, Affine(size, 0, float(x.min()), 0, -size, float(y.max())), shape)


def _probes(path: str, place: Placement, crs: CRS) -> tuple[Places, Places]:
    """Return x and y in a CRS of places all over a file; raises InputError where some have none."""
    height, width = place.shape
    rows, cols = np.meshgrid(np.linspace(0, height, PROBES), np.linspace(0, width, PROBES), indexing="ij")
    x, y = _operation(_operation_between(path, crs, place)[0]).transform(
        *place.way.to_crs(rows, cols), direction="INVERSE"
    )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError(f"{path}: parts of it have no place in {crs.to_string()[:60]}; name a CRS made for its region")
    return np.asarray(x), np.asarray(y)


def _operation_between(path: str, crs: CRS, place: Placement) -> tuple[str, bool]:
    """Return PROJ's operation from ``crs`` to that of a file, and whether there is no better one; one for all pixels.

    Raises InputError where there is none.
    """
    from pyproj.aoi import AreaOfInterest
    from pyproj.transformer import TransformerGroup

    height, width = place.shape
    ends = np.array([[0.0, 0, height, height], [0.0, width, 0, width]])
    lon, lat = lonlat(place.crs, *place.way.to_crs(*ends))
    on_earth = np.isfinite(lon).all() and np.isfinite(lat).all() and np.abs(lon).max() <= 180
    area = AreaOfInterest(lon.min(), lat.min(), lon.max(), lat.max()) if on_earth else None
    group = TransformerGroup(pyproj_crs(crs), pyproj_crs(place.crs), always_xy=True, area_of_interest=area)  # type: ignore[arg-type]  # its stub names another class
    if not group.transformers:
        raise InputError(f"{path}: nothing leads from its CRS to {crs.to_string()[:60]}; give it its true one")
    return group.transformers[0].definition, group.best_available


@lru_cache(maxsize=8)
def _operation(definition: str) -> Any:  # pyproj's Transformer, imported late
    from pyproj import Transformer

    return Transformer.from_pipeline(definition)
