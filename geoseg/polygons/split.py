"""Splitting: a block of touching buildings is cut along its borders into polygons that share their walls exactly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.polygons.borders import SHORTEST_PX, Border
from geoseg.polygons.trace import SUBPIXELS

SNAP_PX = 2.0  # a border that meets the outline this close to a corner ends in the corner
LAND_PX = 8.0  # how far the end of a border may move along its wall to meet the outline
LAND_NEAR = 1.5  # ... and how many times as far as to the nearest place there
KEPT_TOLERANCE_PX = 1.0  # where fitted walls do not make sense the traced ones lose what is no more than steps


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """One polygon for each building of a block, and its contour, each (M,); kept: whether the fitted walls failed."""

    polygons: NDArray[np.object_]
    contours: NDArray[np.object_]
    kept: bool


class Hit(NamedTuple):
    """A place on a ring: its distance from where it was looked for, the ring, the segment of the ring."""

    far: float
    ring: int
    segment: int
    place: NDArray[np.float64]


def split_block(
    polygon: shapely.Polygon, contour: shapely.Polygon, borders: Sequence[Border], anchors: NDArray[np.float64]
) -> Split | None:
    """Cut a component, fitted and as its contour, along the borders in it; None where that fails for the contour.

    The polygons are those around the ``anchors``, (M, 2), in their order, have no gap and no overlap, and whole pixels
    of shift change no bit of them.
    """
    corner = np.floor(shapely.bounds(contour)[:2])
    places = anchors - corner
    contour, polygon = _moved(contour, -corner), _moved(polygon, -corner)
    traced = [border.traced - corner for border in borders]
    contours = _cut(contour, _rings(contour), traced, places)
    if contours is None:
        return None
    rings = _rings(polygon)
    fitted = [_landed(polygon, rings, border.moved(-corner)) for border in borders]
    polygons = _cut(polygon, rings, fitted, places)
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


def _rings(polygon: shapely.Polygon) -> list[NDArray[np.float64]]:
    return [shapely.get_coordinates(ring) for ring in shapely.get_rings(polygon)]


def rounded(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return coordinates as whole 1024ths of a pixel."""
    return np.rint(xy * SUBPIXELS) / SUBPIXELS


def _sound(polygons: NDArray[np.object_]) -> bool:
    whole = (shapely.get_type_id(polygons) == 3).all() and not shapely.is_empty(polygons).any()
    return bool(whole and shapely.is_valid(polygons).all() and shapely.coverage_is_valid(polygons))


def _cut(
    polygon: shapely.Polygon,
    rings: list[NDArray[np.float64]],
    lines: list[NDArray[np.float64]],
    places: NDArray[np.float64],
) -> NDArray[np.object_] | None:
    """Return the polygon's part around each place, cut along the lines; None where a place has no part of its own."""
    drawn = [shapely.LineString(xy) for xy in (*rings, *lines) if (xy != xy[0]).any()]
    noded = shapely.union_all(drawn, grid_size=1 / SUBPIXELS)
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts(noded)))
    faces = faces[shapely.contains_xy(polygon, shapely.get_coordinates(shapely.point_on_surface(faces)))]
    owners = _owners(faces, places)
    if owners is None:
        return None
    out = np.array([shapely.union_all(faces[owners == m]) for m in range(len(places))], object)
    return out if _sound(out) else None


def _landed(polygon: shapely.Polygon, rings: list[NDArray[np.float64]], border: Border) -> NDArray[np.float64]:
    """Return the fitted border with those ends that belong on the rings moved there."""
    path = rounded(border.fitted)
    chord = _chord(polygon, border) if len(path) == 2 and all(border.lands) else None
    if chord is not None:
        snap_px = min(SNAP_PX, 0.4 * float(np.hypot(*(chord[1] - chord[0]))))  # never both ends in one corner
        return np.stack([_on_ring(rings, _nearest(rings, end), snap_px) for end in chord])
    for at, before in ((0, 1), (-1, -2)):
        if border.lands[at]:
            path[at] = _on_ring(rings, _landing(rings, path[at], path[before], border.traced[at]), SNAP_PX)
    return path


