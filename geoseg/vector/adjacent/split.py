"""Splitting: a block of touching buildings is cut along its borders into polygons that share their walls exactly.

::

    outline and borders     faces                   polygons
    +--------+-------+      +--------+-------+      +--------+-------+
    |        |       |      |   0    |   1   |      |        |       |
    |   x    |   x   |      |        +--+----+      |   A    |   B   |
    |        +--.    |      |        | 2|    |      |        |       |
    +--------+--+----+      +--------+--+----+      +--------+-------+

Each x is the anchor of a building and owns its face; face 2 holds no anchor and goes to the neighbour with the longest
shared wall. Overlaps between components are not resolved here, see overlaps.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.adjacent.borders import Border
from geoseg.vector.adjacent.faces import (
    PENDING,
    UNASSIGNED,
    assign_pending,
    enclosed_faces,
    inner_points,
    is_coverage,
    unions,
)
from geoseg.vector.adjacent.repair import Tolerance, enforce_tolerance, neighbours_of
from geoseg.vector.adjacent.snap import alternative_snaps, snap_to_outline, walls_of
from geoseg.vector.adjacent.tolerance import Closeness
from geoseg.vector.pixels.places import moved


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """One polygon for each of the M buildings of a block; polygons and contours are coverages."""

    polygons: NDArray[np.object_]
    """Drawn polygons, (M,)."""
    contours: NDArray[np.object_]
    """Their contours, (M,)."""
    unchanged: NDArray[np.bool_]
    """Which buildings are contours instead of fits, (M,)."""
    next_to_unchanged: NDArray[np.bool_]
    """Which buildings are fits that share walls with a contour, (M,)."""
    closeness: Closeness | None
    """How near polygons and contours are, M rows; None where no tolerance is given."""

    @property
    def walls(self) -> list[NDArray[np.float64]]:
        """The polygons' rings, each (K, 2)."""
        return [shapely.get_coordinates(ring) for ring in shapely.get_rings(self.polygons)]

    @property
    def outline(self) -> shapely.Polygon:
        """The block as a whole."""
        return shapely.coverage_union_all(self.polygons)

    def redrawn(self, polygons: NDArray[np.object_], closeness: Closeness | None, *, unchanged: bool) -> "Split":
        """Return the same buildings with other polygons; unchanged: whether these are contours."""
        return Split(
            polygons, self.contours, self.unchanged | unchanged, self.next_to_unchanged & (not unchanged), closeness
        )


def split_block(
    polygon: shapely.Polygon,
    contour: shapely.Polygon,
    borders: Sequence[Border],
    anchors: NDArray[np.float64],
    *,
    tolerance: Tolerance | None = None,
) -> Split | None:
    """Cut a component's fitted polygon and its contour along the borders; None where the contour cannot be cut.

    anchors: (M, 2) a point deep inside each building; the polygons come in their order.

    The polygons have no gap and no overlap, and a shift by whole pixels changes no bit of them. A fitted border that
    does not separate its buildings is snapped elsewhere, as near as it does. Where no place separates them, or the
    fitted outline leaves a building out, all buildings keep their contours. A building that is out of ``tolerance``
    keeps its own, even beyond the fitted outline.
    """
    corner = np.floor(shapely.bounds(contour)[:2])
    places = anchors - corner
    contour, polygon = moved(contour, -corner), moved(polygon, -corner)
    near = [border.moved(-corner) for border in borders]
    contours = _cut(contour, walls_of(contour), [border.traced for border in near], places)
    if shapely.is_empty(contours).any():
        return None
    fitted = _fitted(polygon, near, contours, places)
    checked = enforce_tolerance(fitted, contours, places, tolerance)
    polygons, contours = moved(checked.polygons, corner), moved(contours, corner)
    return Split(polygons, contours, checked.unchanged, neighbours_of(contours, checked.unchanged), checked.closeness)


def cut_along(
    polygon: shapely.Polygon, lines: Sequence[NDArray[np.float64]], anchors: NDArray[np.float64]
) -> NDArray[np.object_] | None:
    """Cut a polygon along lines; return the part around each of ``anchors``, (M, 2), None where one has no part.

    A shift by whole pixels changes no bit.
    """
    corner = np.floor(shapely.bounds(polygon)[:2])
    polygon = moved(polygon, -corner)
    parts = _cut(polygon, walls_of(polygon), [xy - corner for xy in lines], anchors - corner)
    return None if shapely.is_empty(parts).any() else moved(parts, corner)


