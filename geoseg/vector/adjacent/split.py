"""Splitting: a block of touching buildings is cut along its borders into polygons that share their walls exactly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.adjacent.borders import Border
from geoseg.vector.adjacent.faces import NOBODYS, ORPHAN, adopted, enclosed, inner_points, tile, unions
from geoseg.vector.adjacent.repair import Bound, beside, bounded
from geoseg.vector.adjacent.snap import landed, other_landings, walls_of
from geoseg.vector.adjacent.tolerance import Closeness


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """One polygon for each building of a block, and its contour, each (M,).

    kept: which buildings are contours instead of fits. beside: which are fits but for the walls they have in common
    with such a one. closeness: of the two, None where no bound holds.
    """

    polygons: NDArray[np.object_]
    contours: NDArray[np.object_]
    kept: NDArray[np.bool_]
    beside: NDArray[np.bool_]
    closeness: Closeness | None

    @property
    def walls(self) -> list[NDArray[np.float64]]:
        """The polygons' rings, each (K, 2)."""
        return [shapely.get_coordinates(ring) for ring in shapely.get_rings(self.polygons)]

    @property
    def outline(self) -> shapely.Polygon:
        """The block as a whole."""
        return shapely.coverage_union_all(self.polygons)

    def redrawn(self, polygons: NDArray[np.object_], closeness: Closeness | None, *, kept: bool) -> "Split":
        """Return other polygons of the same buildings; kept: whether they are contours now."""
        return Split(polygons, self.contours, self.kept | kept, self.beside & (not kept), closeness)


def split_block(
    polygon: shapely.Polygon,
    contour: shapely.Polygon,
    borders: Sequence[Border],
    anchors: NDArray[np.float64],
    *,
    bound: Bound | None = None,
) -> Split | None:
    """Cut a component, fitted and as its contour, along the borders in it; None where that fails for the contour.

    The polygons are those around the ``anchors``, (M, 2), in their order, have no gap and no overlap, and whole pixels
    of shift change no bit of them. A fitted border that misses its buildings lands elsewhere, as near as it parts them;
    where it does nowhere, or the fitted outline leaves a building out, all keep their contours. A single one that is
    not within its ``bound`` keeps its own, also where that lies beyond the fitted outline.
    """
    corner = np.floor(shapely.bounds(contour)[:2])
    places = anchors - corner
    contour, polygon = _moved(contour, -corner), _moved(polygon, -corner)
    moved = [border.moved(-corner) for border in borders]
    contours = _cut(contour, walls_of(contour), [border.traced for border in moved], places)
    if shapely.is_empty(contours).any():
        return None
    fitted = _fitted(polygon, moved, contours, places)
    made = bounded(fitted, contours, places, bound)
    polygons, contours = _moved(made.polygons, corner), _moved(contours, corner)
    return Split(polygons, contours, made.kept, beside(contours, made.kept), made.closeness)


def cut_along(
    polygon: shapely.Polygon, lines: Sequence[NDArray[np.float64]], anchors: NDArray[np.float64]
) -> NDArray[np.object_] | None:
    """Return a polygon's part around each of ``anchors``, (M, 2), cut along lines; None where one has no part.

    Whole pixels of shift change no bit.
    """
    corner = np.floor(shapely.bounds(polygon)[:2])
    polygon = _moved(polygon, -corner)
    parts = _cut(polygon, walls_of(polygon), [xy - corner for xy in lines], anchors - corner)
    return None if shapely.is_empty(parts).any() else _moved(parts, corner)


def _fitted(
    polygon: shapely.Polygon, borders: list[Border], contours: NDArray[np.object_], places: NDArray[np.float64]
) -> NDArray[np.object_]:
    """Return the polygon's part around each place, cut along the fitted borders; empty where a place has none."""
    walls, lines = walls_of(polygon), []
    for border in borders:
        line, walls = landed(polygon, walls, border)
        lines.append(line)
    polygons = _cut(polygon, walls, lines, places)
    if not shapely.is_empty(polygons).any():
        return polygons
    mended = _cut(polygon, walls, _mended(polygon, walls, lines, borders, contours, places), places)
    return min(mended, polygons, key=lambda parts: int(shapely.is_empty(parts).sum()))


