"""Shared walls: where buildings touch, one line is fitted to their border, and both use it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import cos, pi, sin

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray

from geoseg.vector.adjacent.traced_borders import TracedBorders
from geoseg.vector.fit.costs import MISFIT_COST, NOISE_RANGE, Costs
from geoseg.vector.fit.ring import best_angle, find_breaks, find_vertices, sample_arc, scatter
from geoseg.vector.fit.walls import best_walls, regular_axes

SHORTEST_PX = 6.0  # a shorter border has no direction of its own: it is straight
NEAR_PX = 8.0  # two walls meet in one corner within this of where one ends, else in a step of two
NODE_PULL = 0.05  # weight of a node's pixel against the lines that should meet there
BORDER_COSTS = Costs(MISFIT_COST / NOISE_RANGE, 3.0)  # watersheds wobble, and walls between buildings are plain
SAME_WALL = 0.03  # radians between walls of one direction: 3 px on a 100 px wall
OTHER_WALL = 0.12  # radians from which walls have a direction of their own
STEEP = 0.3  # sine of the angle between lines above which they meet well


@dataclass(frozen=True, slots=True, eq=False)
class Border:
    """The border between two buildings, in pixel coordinates (col, row) of the scene."""

    fitted: NDArray[np.float64]
    """Corners of the fitted line, (K, 2)."""
    traced: NDArray[np.float64]
    """Points of the traced line, (K, 2); an end on the outline continues to the centre of an outside pixel."""
    ends_on_outline: tuple[bool, bool]
    """Whether the first and the last point belong on the outline of the block; other ends are nodes in it."""

    def moved(self, by: NDArray[np.float64]) -> "Border":
        """Return the border moved by (x, y)."""
        return replace(self, fitted=self.fitted + by, traced=self.traced + by)


def fit_borders(
    lines: TracedBorders, directions: Sequence[float], *, scale: NDArray[np.float64], penalty: float
) -> list[Border]:
    """Fit a few straight walls to each line of a block, in the lines' pixel coordinates.

    directions: of the block's outline walls in square pixels, radians, the strongest first.
    scale: (2,) factors of x and y that make pixels square.
    penalty: corners that a wall off the first direction must save.

    Where three or more borders meet, the point nearest to all their lines is their common end.
    """
    axes = np.array(list(directions) or [0.0])
    points = [lines.points(k).astype(np.float64) for k in range(len(lines))]
    paths = [_fit_line(xy * scale, axes, penalty) for xy in points]
    ends = defaultdict(list)
    for k, xy in enumerate(points):
        if (xy[0] != xy[-1]).any():
            for at in (0, -1):
                if lines.inner[k, at]:
                    ends[tuple(xy[at] * scale)].append((k, at))
    for node, incident in ends.items():
        place = _meeting(np.array(node), [(paths[k][at], paths[k][1 if at == 0 else -2]) for k, at in incident])
        for k, at in incident:
            paths[k][at] = place
    borders = []
    for k, xy in enumerate(points):
        first, last = (~lines.inner[k] & (xy[0] != xy[-1]).any()).tolist()
        traced = [*lines.beyond[k, :1][:first], *xy, *lines.beyond[k, 1:][:last]]
        borders.append(Border(paths[k] / scale, np.array(traced), (first, last)))
    return borders


def _meeting(
    node: NDArray[np.float64], lines: list[tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> NDArray[np.float64]:
    """Return the point with the least squared distance to lines through (end, point before it) and to ``node``."""
    left, right = NODE_PULL * np.eye(2), NODE_PULL * node
    for end, before in lines:
        along = end - before
        length = np.hypot(*along)
        if length > 0:
            normal = np.array([-along[1], along[0]]) / length
            left = left + np.outer(normal, normal)
            right = right + normal * (normal @ end)
    return np.linalg.solve(left, right)


@njit(cache=True, nogil=True)
def _fit_line(points: NDArray[np.float64], directions: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """Return the corners (K, 2), K >= 2, of the walls fitted to traced ``points``, from end to end."""
    last = len(points) - 1
    closed = points[0, 0] == points[last, 0] and points[0, 1] == points[last, 1]
    if last < SHORTEST_PX:
        return points.copy() if closed else points[::last].copy()
    ring = sample_arc(points)
    axes = regular_axes(directions, penalty)
    breaks = find_breaks(ring, find_vertices(ring))
    walls = best_walls(ring, breaks, axes, BORDER_COSTS)
    count, n = len(walls.axis), len(ring.xy)
    angle, offset = np.empty(count), np.empty(count)
    for i in range(count):
        s = scatter(ring, walls.begin[i], walls.end[i])
        angle[i] = axes.angle[walls.axis[i]] if walls.axis[i] < len(axes.angle) else best_angle(s)
        offset[i] = cos(angle[i]) * s.y - sin(angle[i]) * s.x
    corners = np.empty((2 * count + 2, 2))
    corners[0, 0], corners[0, 1] = _onto(ring.xy[0], angle[0], offset[0])
    k = 1
    for i in range(count - 1):
        at = ring.xy[walls.end[i]]
        sine = sin(angle[i + 1] - angle[i])
        if abs(sine) > STEEP:
            corners[k, 0] = (offset[i] * cos(angle[i + 1]) - offset[i + 1] * cos(angle[i])) / sine
            corners[k, 1] = (offset[i] * sin(angle[i + 1]) - offset[i + 1] * sin(angle[i])) / sine
            if (corners[k, 0] - at[0]) ** 2 + (corners[k, 1] - at[1]) ** 2 < NEAR_PX**2:
                k += 1
                continue
        corners[k, 0], corners[k, 1] = _onto(at, angle[i], offset[i])
        corners[k + 1, 0], corners[k + 1, 1] = _onto(at, angle[i + 1], offset[i + 1])
        k += 2
    corners[k, 0], corners[k, 1] = _onto(ring.xy[n - 1], angle[count - 1], offset[count - 1])
    if closed:
        corners[k, 0], corners[k, 1] = corners[0, 0], corners[0, 1]
    return corners[: k + 1].copy()


@njit(cache=True, nogil=True)
def _onto(point: NDArray[np.float64], angle: float, offset: float) -> tuple[float, float]:
    """Project a point onto the line with this angle and offset."""
    off = offset - (cos(angle) * point[1] - sin(angle) * point[0])
    return point[0] - sin(angle) * off, point[1] + cos(angle) * off


def wall_directions(polygon: shapely.Polygon) -> list[float]:
    """Return up to three directions of a polygon's walls, radians modulo 90 degrees, the longest in sum first."""
    rings = shapely.get_rings(polygon)
    edges = np.concatenate([np.diff(shapely.get_coordinates(ring), axis=0) for ring in rings])
    length = np.hypot(*edges.T)
    angle = np.arctan2(edges[:, 1], edges[:, 0]) % (pi / 2)
    order = np.argsort(angle, kind="stable")
    angle, length = angle[order], length[order]
    found: list[float] = []
    while len(angle) and len(found) < 3:
        around = np.concatenate([angle - pi / 2, angle, angle + pi / 2])
        sums = np.concatenate([[0.0], np.cumsum(np.tile(length, 3))])
        ends = [np.searchsorted(around, angle + off) for off in (-SAME_WALL, SAME_WALL)]
        found.append(float(angle[np.argmax(sums[ends[1]] - sums[ends[0]])]))
        other = np.abs((angle - found[-1] + pi / 4) % (pi / 2) - pi / 4) >= OTHER_WALL
        angle, length = angle[other], length[other]
    return found
