"""Landing: where the fitted borders within a block meet its fitted outline."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.adjacent.borders import SHORTEST_PX, Border
from geoseg.vector.pixels.subpixel import SUBPIXELS

SNAP_PX = 2.0  # a border that meets the outline this close to a corner ends in the corner
LAND_PX = 8.0  # how far the end of a border may move to meet the outline
LAND_NEAR = 1.5  # ... and how many times as far as to the nearest place there


class Hit(NamedTuple):
    """A place on a wall: its distance from where it was looked for, and the number of the wall."""

    far: float
    wall: int
    place: NDArray[np.float64]


def rounded(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return coordinates as whole 1024ths of a pixel."""
    return np.rint(xy * SUBPIXELS) / SUBPIXELS


def walls_of(polygon: shapely.Polygon) -> NDArray[np.float64]:
    """Return the walls of a polygon as pairs of corners, (S, 2, 2)."""
    rings = [shapely.get_coordinates(ring) for ring in shapely.get_rings(polygon)]
    walls = np.concatenate([np.stack([ring[:-1], ring[1:]], axis=1) for ring in rings])
    return walls[(walls[:, 0] != walls[:, 1]).any(axis=1)]


def landed(
    polygon: shapely.Polygon, walls: NDArray[np.float64], border: Border
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the fitted border with those ends that belong on the walls moved there, and the walls with new corners."""
    path = rounded(border.fitted)
    chord = _chord(polygon, border) if len(path) == 2 and all(border.lands) else None
    if chord is not None:
        snap_px = min(SNAP_PX, 0.4 * float(np.hypot(*(chord[1] - chord[0]))))  # never both ends in one corner
        for at, end in enumerate(chord):
            path[at], walls = _on_wall(walls, _nearest(walls, end), snap_px)
        return path, walls
    for at, before in ((0, 1), (-1, -2)):
        if border.lands[at]:
            hit = _landing(walls, path[at], path[before], border.traced[at])
            path[at], walls = _on_wall(walls, hit, SNAP_PX)
    return path, walls


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
    walls: NDArray[np.float64],
    end: NDArray[np.float64],
    before: NDArray[np.float64],
    outside: NDArray[np.float64],
) -> Hit:
    """Return where the wall from ``before`` to ``end`` meets the walls, or where they are next to ``outside``.

    It is the latter where the wall would have to go far along the walls.
    """
    along = end - before
    near = _nearest(walls, outside)
    reach = min(LAND_PX, LAND_NEAR * float(np.hypot(*(near.place - end))) + SNAP_PX)
    hits = _crossings(walls, end, along / np.hypot(*along), reach) if along.any() else []
    return min(hits, key=lambda hit: hit.far, default=near)


def other_landings(face: shapely.Polygon, border: Border) -> Iterator[NDArray[np.float64]]:
    """Yield the fitted border with its ends on walls of a face near them, where it lies within; the nearest first."""
    path = rounded(border.fitted)
    walls = walls_of(face)
    ends = [border.traced[at] if border.lands[at] else path[at] for at in (0, -1)]
    first, last = (_around(walls, end) for end in ends)
    room = shapely.buffer(face, 2 / SUBPIXELS)
    shapely.prepare(room)
    for a, b in sorted(product(first, last), key=lambda hits: hits[0].far + hits[1].far):
        line = np.stack([_snapped(walls, a, SNAP_PX), *path[1:-1], _snapped(walls, b, SNAP_PX)])
        if (line[0] != line[-1]).any() and room.covers(shapely.LineString(line)):
            yield line


def _on_wall(walls: NDArray[np.float64], hit: Hit, snap_px: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the place of a hit, or the corner ``snap_px`` or less from it, and the walls with it as a corner."""
    place, wall = _snapped(walls, hit, snap_px), walls[hit.wall]
    if (wall == place).all(axis=1).any():
        return place, walls
    halves = np.array([[wall[0], place], [place, wall[1]]])
    return place, np.concatenate([walls[: hit.wall], halves, walls[hit.wall + 1 :]])


def _snapped(walls: NDArray[np.float64], hit: Hit, snap_px: float) -> NDArray[np.float64]:
    """Return the corner that is ``snap_px`` or less from a hit, else its place."""
    corners = walls[hit.wall]
    far = np.hypot(*(corners - hit.place).T)
    return corners[np.argmin(far)] if far.min() <= snap_px else rounded(hit.place)


def _nearest(walls: NDArray[np.float64], end: NDArray[np.float64]) -> Hit:
    """Return where the walls are closest to ``end``."""
    place, far = _closest(walls, end)
    i = int(np.argmin(far))
    return Hit(float(far[i]), i, place[i])


def _around(walls: NDArray[np.float64], end: NDArray[np.float64]) -> list[Hit]:
    """Return where each wall that is within LAND_PX of ``end`` is closest to it."""
    place, far = _closest(walls, end)
    return [Hit(float(far[i]), int(i), place[i]) for i in np.flatnonzero(far <= LAND_PX)]


def _closest(walls: NDArray[np.float64], end: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the place of each wall that is closest to ``end``, (S, 2), and its distance, (S,)."""
    a, d = walls[:, 0], walls[:, 1] - walls[:, 0]
    share = np.clip(((end - a) * d).sum(1) / np.maximum((d * d).sum(1), 1e-12), 0, 1)
    place = a + share[:, None] * d
    return place, np.hypot(*(place - end).T)


def _crossings(
    walls: NDArray[np.float64], end: NDArray[np.float64], along: NDArray[np.float64], reach: float
) -> list[Hit]:
    """Return where the line through ``end`` crosses a wall within ``reach`` of it."""
    a, d = walls[:, 0], walls[:, 1] - walls[:, 0]
    across = d[:, 0] * along[1] - d[:, 1] * along[0]
    safe = np.where(np.abs(across) > 0.2 * np.hypot(*d.T), across, np.nan)  # not where it runs along the wall
    share = ((end - a)[:, 0] * along[1] - (end - a)[:, 1] * along[0]) / safe
    place = a + share[:, None] * d
    far = np.hypot(*(place - end).T)
    crossed = np.flatnonzero((share >= 0) & (share <= 1) & (far <= reach))
    return [Hit(float(far[i]), int(i), place[i]) for i in crossed]
