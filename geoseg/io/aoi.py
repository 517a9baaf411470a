"""Area of interest: polygons that say where outputs are wanted; exact, whatever part of the scene is asked about."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.grid import Box, Grid, pyproj_crs
from geoseg.io.polygons import read_layer

if TYPE_CHECKING:
    import geopandas as gpd

LEAF_PX = 16  # boxes of at most this side are decided pixel by pixel
EDGE_PARTS = 256  # parts that the diagonal of an area falls into when it comes from another CRS


@dataclass(frozen=True, slots=True)
class Area:
    """A polygon in pixel coordinates (col, row) of the scene, as WKB: small to send, the same bytes everywhere."""

    wkb: bytes

    @property
    def digest(self) -> str:
        """Sha256 of the polygon."""
        return hashlib.sha256(self.wkb).hexdigest()

    def wanted(self, box: Box) -> NDArray[np.bool_]:
        """Return which pixels of ``box`` have their centre inside, (h, w).

        Every centre is judged by its coordinates in the scene, so an answer never depends on the box.

        >>> Area(shapely.to_wkb(shapely.box(1, 0, 3, 9))).wanted(Box(0, 0, 2, 4)).astype(int).tolist()
        [[0, 1, 1, 0], [0, 1, 1, 0]]
        """
        polygon = shapely.from_wkb(self.wkb)
        shapely.prepare(polygon)
        out = np.zeros(box.shape, np.bool_)
        _decide(polygon, box, box, out)
        return out


def _decide(polygon: shapely.Geometry, box: Box, whole: Box, out: NDArray[np.bool_]) -> None:
    """Fill ``box`` of ``out`` (which holds ``whole``): at once where it lies in or out, else by halves."""
    tile = shapely.box(box.col0, box.row0, box.col1, box.row1)
    if shapely.disjoint(polygon, tile):
        return
    if shapely.contains_properly(polygon, tile):
        out[box.within(whole)] = True
        return
    height, width = box.shape
    if max(height, width) <= LEAF_PX:
        rows, cols = np.mgrid[box.row0 : box.row1, box.col0 : box.col1] + 0.5
        out[box.within(whole)] = shapely.contains_xy(polygon, cols, rows)
    elif height >= width:
        middle = box.row0 + height // 2
        _decide(polygon, Box(box.row0, box.col0, middle, box.col1), whole, out)
        _decide(polygon, Box(middle, box.col0, box.row1, box.col1), whole, out)
    else:
        middle = box.col0 + width // 2
        _decide(polygon, Box(box.row0, box.col0, box.row1, middle), whole, out)
        _decide(polygon, Box(box.row0, middle, box.row1, box.col1), whole, out)


def read_area(source: str, grid: Grid) -> Area:
    """Read the polygons of ``FILE``, ``FILE|layername=NAME`` or ``FILE:NAME`` as the area of interest on ``grid``.

    Raises InputError where there is no such file or layer, it has no CRS or no polygon, or none meets the scene.
    """
    shapes = _in_crs(_polygons(source), grid)
    back = ~grid.transform
    linear, offset = np.array([[back.a, back.d], [back.b, back.e]]), (back.c, back.f)
    polygon = shapely.union_all(shapely.make_valid(shapely.transform(shapes, lambda xy: xy @ linear + offset)))
    if not shapely.intersects(polygon, shapely.box(0, 0, grid.width, grid.height)):
        raise InputError(f"{source}: no polygon of the area of interest meets the scene; check the file and its CRS")
    return Area(shapely.to_wkb(shapely.normalize(polygon)))


def _polygons(source: str) -> "gpd.GeoDataFrame":
    frame = read_layer(source, columns=[])
    if len(frame) == 0:
        raise InputError(f"{source}: holds no polygons; an area of interest is one or more of them")
    return frame


def _in_crs(frame: "gpd.GeoDataFrame", grid: Grid) -> NDArray[np.object_]:
    """Return the polygons in the CRS of ``grid``; edges get points in between, since a straight line may bend."""
    from pyproj import Transformer

    shapes = shapely.make_valid(shapely.force_2d(np.asarray(frame.geometry.array, object)))
    crs = pyproj_crs(grid.crs)
    if frame.crs == crs:
        return shapes
    left, bottom, right, top = shapely.total_bounds(shapes)
    move = Transformer.from_crs(frame.crs, crs, always_xy=True)
    return shapely.transform(
        shapely.segmentize(shapes, np.hypot(right - left, top - bottom) / EDGE_PARTS),
        lambda xy: np.stack(move.transform(xy[:, 0], xy[:, 1]), 1),
    )
