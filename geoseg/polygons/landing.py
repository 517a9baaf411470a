"""Landing: where the fitted borders within a block meet its fitted outline."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.polygons.borders import SHORTEST_PX, Border
from geoseg.polygons.trace import SUBPIXELS

SNAP_PX = 2.0  # a border that meets the outline this close to a corner ends in the corner
LAND_PX = 8.0  # how far the end of a border may move to meet the outline
LAND_NEAR = 1.5  # ... and how many times as far as to the nearest place there


class Hit(NamedTuple):
    """A place on a ring: its distance from where it was looked for, the ring, the segment of the ring."""

    far: float
    ring: int
    segment: int
    place: NDArray[np.float64]


def rounded(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return coordinates as whole 1024ths of a pixel."""
    return np.rint(xy * SUBPIXELS) / SUBPIXELS


def landed(polygon: shapely.Polygon, rings: list[NDArray[np.float64]], border: Border) -> NDArray[np.float64]:
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


def other_landings(face: shapely.Polygon, border: Border) -> Iterator[NDArray[np.float64]]:
    """Yield the fitted border with its ends on walls of a face near them, where it lies within; the nearest first."""
    path = rounded(border.fitted)
    rings = [shapely.get_coordinates(ring) for ring in shapely.get_rings(face)]
    ends = [border.traced[at] if border.lands[at] else path[at] for at in (0, -1)]
    first, last = (_around(rings, end) for end in ends)
    room = shapely.buffer(face, 2 / SUBPIXELS)
    shapely.prepare(room)
    for a, b in sorted(product(first, last), key=lambda hits: hits[0].far + hits[1].far):
        line = np.stack([_snapped(rings, a, SNAP_PX), *path[1:-1], _snapped(rings, b, SNAP_PX)])
        if (line[0] != line[-1]).any() and room.covers(shapely.LineString(line)):
            yield line


def _on_ring(rings: list[NDArray[np.float64]], hit: Hit, snap_px: float) -> NDArray[np.float64]:
    """Return the place of a hit, or the corner ``snap_px`` or less from it; it becomes a corner of the ring."""
    place = _snapped(rings, hit, snap_px)
    ring, after = rings[hit.ring], hit.segment + 1
    if (ring[hit.segment : after + 1] != place).any(axis=1).all():
        rings[hit.ring] = np.insert(ring, after, place, axis=0)
    return place


def _snapped(rings: list[NDArray[np.float64]], hit: Hit, snap_px: float) -> NDArray[np.float64]:
    """Return the corner of the rings that is ``snap_px`` or less from a hit, else its place."""
    corners = rings[hit.ring][hit.segment : hit.segment + 2]
    far = np.hypot(*(corners - hit.place).T)
    return corners[np.argmin(far)] if far.min() <= snap_px else rounded(hit.place)


def _nearest(rings: list[NDArray[np.float64]], end: NDArray[np.float64]) -> Hit:
    """Return where the rings are closest to ``end``."""
    hits = []
    for k, ring in enumerate(rings):
        place, far = _closest(ring, end)
        i = int(np.argmin(far))
        hits.append(Hit(float(far[i]), k, i, place[i]))
    return min(hits, key=lambda hit: hit.far)


def _around(rings: list[NDArray[np.float64]], end: NDArray[np.float64]) -> list[Hit]:
    """Return where each wall that is within LAND_PX of ``end`` is closest to it."""
    hits = []
    for k, ring in enumerate(rings):
        place, far = _closest(ring, end)
        hits += [Hit(float(far[i]), k, int(i), place[i]) for i in np.flatnonzero(far <= LAND_PX)]
    return hits


def _closest(ring: NDArray[np.float64], end: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the place of each segment that is closest to ``end``, (S, 2), and its distance, (S,)."""
    a, d = ring[:-1], np.diff(ring, axis=0)
    share = np.clip(((end - a) * d).sum(1) / np.maximum((d * d).sum(1), 1e-12), 0, 1)
    place = a + share[:, None] * d
    return place, np.hypot(*(place - end).T)


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
