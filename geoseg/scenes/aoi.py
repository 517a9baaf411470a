"""Area of interest: polygons that say where outputs are wanted; exact, whatever part of the scene is asked about."""

import hashlib
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS

from geoseg.errors import InputError
from geoseg.scenes.polygons import read_layer
from geoseg.values.box import Box
from geoseg.values.grid import Grid, pyproj_crs
from geoseg.vector.ground import GroundFrame, geodesic_area_m2

if TYPE_CHECKING:
    import geopandas as gpd
    from pyproj import Transformer

LEAF_PX = 16  # boxes of at most this side are decided pixel by pixel
EDGE_PARTS = 256  # parts that the diagonal of an area falls into when it comes from another CRS
LOOKS = 33  # places along each axis of a scene that tell where it lies in another CRS
MARGINS = (1.0, 0.02)  # of the scene's size: what is kept around it, and what at least
LEAST_OVERLAP = 1e-6  # of the smaller of two zones: less is rounding
ASIDE_PX = (1e-7, 1.3e-7)  # zones are moved by, so that no border goes through the middle of a pixel
ON_THE_EDGE_PX = 1e-3  # what reaches beyond the map by less does not
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
    polygon = _in_pixels(_in_crs(_polygons(source), grid, source), grid)
    if not shapely.intersects(polygon, shapely.box(0, 0, grid.width, grid.height)):
        raise InputError(f"{source}: no polygon of the area of interest meets the scene; check the file and its CRS")
    return Area(shapely.to_wkb(shapely.normalize(polygon)))


@dataclass(frozen=True, slots=True, eq=False)
class Zones:
    """Zones of a map, as a vector file has them; they may overlap, and reach beyond the map."""

    frame: "gpd.GeoDataFrame"
    """Their shapes in their own CRS, with all attributes."""
    shapes_px: NDArray[np.object_]
    """Their shapes in pixel coordinates (col, row) of the map, as far as they lie near it, (Z,)."""
    areas: tuple[Area, ...]
    """The same, to decide which pixels they hold: one whose middle lies on a common border belongs to one of them."""
    ground_m2: NDArray[np.float64]
    """True area of each, (Z,)."""
    beyond_m2: NDArray[np.float64]
    """What of that lies beyond the map, (Z,)."""

    def __len__(self) -> int:
        return len(self.areas)

    def overlaps(self) -> int:
        """Return how many pairs of zones have ground in common."""
        shapes = np.asarray(self.frame.geometry.array, object)
        one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
        one, other = one[one < other], other[one < other]
        common = shapely.area(shapely.intersection(shapes[one], shapes[other]))
        return int((common > LEAST_OVERLAP * np.minimum(*shapely.area([shapes[one], shapes[other]]))).sum())


def read_zones(source: str, grid: Grid) -> Zones:
    """Read the polygons of ``source``, named as for ``read_area``, each as a zone of its own on ``grid``.

    Raises InputError as ``read_area`` does; zones beside the map are kept where another one meets it.
    """
    frame = _polygons(source)
    frame = frame.set_geometry(shapely.make_valid(shapely.force_2d(frame.geometry.array)), crs=frame.crs)
    placed = [shapely.union_all(_in_crs(frame.iloc[[i]], grid, source)) for i in range(len(frame))]
    shapes = np.array([_in_pixels(np.array([shape]), grid) for shape in placed], object)
    rectangle = shapely.box(0, 0, grid.width, grid.height)
    if not shapely.intersects(shapes, rectangle).any():
        raise InputError(f"{source}: no zone meets the map; check the file and its CRS")
    aside = shapely.transform(shapes, lambda xy: xy - ASIDE_PX)
    ground = geodesic_area_m2(_areal(np.asarray(frame.geometry.array, object)), CRS.from_wkt(frame.crs.to_wkt()))
    within = shapely.transform(shapely.intersection(shapes, rectangle), GroundFrame(grid.transform).to_crs)
    beyond = np.maximum(ground - geodesic_area_m2(_areal(within), grid.crs), 0)
    beyond[shapely.covers(shapely.buffer(rectangle, ON_THE_EDGE_PX), shapes)] = 0
    return Zones(frame, shapes, tuple(Area(shapely.to_wkb(shape)) for shape in aside), ground, beyond)


def _areal(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return the polygons in shapes, without the points and lines that mending or cutting has left."""
    parts = [[p for p in shapely.get_parts(shape) if p.geom_type in ("Polygon", "MultiPolygon")] for shape in shapes]
    return np.array([shapely.union_all(some) if some else shapely.MultiPolygon() for some in parts], object)


def _in_pixels(shapes: NDArray[np.object_], grid: Grid) -> shapely.Geometry:
    """Return shapes in the CRS of ``grid`` as one, in its pixel coordinates (col, row)."""
    back = ~grid.transform
    linear, offset = np.array([[back.a, back.d], [back.b, back.e]]), (back.c, back.f)
    return shapely.union_all(shapely.make_valid(shapely.transform(shapes, lambda xy: xy @ linear + offset)))


def _polygons(source: str) -> "gpd.GeoDataFrame":
    frame = read_layer(source)
    if len(frame) == 0:
        raise InputError(f"{source}: holds no polygons; one or more of them are needed")
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
