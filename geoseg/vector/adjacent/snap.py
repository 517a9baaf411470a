"""Snapping: the ends of the fitted borders within a block move onto its fitted outline."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.adjacent.borders import SHORTEST_PX, Border
from geoseg.vector.pixels.places import SUBPIXELS, rounded

CORNER_SNAP_PX = 2.0  # a border that meets the outline this close to a corner ends in that corner
SNAP_PX = 8.0  # how far the end of a border may move to meet the outline
SNAP_RATIO = 1.5  # ... and by at most this multiple of the distance to the nearest wall


class WallPoint(NamedTuple):
    """A point on a wall that an end of a border may move to."""

    far: float
    """Distance from the end, in pixels."""
    wall: int
    """Index of the wall."""
    place: NDArray[np.float64]
    """The point, (2,)."""


def walls_of(polygon: shapely.Polygon) -> NDArray[np.float64]:
    """Return the walls of a polygon as pairs of corners, (S, 2 corners, 2), ring by ring."""
    rings = [shapely.get_coordinates(ring) for ring in shapely.get_rings(polygon)]
    walls = np.concatenate([np.stack([ring[:-1], ring[1:]], axis=1) for ring in rings])
    return walls[(walls[:, 0] != walls[:, 1]).any(axis=1)]


def snap_to_outline(
    polygon: shapely.Polygon, walls: NDArray[np.float64], border: Border
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Move the ends of a fitted border that belong on the outline onto its walls, and split the walls there.

    Returns the border (K, 2) and the walls (S, 2, 2) with the ends as new corners::

              wall                        wall
        +------------+              +-----o------+
                                          |
              |             ->            |  border
              |                           |
    """
    path = rounded(border.fitted)
    chord = _chord(polygon, border) if len(path) == 2 and all(border.ends_on_outline) else None
    if chord is not None:
        snap_px = min(CORNER_SNAP_PX, 0.4 * float(np.hypot(*(chord[1] - chord[0]))))  # never both ends in one corner
        for at, end in enumerate(chord):
            path[at], walls = _on_wall(walls, _nearest(walls, end), snap_px)
        return path, walls
    for at, before in ((0, 1), (-1, -2)):
        if border.ends_on_outline[at]:
            point = _snap_point(walls, path[at], path[before], border.traced[at])
            path[at], walls = _on_wall(walls, point, CORNER_SNAP_PX)
    return path, walls


def _chord(polygon: shapely.Polygon, border: Border) -> NDArray[np.float64] | None:
    """Return the two points where a border of one wall crosses the outline next to its middle, (2, 2), or None.

    A short border has the direction between the outside pixels at its ends.
    """
    ends = border.fitted if len(border.traced) > SHORTEST_PX else border.traced[[0, -1]]
    along = ends[1] - ends[0]
    if not along.any():
        return None
    reach = SNAP_PX / np.hypot(*along) * along
    inside = shapely.intersection(shapely.LineString([ends[0] - reach, ends[1] + reach]), polygon)
    lines = [part for part in shapely.get_parts(inside) if part.length > 0]
    middle = shapely.Point(ends.mean(axis=0))
    chord = min(lines, key=lambda line: line.distance(middle), default=None)
    if chord is None or shapely.distance(shapely.points(chord.coords), polygon.boundary).max() > 1 / SUBPIXELS:
        return None
    return shapely.get_coordinates(chord)[[0, -1]]


def _snap_point(
    walls: NDArray[np.float64],
    end: NDArray[np.float64],
    before: NDArray[np.float64],
    outside: NDArray[np.float64],
) -> WallPoint:
    """Return where the line from ``before`` to ``end`` crosses a wall, or the wall point nearest to ``outside``.

    The nearest point is taken where no crossing is near enough.
    """
    along = end - before
    near = _nearest(walls, outside)
    reach = min(SNAP_PX, SNAP_RATIO * float(np.hypot(*(near.place - end))) + CORNER_SNAP_PX)
    points = _crossings(walls, end, along / np.hypot(*along), reach) if along.any() else []
    return min(points, key=lambda point: point.far, default=near)


