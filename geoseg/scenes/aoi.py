"""Area of interest: polygons that say where outputs are wanted; exact, whatever part of the scene is asked about."""

import hashlib
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.scenes.polygons import read_layer
from geoseg.values.box import Box
from geoseg.values.grid import Grid, pyproj_crs

if TYPE_CHECKING:
    import geopandas as gpd
    from pyproj import Transformer

LEAF_PX = 16  # boxes of at most this side are decided pixel by pixel
EDGE_PARTS = 256  # parts that the diagonal of an area falls into when it comes from another CRS
LOOKS = 33  # places along each axis of a scene that tell where it lies in another CRS
MARGINS = (1.0, 0.02)  # of the scene's size: what is kept around it, and what at least
XY = np.array([True, False])  # longitudes alone
Bounds = tuple[float, float, float, float]  # left, bottom, right, top


@dataclass(frozen=True, slots=True)
class Area:
    """A polygon in pixel coordinates (col, row) of the scene, as WKB: small to send, the same bytes everywhere."""

    wkb: bytes

    @property
    def digest(self) -> str:
        """Sha256 of the polygon."""
        return hashlib.sha256(self.wkb).hexdigest()

    @property
    def px(self) -> int:
        """How many pixels it covers, beyond the scene too."""
        return ceil(shapely.area(shapely.from_wkb(self.wkb)))

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
    shapes = _in_crs(_polygons(source), grid, source)
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
    if not np.isfinite(shapely.get_coordinates(frame.geometry.array)).all():
        raise InputError(f"{source}: holds coordinates that are not finite; repair it first (ogr2ogr -makevalid)")
    return frame


def _in_crs(frame: "gpd.GeoDataFrame", grid: Grid, source: str) -> NDArray[np.object_]:
    """Return the polygons near the scene in the CRS of ``grid``; raises InputError where they have no place there.

    Edges get points in between, since a straight line may bend; what lies far from the scene is cut away first, since
    much of the Earth has no place in most projections.
    """
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    shapes = shapely.make_valid(shapely.force_2d(np.asarray(frame.geometry.array, object)))
    crs = pyproj_crs(grid.crs)
    try:
        there = Transformer.from_crs(frame.crs, crs, always_xy=True)
        back = Transformer.from_crs(crs, frame.crs, always_xy=True)
    except ProjError as error:
        raise InputError(f"{source}: its CRS {frame.crs.name!r} leads to no {crs.name!r} ({error})") from error
    turn = 2 * np.pi / frame.crs.axis_info[0].unit_conversion_factor if frame.crs.is_geographic else None
    around = _surroundings(grid, back, turn)
    if around is None:
        raise InputError(f"{source}: the scene has no place in its CRS {frame.crs.name!r}; give it its true one")
    if turn is not None:
        shapes = _around_the_earth(shapes, around, turn, source)
    if frame.crs == crs:
        return shapes
    for margin in MARGINS:
        placed = _placed(shapes, _grown(around, margin), there)
        if np.isfinite(shapely.get_coordinates(placed)).all():
            return placed
    raise InputError(f"{source}: its polygons have no place in the scene's CRS {crs.name!r}; clip them to the scene")


def _surroundings(grid: Grid, back: "Transformer", turn: float | None) -> Bounds | None:
    """Return the bounds of the scene in the CRS that ``back`` leads to, None where it has no place there.

    turn: what leads once around the Earth there; bounds then may reach beyond +-180 degrees instead of around it.
    """
    rows, cols = np.meshgrid(np.linspace(0, grid.height, LOOKS), np.linspace(0, grid.width, LOOKS), indexing="ij")
    t = grid.transform
    x, y = back.transform(t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f)
    x, y = x.ravel(), y.ravel()
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return None
    x, y = x[known], y[known]
    if turn is not None:
        middle = x[len(x) // 2]
        x = middle + (x - middle + turn / 2) % turn - turn / 2
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _around_the_earth(shapes: NDArray[np.object_], around: Bounds, turn: float, source: str) -> NDArray[np.object_]:
    """Return shapes in longitudes, and once more as many turns to either side as let them meet the scene.

    Raises InputError where it is open which way around the Earth an edge near the scene goes.
    """
    scene = shapely.box(*around)
    for shape in shapes[[_spans_half(shape, turn) for shape in shapes]]:
        other = shapely.make_valid(shapely.transform(shape, lambda xy: np.where(XY & (xy < 0), xy + turn, xy)))
        if any(shapely.intersects(_shifted(other, by), scene) for by in (-turn, 0.0)):
            raise InputError(
                f"{source}: an edge leads more than halfway around the Earth past the scene; cut the polygon at the "
                f"antimeridian (ogr2ogr -wrapdateline), or let its longitudes run beyond 180"
            )
    moved = [_shifted(shapes, n * turn) for n in (-2, -1, 1, 2)]
    return np.concatenate([shapes, *(m[shapely.intersects(m, scene)] for m in moved)])


def _spans_half(shape: shapely.Geometry, turn: float) -> bool:
    """Whether an edge leads over more than half of the longitudes, but not over all of them."""
    steps = [np.abs(np.diff(shapely.get_coordinates(ring)[:, 0])) for ring in shapely.get_rings(shape)]
    return any(((step > turn / 2) & (step < turn)).any() for step in steps)


def _shifted[T: (shapely.Geometry, NDArray[np.object_])](shapes: T, by: float) -> T:
    return shapely.transform(shapes, lambda xy: xy + XY * by)


def _grown(bounds: Bounds, margin: float) -> shapely.Geometry:
    left, bottom, right, top = bounds
    width, height = margin * (right - left), margin * (top - bottom)
    return shapely.box(left - width, bottom - height, right + width, top + height)


def _placed(shapes: NDArray[np.object_], near: shapely.Geometry, there: "Transformer") -> NDArray[np.object_]:
    """Return what of the shapes lies ``near``, moved ``there``."""
    kept = np.where(shapely.within(shapes, near), shapes, shapely.intersection(shapes, near))
    kept = kept[~shapely.is_empty(kept)]
    if len(kept) == 0:
        return kept
    left, bottom, right, top = shapely.total_bounds(kept)
    return shapely.transform(
        shapely.segmentize(kept, np.hypot(right - left, top - bottom) / EDGE_PARTS),
        lambda xy: np.stack(there.transform(xy[:, 0], xy[:, 1]), 1),
    )
