"""Splitting: the buildings of a block as polygons that share their walls exactly.

::

    contour and borders     fitted one by one       polygons
    +--------+-------+      +------+ +------+       +-------+------+
    |        |       |      |      | |      |       |       |      |
    |   x    |   x   |  ->  |  A   | |  B   |   ->  |   A   |  B   |
    |        |       |      |      | |      |       |       |      |
    +--------+-------+      +------+ +------+       +-------+------+

Each x is the anchor of a building: the contour's face around it is its contour. A face that several polygons hold, or
none, goes to the building whose contour holds it, or to the neighbour with the longest shared wall. Overlaps between
components are not resolved here, see overlaps.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.adjacent.borders import borders_between
from geoseg.vector.adjacent.common_walls import gather_corners, join_walls
from geoseg.vector.adjacent.directions import ALONG, align, seen_walls
from geoseg.vector.adjacent.edges import edges_of
from geoseg.vector.adjacent.faces import (
    PENDING,
    UNASSIGNED,
    assign_pending,
    enclosed_faces,
    holder_of,
    in_one_piece,
    inner_points,
    is_coverage,
    unions,
)
from geoseg.vector.adjacent.limits import Limits
from geoseg.vector.adjacent.loops import Loops, taken
from geoseg.vector.adjacent.repair import Tolerance, enforce_tolerance, neighbours_of
from geoseg.vector.adjacent.short_walls import without_short_walls
from geoseg.vector.adjacent.sound import are_valid
from geoseg.vector.adjacent.teeth import without_teeth
from geoseg.vector.adjacent.tolerance import Closeness
from geoseg.vector.pixels.cuts import NO_CUTS, beyond, onto_cut, straight_on
from geoseg.vector.pixels.places import SUBPIXELS, moved, rings_of, rounded

PLAIN = 0.8  # units: root of the area of a triangle that is no corner once walls are shared
SAME_WALL = 0.03  # radians between walls of one direction: 3 px on a 100 px wall
GATHERING = 4  # attempts to gather corners, each without the buildings that the one before would have broken
SAME_LINE_PX = 4 / SUBPIXELS  # corners were rounded on their own: those on a wall of another's lie beside it
TRUSTED = 2.0  # units: shorter walls may have any direction


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """One polygon for each of the M buildings of a block; polygons and contours are coverages."""

    polygons: NDArray[np.object_]
    """Drawn polygons, (M,)."""
    contours: NDArray[np.object_]
    """Their contours, (M,)."""
    unchanged: NDArray[np.bool_]
    """Which buildings are contours instead of fits, (M,)."""
    direction_deg: NDArray[np.float64]
    """Direction of the walls where all are parallel or square to one another, (M,), NaN elsewhere; see ``Fit``."""
    closeness: Closeness | None
    """How near polygons and contours are, M rows; None where no tolerance is given."""

    @property
    def walls(self) -> list[NDArray[np.float64]]:
        """The polygons' rings, each (K, 2)."""
        return [shapely.get_coordinates(ring) for ring in shapely.get_rings(self.polygons)]

    @property
    def outline(self) -> shapely.Polygon | shapely.MultiPolygon:
        """The block as a whole, in parts where fits have parted it."""
        return shapely.coverage_union_all(self.polygons)

    def redrawn(self, polygons: NDArray[np.object_], closeness: Closeness | None, *, unchanged: bool) -> "Split":
        """Return the same buildings with other polygons; unchanged: whether these are contours."""
        return replace(self, polygons=polygons, closeness=closeness, unchanged=self.unchanged | unchanged)