def alternative_snaps(face: shapely.Polygon, border: Border) -> Iterator[NDArray[np.float64]]:
    """Yield the fitted border with its ends on nearby walls of a face, the nearest first, where it lies in the face."""
    path = rounded(border.fitted)
    walls = walls_of(face)
    ends = [border.traced[at] if border.ends_on_outline[at] else path[at] for at in (0, -1)]
    first, last = (_around(walls, end) for end in ends)
    grown = shapely.buffer(face, 2 / SUBPIXELS)
    shapely.prepare(grown)
    for a, b in sorted(product(first, last), key=lambda points: points[0].far + points[1].far):
        line = np.stack([_snapped(walls, a, CORNER_SNAP_PX), *path[1:-1], _snapped(walls, b, CORNER_SNAP_PX)])
        if (line[0] != line[-1]).any() and grown.covers(shapely.LineString(line)):
            yield line


def _on_wall(
    walls: NDArray[np.float64], point: WallPoint, snap_px: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the wall point, or a corner within ``snap_px`` of it, and the walls with that point as a corner."""
    place, wall = _snapped(walls, point, snap_px), walls[point.wall]
    if (wall == place).all(axis=1).any():
        return place, walls
    halves = np.array([[wall[0], place], [place, wall[1]]])
    return place, np.concatenate([walls[: point.wall], halves, walls[point.wall + 1 :]])


def _snapped(walls: NDArray[np.float64], point: WallPoint, snap_px: float) -> NDArray[np.float64]:
    """Return the wall's corner within ``snap_px`` of the point, else the point."""
    corners = walls[point.wall]
    far = np.hypot(*(corners - point.place).T)
    return corners[np.argmin(far)] if far.min() <= snap_px else rounded(point.place)


def _nearest(walls: NDArray[np.float64], end: NDArray[np.float64]) -> WallPoint:
    """Return the point on all walls that is nearest to ``end``."""
    place, far = _closest(walls, end)
    i = int(np.argmin(far))
    return WallPoint(float(far[i]), i, place[i])


def _around(walls: NDArray[np.float64], end: NDArray[np.float64]) -> list[WallPoint]:
    """Return the nearest point of each wall that is within SNAP_PX of ``end``."""
    place, far = _closest(walls, end)
    return [WallPoint(float(far[i]), int(i), place[i]) for i in np.flatnonzero(far <= SNAP_PX)]


def _closest(walls: NDArray[np.float64], end: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the nearest point of each wall to ``end``, (S, 2), and its distance, (S,)."""
    a, d = walls[:, 0], walls[:, 1] - walls[:, 0]
    share = np.clip(((end - a) * d).sum(1) / np.maximum((d * d).sum(1), 1e-12), 0, 1)
    place = a + share[:, None] * d
    return place, np.hypot(*(place - end).T)


def _crossings(
    walls: NDArray[np.float64], end: NDArray[np.float64], along: NDArray[np.float64], reach: float
) -> list[WallPoint]:
    """Return where the line through ``end`` crosses walls within ``reach`` of it."""
    a, d = walls[:, 0], walls[:, 1] - walls[:, 0]
    across = d[:, 0] * along[1] - d[:, 1] * along[0]
    safe = np.where(np.abs(across) > 0.2 * np.hypot(*d.T), across, np.nan)  # not where it runs along the wall
    share = ((end - a)[:, 0] * along[1] - (end - a)[:, 1] * along[0]) / safe
    place = a + share[:, None] * d
    far = np.hypot(*(place - end).T)
    crossed = np.flatnonzero((share >= 0) & (share <= 1) & (far <= reach))
    return [WallPoint(float(far[i]), int(i), place[i]) for i in crossed]
