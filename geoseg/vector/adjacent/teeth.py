"""Teeth: thin tips where walls of touching buildings cross at a small angle go to the neighbour, or to nobody."""

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.adjacent.edges import edges_of
from geoseg.vector.adjacent.faces import (
    PENDING,
    UNASSIGNED,
    assign_pending,
    enclosed_faces,
    holder_of,
    inner_points,
    unions,
)
from geoseg.vector.pixels.cuts import NO_CUTS, on_cut

SHARP = np.radians(40)  # angle between the walls of a tip
WIDEST = 2.0  # units across the foot of a tooth: what is wider is part of the building


def without_teeth(
    polygons: NDArray[np.object_], kept: NDArray[np.bool_], cuts: NDArray[np.object_] = NO_CUTS
) -> NDArray[np.object_]:
    """Return a coverage, (M,), in units of detail, without the teeth of buildings that are not ``kept``, (M,).

    A tooth ends where the shorter of its two walls does. It goes to the neighbour that it shares most wall with, and
    is left out where it stands free. cuts: lines on which a tip is none, see ``cut_lines``.
    """
    teeth = _teeth(polygons[~kept], cuts)
    if not teeth:
        return polygons
    rings = [shapely.get_coordinates(ring) for ring in shapely.get_rings(polygons)]
    faces = enclosed_faces([*rings, *(shapely.get_coordinates(tooth) for tooth in teeth)])
    points = inner_points(faces)
    holder = holder_of(polygons, points)
    of_tooth = (holder_of(np.array(teeth), points) != UNASSIGNED) & (holder != UNASSIGNED)
    owners = assign_pending(faces, np.where(of_tooth, PENDING, holder))
    owners[of_tooth & (owners == holder)] = UNASSIGNED  # a wall with a neighbour is longer than the foot
    return unions(faces, owners, len(polygons))


def _teeth(polygons: NDArray[np.object_], cuts: NDArray[np.object_]) -> list[shapely.Polygon]:
    """Return the triangles of the thin tips of polygons, (M,)."""
    walls, building, start, _ = edges_of(polygons)
    xy = walls[:, :2]
    before = np.arange(len(walls)) - 1
    before[start[:-1]] = start[1:] - 1
    back, ahead = xy[before] - xy, walls[:, 2:] - xy
    near, far = np.hypot(*back.T), np.hypot(*ahead.T)
    length = np.minimum(near, far)
    angle = np.arccos(np.clip((back * ahead).sum(axis=1) / (near * far), -1, 1))
    thin = (angle < SHARP) & (2 * length * np.sin(angle / 2) < WIDEST)
    thin[thin] = ~on_cut(xy[thin], cuts)
    found = []
    for k in np.flatnonzero(thin):
        foot = [xy[k] + length[k] * side[k] / size[k] for side, size in ((back, near), (ahead, far))]
        tooth = shapely.Polygon([xy[k], *foot])
        if tooth.is_valid and polygons[building[k]].contains(tooth.representative_point()):
            found.append(tooth)
    return found