def split_block(
    fitted: NDArray[np.object_],
    contours: NDArray[np.object_],
    anchors: NDArray[np.float64],
    *,
    scale: NDArray[np.float64],
    tolerance: Tolerance | None = None,
    cuts: NDArray[np.object_] = NO_CUTS,
) -> Split:
    """Return the buildings of a block as a coverage, from polygons fitted to their ``contours`` one by one, both (M,).

    anchors: (M, 2) a point deep inside each building.
    scale: (2,) factors that make pixels units of detail.
    cuts: lines along which the block is cut off, see ``cut_lines``; polygons reach up to them and no farther.

    The polygons have no gap and no overlap, and a shift by whole pixels changes no bit of them. A building that is out
    of ``tolerance`` keeps its contour, which is cut out of its neighbours.
    """
    corner = np.floor(shapely.bounds(shapely.multipolygons(contours))[:2])
    places = anchors - corner
    contours, fitted, cuts = moved(contours, -corner), moved(fitted, -corner), straight_on(moved(cuts, -corner))
    limits = None if tolerance is None else tolerance.around(contours)
    shared = _shared(fitted, contours, scale, limits, cuts)
    covered = _covered(shared, contours, places, float(1 / np.sqrt(scale.prod())), cuts)
    cuts = shapely.transform(cuts, lambda xy: xy * scale)
    covered = _blunted(_gathered(covered, scale, cuts), scale, limits, cuts)
    covered = _plainer(covered, scale, limits, cuts)
    checked = enforce_tolerance(covered, contours, places, tolerance)
    direction = _directions(shapely.transform(checked.polygons, lambda xy: xy * scale), cuts)
    return Split(
        polygons=moved(checked.polygons, corner),
        contours=moved(contours, corner),
        unchanged=checked.unchanged,
        direction_deg=np.degrees(direction) % 90,
        closeness=checked.closeness,
    )


def _shared(
    fitted: NDArray[np.object_],
    contours: NDArray[np.object_],
    scale: NDArray[np.float64],
    limits: Limits | None,
    cuts: NDArray[np.object_],
) -> NDArray[np.object_]:
    """Return the polygons, (M,), with walls and corners in common as far as the tolerance allows."""
    drawn, seen = (loops._replace(xy=loops.xy * scale) for loops in (Loops.of(fitted), Loops.of(contours)))
    aligned = align(drawn, seen, shapely.transform(cuts, lambda xy: xy * scale))
    joined = join_walls(aligned, borders_between(seen))
    gathered, _ = gather_corners(joined, np.zeros(len(fitted), np.bool_))
    out, left = fitted.copy(), np.ones(len(fitted), np.bool_)
    for shapes in (gathered, joined, aligned):
        members = np.flatnonzero(left)
        if len(members) == 0:
            break
        best = taken(shapes._replace(xy=rounded(shapes.xy / scale)), members)
        good = are_valid(best)
        if limits is not None:
            good &= limits.allow(best, members)
        chosen = np.flatnonzero(good)
        if len(chosen):
            out[members[good]] = taken(best, chosen).polygons
        left[members[good]] = False
    return out


def cut_along(
    polygon: shapely.Polygon, lines: Sequence[NDArray[np.float64]], anchors: NDArray[np.float64]
) -> NDArray[np.object_] | None:
    """Cut a polygon along lines; return the part around each of ``anchors``, (M, 2), None where one has no part.

    A face that holds no anchor goes to the neighbour with the longest shared wall. A shift by whole pixels changes no
    bit.
    """
    corner = np.floor(shapely.bounds(polygon)[:2])
    polygon, places = moved(polygon, -corner), anchors - corner
    rings = [shapely.get_coordinates(ring) for ring in rings_of(polygon)]
    faces = enclosed_faces([*rings, *(xy - corner for xy in lines)])
    shapely.prepare(polygon)
    faces = faces[shapely.contains_xy(polygon, inner_points(faces))]
    place, face = shapely.STRtree(faces).query(shapely.points(places), predicate="within")
    alone = np.bincount(face, minlength=len(faces))[face] == 1
    owners = np.full(len(faces), PENDING)
    owners[face[alone]] = place[alone]
    owners[face[~alone]] = UNASSIGNED
    parts = unions(faces, assign_pending(faces, owners), len(places))
    return None if shapely.is_empty(parts).any() or not is_coverage(parts) else moved(parts, corner)


