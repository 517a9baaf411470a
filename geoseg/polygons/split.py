"""Splitting: a block of touching buildings is cut along its borders into polygons that share their walls exactly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.polygons.borders import Border
from geoseg.polygons.landing import landed, other_landings, rounded, walls_of
from geoseg.polygons.trace import SUBPIXELS

KEPT_TOLERANCE_PX = 1.0  # where fitted walls do not make sense the traced ones lose what is no more than steps


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """One polygon for each building of a block, and its contour, each (M,); kept: whether the fitted walls failed."""

    polygons: NDArray[np.object_]
    contours: NDArray[np.object_]
    kept: bool


def split_block(
    polygon: shapely.Polygon, contour: shapely.Polygon, borders: Sequence[Border], anchors: NDArray[np.float64]
) -> Split | None:
    """Cut a component, fitted and as its contour, along the borders in it; None where that fails for the contour.

    The polygons are those around the ``anchors``, (M, 2), in their order, have no gap and no overlap, and whole pixels
    of shift change no bit of them. A fitted border that misses its buildings lands elsewhere, as near as it parts them;
    where it does nowhere, or the fitted outline leaves a building out, all keep their contours.
    """
    corner = np.floor(shapely.bounds(contour)[:2])
    places = anchors - corner
    contour, polygon = _moved(contour, -corner), _moved(polygon, -corner)
    moved = [border.moved(-corner) for border in borders]
    contours = _cut(contour, walls_of(contour), [border.traced for border in moved], places)
    if contours is None:
        return None
    walls, fitted = walls_of(polygon), []
    for border in moved:
        line, walls = landed(polygon, walls, border)
        fitted.append(line)
    polygons = _cut(polygon, walls, fitted, places)
    if polygons is None:
        polygons = _cut(polygon, walls, _mended(polygon, walls, fitted, moved, contours, places), places)
    kept = polygons is None
    if polygons is None:
        polygons = shapely.transform(shapely.coverage_simplify(contours, KEPT_TOLERANCE_PX), rounded)
        if not _sound(polygons):
            polygons = contours
    return Split(_moved(polygons, corner), _moved(contours, corner), kept)


def distances(polygons: NDArray[np.object_], contours: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return (N, 2): largest and root of mean square distance of each contour's vertices from its polygon's outline."""
    out = np.empty((len(polygons), 2))
    for i, (polygon, contour) in enumerate(zip(polygons, contours, strict=True)):
        far = shapely.distance(shapely.points(shapely.get_coordinates(contour)), polygon.boundary)
        out[i] = far.max(), np.sqrt((far * far).mean())
    return out


def _moved[T](shapes: T, by: NDArray[np.float64]) -> T:
    return shapely.transform(shapes, lambda xy: xy + by)


def _sound(polygons: NDArray[np.object_]) -> bool:
    whole = (shapely.get_type_id(polygons) == 3).all() and not shapely.is_empty(polygons).any()
    return bool(whole and shapely.is_valid(polygons).all() and shapely.coverage_is_valid(polygons))


def _cut(
    polygon: shapely.Polygon,
    walls: NDArray[np.float64],
    lines: list[NDArray[np.float64]],
    places: NDArray[np.float64],
) -> NDArray[np.object_] | None:
    """Return the polygon's part around each place, cut along the lines; None where a place has no part of its own."""
    faces = _faces(polygon, walls, lines)
    owners = _owners(faces, places)
    if owners is None:
        return None
    out = np.array([shapely.union_all(faces[owners == m]) for m in range(len(places))], object)
    return out if _sound(out) else None


def _faces(
    polygon: shapely.Polygon, walls: NDArray[np.float64], lines: list[NDArray[np.float64]]
) -> NDArray[np.object_]:
    """Return the faces that walls and lines enclose in the polygon."""
    gaps = np.flatnonzero((walls[1:, 0] != walls[:-1, 1]).any(axis=1)) + 1
    rings = [np.vstack([ring[:1, 0], ring[:, 1]]) for ring in np.split(walls, gaps)]  # fewer lines are faster to node
    drawn = [shapely.LineString(xy) for xy in (*rings, *lines) if (xy != xy[0]).any()]
    noded = shapely.union_all(drawn, grid_size=1 / SUBPIXELS)
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts(noded)))
    return faces[shapely.contains_xy(polygon, shapely.get_coordinates(shapely.point_on_surface(faces)))]


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


def _owners(faces: NDArray[np.object_], places: NDArray[np.float64]) -> NDArray[np.intp] | None:
    """Return which place each face belongs to: the one in it, else that of the neighbour with the longest wall.

    None unless every place has a face of its own.
    """
    tree = shapely.STRtree(faces)
    place, face = tree.query(shapely.points(places), predicate="within")
    if len(np.unique(place)) < len(places) or len(np.unique(face)) < len(place):
        return None
    owners = np.full(len(faces), -1)
    owners[face] = place
    orphans = np.flatnonzero(owners < 0).tolist()
    while orphans:
        still = []
        for i in orphans:
            beside = np.sort(tree.query(faces[i], predicate="intersects"))
            beside = beside[owners[beside] >= 0]
            shared = shapely.length(shapely.intersection(faces[i], faces[beside]))
            if shared.max(initial=0.0) > 0:
                owners[i] = owners[beside[np.argmax(shared)]]
            else:
                still.append(i)
        if len(still) == len(orphans):
            return None
        orphans = still
    return owners