def _fitted(
    polygon: shapely.Polygon, borders: list[Border], contours: NDArray[np.object_], places: NDArray[np.float64]
) -> NDArray[np.object_]:
    """Cut the polygon along the fitted borders; return the part around each place, (M,), empty where there is none."""
    walls, lines = walls_of(polygon), []
    for border in borders:
        line, walls = snap_to_outline(polygon, walls, border)
        lines.append(line)
    polygons = _cut(polygon, walls, lines, places)
    if not shapely.is_empty(polygons).any():
        return polygons
    resnapped = _cut(polygon, walls, _resnapped(polygon, walls, lines, borders, contours, places), places)
    return min(resnapped, polygons, key=lambda parts: int(shapely.is_empty(parts).sum()))


def _cut(
    polygon: shapely.Polygon,
    walls: NDArray[np.float64],
    lines: list[NDArray[np.float64]],
    places: NDArray[np.float64],
) -> NDArray[np.object_]:
    """Cut the polygon along lines; return the part around each place, (M,), empty where it has none of its own.

    A face that holds no place goes to the neighbour with the longest shared wall.
    """
    faces = _faces(polygon, walls, lines)
    place, face = shapely.STRtree(faces).query(shapely.points(places), predicate="within")
    alone = np.bincount(face, minlength=len(faces))[face] == 1
    owners = np.full(len(faces), PENDING)
    owners[face[alone]] = place[alone]
    owners[face[~alone]] = UNASSIGNED
    parts = unions(faces, assign_pending(faces, owners), len(places))
    return parts if is_coverage(parts[~shapely.is_empty(parts)]) else np.full(len(places), shapely.Polygon())


def _faces(
    polygon: shapely.Polygon, walls: NDArray[np.float64], lines: list[NDArray[np.float64]]
) -> NDArray[np.object_]:
    """Return the faces that walls and lines enclose within the polygon, (F,)."""
    gaps = np.flatnonzero((walls[1:, 0] != walls[:-1, 1]).any(axis=1)) + 1
    rings = [np.vstack([ring[:1, 0], ring[:, 1]]) for ring in np.split(walls, gaps)]  # fewer lines are faster to node
    faces = enclosed_faces([*rings, *lines])
    return faces[shapely.contains_xy(polygon, inner_points(faces))]


def _resnapped(
    polygon: shapely.Polygon,
    walls: NDArray[np.float64],
    lines: list[NDArray[np.float64]],
    borders: list[Border],
    contours: NDArray[np.object_],
    places: NDArray[np.float64],
) -> list[NDArray[np.float64]]:
    """Return the lines, with other ends for the borders that leave both their buildings in one face.

    The new ends separate that face together with the unowned faces next to it; lines that cannot separate it stay.
    """
    faces, lines = _faces(polygon, walls, lines), list(lines)
    places_in = np.array([shapely.contains_xy(face, places).sum() for face in faces])
    for face in faces[places_in > 1]:
        unowned = faces[places_in == 0]
        spaces = [shapely.union_all([face, *unowned[shapely.length(shapely.intersection(unowned, face)) > 0]])]
        open_borders = _open_borders(face, borders, contours, places)
        for k, pair in open_borders.items():
            others = [lines[m] for m in open_borders if m != k]
            for space in [space for space in spaces if shapely.contains_xy(space, pair).all()]:
                line, pieces = _separated(space, borders[k], pair, others)
                if line is not None:
                    lines[k] = line
                    spaces = [*(other for other in spaces if other is not space), *pieces]
    return lines


def _separated(
    space: shapely.Polygon, border: Border, pair: NDArray[np.float64], others: list[NDArray[np.float64]]
) -> tuple[NDArray[np.float64] | None, NDArray[np.object_]]:
    """Return the border with ends that, with the others, separate a pair of places, and the pieces; None if none do."""
    for line in alternative_snaps(space, border):
        pieces = _faces(space, walls_of(space), [line, *others])
        if not any(shapely.contains_xy(piece, pair).all() for piece in pieces):
            return line, pieces
    return None, np.array([space])


def _open_borders(
    face: shapely.Polygon, borders: list[Border], contours: NDArray[np.object_], places: NDArray[np.float64]
) -> dict[int, NDArray[np.float64]]:
    """Return the borders whose two buildings both have their places in the face, with these places, (2, 2)."""
    within = np.flatnonzero(shapely.contains_xy(face, places))
    open_borders = {}
    for k, border in enumerate(borders):
        line = shapely.LineString(border.traced)
        touching = within[shapely.length(shapely.intersection(contours[within], line)) > line.length / 4]
        if len(touching) == 2:
            open_borders[k] = places[touching]
    return open_borders