def _chord(polygon: shapely.Polygon, border: Border) -> NDArray[np.float64] | None:
    """Return how a border of one wall crosses the polygon next to its middle, (2, 2), None where it does not.

    The direction of a short one is that between the pixels outside that it leads to.
    """
    ends = border.fitted if len(border.traced) > SHORTEST_PX else border.traced[[0, -1]]
    along = ends[1] - ends[0]
    if not along.any():
        return None
    reach = LAND_PX / np.hypot(*along) * along
    inside = shapely.intersection(shapely.LineString([ends[0] - reach, ends[1] + reach]), polygon)
    lines = [part for part in shapely.get_parts(inside) if part.length > 0]
    middle = shapely.Point(ends.mean(axis=0))
    chord = min(lines, key=lambda line: line.distance(middle), default=None)
    if chord is None or shapely.distance(shapely.points(chord.coords), polygon.boundary).max() > 1 / SUBPIXELS:
        return None
    return shapely.get_coordinates(chord)[[0, -1]]


def _landing(
    rings: list[NDArray[np.float64]],
    end: NDArray[np.float64],
    before: NDArray[np.float64],
    outside: NDArray[np.float64],
) -> Hit:
    """Return where the wall from ``before`` to ``end`` meets the rings, or where they are next to ``outside``.

    It is the latter where the wall would have to go far along the rings.
    """
    along = end - before
    near = _nearest(rings, outside)
    reach = min(LAND_PX, LAND_NEAR * float(np.hypot(*(near.place - end))) + SNAP_PX)
    hits = _crossings(rings, end, along / np.hypot(*along), reach) if along.any() else []
    return min(hits, key=lambda hit: hit.far, default=near)


def _on_ring(rings: list[NDArray[np.float64]], hit: Hit, snap_px: float) -> NDArray[np.float64]:
    """Return the corner of the rings that is ``snap_px`` or less from a place on them, which becomes one if need be."""
    _, k, i, place = hit
    corner = min((rings[k][i], rings[k][i + 1]), key=lambda c: float(np.hypot(*(c - place))))
    if np.hypot(*(corner - place)) <= snap_px:
        return corner
    place = rounded(place)
    rings[k] = np.insert(rings[k], i + 1, place, axis=0)
    return place


def _nearest(rings: list[NDArray[np.float64]], end: NDArray[np.float64]) -> Hit:
    """Return where the rings are closest to ``end``."""
    hits = []
    for k, ring in enumerate(rings):
        a, d = ring[:-1], np.diff(ring, axis=0)
        share = np.clip(((end - a) * d).sum(1) / np.maximum((d * d).sum(1), 1e-12), 0, 1)
        place = a + share[:, None] * d
        far = np.hypot(*(place - end).T)
        i = int(np.argmin(far))
        hits.append(Hit(float(far[i]), k, i, place[i]))
    return min(hits, key=lambda hit: hit.far)


def _crossings(
    rings: list[NDArray[np.float64]], end: NDArray[np.float64], along: NDArray[np.float64], reach: float
) -> list[Hit]:
    """Return where the line through ``end`` crosses a ring within ``reach`` of it."""
    hits = []
    for k, ring in enumerate(rings):
        a, d = ring[:-1], np.diff(ring, axis=0)
        across = d[:, 0] * along[1] - d[:, 1] * along[0]
        safe = np.where(np.abs(across) > 0.2 * np.hypot(*d.T), across, np.nan)  # not where it runs along the wall
        with np.errstate(invalid="ignore"):
            share = ((end - a)[:, 0] * along[1] - (end - a)[:, 1] * along[0]) / safe
            place = a + share[:, None] * d
            far = np.hypot(*(place - end).T)
            for i in np.flatnonzero((share >= 0) & (share <= 1) & (far <= reach)):
                hits.append(Hit(float(far[i]), k, int(i), place[i]))
    return hits


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