def _covered(
    polygons: NDArray[np.object_],
    contours: NDArray[np.object_],
    places: NDArray[np.float64],
    unit_px: float,
    cuts: NDArray[np.object_],
) -> NDArray[np.object_]:
    """Return the polygons without overlaps and gaps, (M,), empty where one is left with nothing or in pieces."""
    outside = beyond(cuts)
    rings = [shapely.get_coordinates(ring) for shapes in (polygons, outside) for ring in rings_of(shapes)]
    faces = enclosed_faces(rings, grid_px=SAME_LINE_PX)
    points = inner_points(faces)
    home, holder = holder_of(contours, points), holder_of(polygons, points)
    at_home = shapely.contains_xy(polygons[home], points) & (home != UNASSIGNED)
    owners = np.where(at_home, home, holder)
    unseen = (home == UNASSIGNED) & (holder_of(outside, points) != UNASSIGNED)
    gap = (owners == UNASSIGNED) & ((home != UNASSIGNED) | (shapely.area(faces) < unit_px**2))
    owners[gap] = PENDING
    owners[unseen] = UNASSIGNED
    owners = assign_pending(faces, in_one_piece(faces, owners, home, places), home)
    out = unions(faces, owners, len(places))
    out = shapely.transform(shapely.coverage_simplify(out, PLAIN * unit_px), rounded)
    return out if is_coverage(out[~shapely.is_empty(out)]) else np.full(len(out), shapely.Polygon())


def _gathered(
    polygons: NDArray[np.object_], scale: NDArray[np.float64], cuts: NDArray[np.object_]
) -> NDArray[np.object_]:
    """Return a coverage with near corners in one point, those of nodes among them; as it was where that is none."""
    if shapely.is_empty(polygons).any():
        return polygons
    loops = Loops.of(polygons)
    units, fixed = loops._replace(xy=onto_cut(loops.xy * scale, cuts, ALONG)), np.zeros(len(polygons), np.bool_)
    for _ in range(GATHERING):
        gathered, stuck = gather_corners(units, fixed, cuts)
        out = gathered._replace(xy=rounded(gathered.xy / scale)).polygons
        if is_coverage(out):
            return out
        fixed |= stuck
    return polygons


def _blunted(
    polygons: NDArray[np.object_], scale: NDArray[np.float64], limits: Limits | None, cuts: NDArray[np.object_]
) -> NDArray[np.object_]:
    """Return a coverage without teeth, but for those that the tolerance asks for; as it was where that is none."""
    if shapely.is_empty(polygons).any():
        return polygons
    units, kept = shapely.transform(polygons, lambda xy: xy * scale), np.zeros(len(polygons), np.bool_)
    everyone = np.arange(len(polygons))
    near: NDArray[np.bool_] | None = None
    for _ in range(GATHERING):
        out = without_teeth(units, kept, cuts)
        if out is units:
            break
        out = shapely.transform(shapely.coverage_simplify(out, PLAIN), lambda xy: rounded(xy / scale))
        if not is_coverage(out) or shapely.is_empty(out).any():
            break
        if limits is None:
            return out
        near = limits.allow(Loops.of(polygons), everyone) if near is None else near  # most blocks have no teeth
        worse = near & ~limits.allow(Loops.of(out), everyone)
        if not worse.any():
            return out
        kept |= worse | neighbours_of(polygons, worse & kept)
    return polygons


def _plainer(
    polygons: NDArray[np.object_], scale: NDArray[np.float64], limits: Limits | None, cuts: NDArray[np.object_]
) -> NDArray[np.object_]:
    """Return a coverage with fewer short walls where a tolerance says how far it may change; as it was elsewhere."""
    if limits is None or shapely.is_empty(polygons).any():
        return polygons
    near = limits.allow(Loops.of(polygons), np.arange(len(polygons)))  # what is not keeps its contour in the end
    units = shapely.transform(polygons, lambda xy: xy * scale)
    out = without_short_walls(units, limits, scale, near, cuts)
    out = shapely.transform(out, lambda xy: rounded(xy / scale))
    return out if is_coverage(out) else polygons


def _directions(polygons: NDArray[np.object_], cuts: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return the direction of each polygon's walls in units, radians, (M,); NaN where they are not at right angles."""
    walls = seen_walls(edges_of(polygons), cuts)
    edges = walls.ends[:, 2:] - walls.ends[:, :2]
    length, angle = np.hypot(*edges.T), np.arctan2(edges[:, 1], edges[:, 0])
    out = np.full(len(polygons), np.nan)
    by_length = np.lexsort((-length, walls.building))  # of equal ones the first comes first
    own, first = np.unique(walls.building[by_length], return_index=True)
    out[own] = angle[by_length[first]]
    off = np.abs((angle - out[walls.building] + np.pi / 4) % (np.pi / 2) - np.pi / 4)
    out[walls.building[(length >= TRUSTED) & ~(off <= SAME_WALL)]] = np.nan
    return out