def _moved[T](shapes: T, by: NDArray[np.float64]) -> T:
    return shapely.transform(shapes, lambda xy: xy + by)


def _cut(
    polygon: shapely.Polygon,
    walls: NDArray[np.float64],
    lines: list[NDArray[np.float64]],
    places: NDArray[np.float64],
) -> NDArray[np.object_]:
    """Return the polygon's part around each place, cut along the lines; empty where a place has none of its own.

    Faces with no place in them go to the neighbour with the longest wall.
    """
    faces = _faces(polygon, walls, lines)
    place, face = shapely.STRtree(faces).query(shapely.points(places), predicate="within")
    alone = np.bincount(face, minlength=len(faces))[face] == 1
    owners = np.full(len(faces), ORPHAN)
    owners[face[alone]] = place[alone]
    owners[face[~alone]] = NOBODYS
    parts = unions(faces, adopted(faces, owners), len(places))
    return parts if tile(parts[~shapely.is_empty(parts)]) else np.full(len(places), shapely.Polygon())


def _faces(
    polygon: shapely.Polygon, walls: NDArray[np.float64], lines: list[NDArray[np.float64]]
) -> NDArray[np.object_]:
    """Return the faces that walls and lines enclose in the polygon."""
    gaps = np.flatnonzero((walls[1:, 0] != walls[:-1, 1]).any(axis=1)) + 1
    rings = [np.vstack([ring[:1, 0], ring[:, 1]]) for ring in np.split(walls, gaps)]  # fewer lines are faster to node
    faces = enclosed([*rings, *lines])
    return faces[shapely.contains_xy(polygon, inner_points(faces))]


def _mended(
    polygon: shapely.Polygon,
    walls: NDArray[np.float64],
    lines: list[NDArray[np.float64]],
    borders: list[Border],
    contours: NDArray[np.object_],
    places: NDArray[np.float64],
) -> list[NDArray[np.float64]]:
    """Return the lines with other ends for borders that leave their two buildings in one face.

    The new ends part that face, with what is beside it and nobody's; what they cannot part stays.
    """
    faces, lines = _faces(polygon, walls, lines), list(lines)
    held = np.array([shapely.contains_xy(face, places).sum() for face in faces])
    for face in faces[held > 1]:
        nobodys = faces[held == 0]
        rooms = [shapely.union_all([face, *nobodys[shapely.length(shapely.intersection(nobodys, face)) > 0]])]
        idle = _idle(face, borders, contours, places)
        for k, pair in idle.items():
            others = [lines[m] for m in idle if m != k]
            for room in [room for room in rooms if shapely.contains_xy(room, pair).all()]:
                line, pieces = _parted(room, borders[k], pair, others)
                if line is not None:
                    lines[k] = line
                    rooms = [*(other for other in rooms if other is not room), *pieces]
    return lines


def _parted(
    room: shapely.Polygon, border: Border, pair: NDArray[np.float64], others: list[NDArray[np.float64]]
) -> tuple[NDArray[np.float64] | None, NDArray[np.object_]]:
    """Return the border as it parts, with the others, two places in a room, and the pieces; None where it cannot."""
    for line in other_landings(room, border):
        pieces = _faces(room, walls_of(room), [line, *others])
        if not any(shapely.contains_xy(piece, pair).all() for piece in pieces):
            return line, pieces
    return None, np.array([room])


def _idle(
    face: shapely.Polygon, borders: list[Border], contours: NDArray[np.object_], places: NDArray[np.float64]
) -> dict[int, NDArray[np.float64]]:
    """Return the borders whose two buildings have their places in the face, and these, (2, 2)."""
    within = np.flatnonzero(shapely.contains_xy(face, places))
    idle = {}
    for k, border in enumerate(borders):
        line = shapely.LineString(border.traced)
        beside = within[shapely.length(shapely.intersection(contours[within], line)) > line.length / 4]
        if len(beside) == 2:
            idle[k] = places[beside]
    return idle
