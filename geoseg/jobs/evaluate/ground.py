"""The judged ground: one grid, a window of it, and which of its pixels count."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from geoseg.errors import InputError
from geoseg.jobs.evaluate.sides import BACKGROUND, BUILDING, Layer, Prediction, Truth
from geoseg.outputs.class_raster import ClassRaster
from geoseg.scenes.labelled import burn
from geoseg.scenes.stack import in_words
from geoseg.values.box import Box
from geoseg.values.grid import Grid

PIXELS_PER_TOLERANCE = 4  # of the grid on which polygons are judged against polygons
MAX_PIXELS = 1_000_000_000  # all of them are in memory, at some 8 bytes each


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """The pixels that are judged: a part of the prediction's or the truth's grid, and which of its pixels count."""

    whole: Grid
    window: Box
    mask: NDArray[np.bool_]

    @property
    def grid(self) -> Grid:
        """The grid of the window."""
        return self.whole.crop(self.window)

    @classmethod
    def of(cls, found: Prediction, truth: Truth, *, aoi: str | Path | None, tolerance_m: float) -> "Ground":
        """Return the ground that both share, within ``aoi`` where there is one; raises InputError."""
        raster = found.raster or truth.raster
        if raster is not None:
            whole = raster.grid
        else:
            assert found.polygons is not None
            assert truth.polygons is not None
            whole = _metric_grid(found.polygons, truth.polygons, tolerance_m / PIXELS_PER_TOLERANCE)
        area = None if aoi is None else shapely.union_all(_valid(Layer(str(aoi)).read(whole)))
        if area is not None and area.is_empty:
            raise InputError(f"{aoi}: holds no polygon, so there is no ground to judge")
        window = whole.box if area is None else _box_of(area, whole)
        if window.shape[0] * window.shape[1] > MAX_PIXELS:
            pixels = window.shape[0] * window.shape[1] / 1e6
            raise InputError(f"{truth.path}: {pixels:.0f} million pixels to judge at once; name a smaller --aoi")
        grid = whole.crop(window)
        for own in (found.raster, truth.raster):
            if own is not None and (window.clip(own.grid.box) != window or not own.grid.crop(window).same_as(grid)):
                raise InputError(
                    f"{own.path}: its grid differs from that of the prediction ({in_words(own.grid)}, and "
                    f"{in_words(whole)}); bring both to one grid (gdalwarp -te -tr)"
                )
        inside = np.ones(window.shape, np.bool_) if area is None else burn([area], [1], grid) == 1
        return cls(whole, window, inside)

    def read(self, raster: ClassRaster, ids: Mapping[int, int]) -> NDArray[np.uint8]:
        """Read the classes of a raster on this ground, 0 where it says nothing; ids: class by value."""
        return raster.read(self.window, ids)

    def polygons(self, layer: Layer) -> gpd.GeoDataFrame:
        """Read polygons; raises InputError where all of them lie beside the whole ground."""
        frame = layer.read(self.whole)
        if len(frame) and not frame.intersects(_outline(self.whole)).any():
            raise InputError(
                f"{layer.source}: none of its {len(frame)} polygons lies on the judged ground; "
                f"is it the right file, in the right CRS?"
            )
        return frame

    def count_on(self, known: NDArray[np.bool_], frame: gpd.GeoDataFrame) -> int:
        """Return how many polygons have a point of theirs on pixels that are known, (H, W)."""
        points = shapely.get_coordinates(shapely.point_on_surface(_valid(frame)))
        col, row = np.floor(~self.grid.transform @ points.T).astype(np.int64)
        height, width = known.shape
        inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
        return int(known[row[inside], col[inside]].sum())

    def buildings(self, layer: Layer) -> NDArray[np.uint8]:
        """Return where polygons are buildings, and the rest background."""
        burnt = burn(frame := self.polygons(layer).geometry, [1] * len(frame), self.grid)
        return np.where(burnt == 1, BUILDING, BACKGROUND).astype(np.uint8)


def _outline(grid: Grid) -> shapely.Polygon:
    height, width = grid.shape
    return shapely.Polygon([grid.transform @ corner for corner in ((0, 0), (width, 0), (width, height), (0, height))])


def _valid(frame: gpd.GeoDataFrame) -> NDArray[np.object_]:
    return np.asarray(shapely.make_valid(frame.geometry.values))


def _metric_grid(prediction: Layer, truth: Layer, pixel_m: float) -> Grid:
    """Return a grid in metres around the polygons of both; where there are true ones decides the UTM zone."""
    lon_lat = Grid(CRS.from_epsg(4326), Affine.identity(), (1, 1))
    known = truth.read(lon_lat)
    if known.empty:
        raise InputError(f"{truth.source}: no polygons; truth without a building needs a class raster to be judged on")
    crs = CRS.from_user_input(known.estimate_utm_crs())
    answers = prediction.read(lon_lat)
    boxes = [shapely.box(*frame.total_bounds) for frame in (known, answers) if not frame.empty]
    if not boxes[0].intersects(boxes[-1]):
        raise InputError(f"{truth.source}: its polygons share no ground with those of {prediction.source}")
    bounds = np.array([frame.to_crs(crs.to_wkt()).total_bounds for frame in (known, answers) if not frame.empty])
    (left, bottom), (right, top) = bounds[:, :2].min(0), bounds[:, 2:].max(0)
    shape = ceil((top - bottom) / pixel_m) + 1, ceil((right - left) / pixel_m) + 1
    return Grid(crs, Affine(pixel_m, 0, left, 0, -pixel_m, top), shape)


def _box_of(area: shapely.Geometry, grid: Grid) -> Box:
    """Return the pixels around ``area``, inside the grid; raises InputError where there are none."""
    xy = shapely.get_coordinates(area)
    cols, rows = ~grid.transform @ (xy[:, 0], xy[:, 1])
    box = Box(int(rows.min()), int(cols.min()), ceil(rows.max()) + 1, ceil(cols.max()) + 1).clip(grid.box)
    if box is None:
        raise InputError("the aoi lies beside the prediction")
    return box
