"""Faces: the areas that lines enclose, and the building that owns each."""

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.pixels.places import SUBPIXELS

UNASSIGNED = -1  # no building owns the face
PENDING = -2  # a neighbour will own it; ``assign_pending`` says which


def enclosed_faces(lines: list[NDArray[np.float64]], *, grid_px: float = 1 / SUBPIXELS) -> NDArray[np.object_]:
    """Node the lines, (K, 2) each, and return the faces they enclose, (F,); corners are multiples of ``grid_px``."""
    drawn = [shapely.LineString(xy) for xy in lines if (xy != xy[0]).any()]
    noded = shapely.union_all(drawn, grid_size=grid_px)
    return shapely.get_parts(shapely.polygonize(shapely.get_parts(noded)))


def inner_points(faces: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return a point inside each face, (F, 2)."""
    return shapely.get_coordinates(shapely.point_on_surface(faces))


def assign_pending(
    faces: NDArray[np.object_], owners: NDArray[np.intp], homes: NDArray[np.intp] | None = None
) -> NDArray[np.intp]:
    """Return the owners, (F,), with each PENDING face given to a neighbour, or UNASSIGNED where none has an owner.

    A pending face goes to the owner of the neighbour with the longest shared wall, or to its own entry in ``homes``,
    (F,), where that building owns a neighbour.
    """
    tree, owners = shapely.STRtree(faces), owners.copy()
    pending = np.flatnonzero(owners == PENDING).tolist()
    while pending:
        still = []
        for i in pending:
            beside = np.sort(tree.query(faces[i], predicate="intersects"))
            beside = beside[owners[beside] >= 0]
            shared = shapely.length(shapely.intersection(faces[i], faces[beside]))
            if shared.max(initial=0.0) > 0:
                at_home = (shared > 0) & (owners[beside] == (UNASSIGNED if homes is None else homes[i]))
                owners[i] = owners[beside[np.argmax(at_home if at_home.any() else shared)]]
            else:
                still.append(i)
        if len(still) == len(pending):
            owners[still] = UNASSIGNED
            break
        pending = still
    return owners


def unions(faces: NDArray[np.object_], owners: NDArray[np.intp], count: int) -> NDArray[np.object_]:
    """Return the union of each owner's faces, (count,); empty where it has none or they are not one polygon."""
    merged = np.array([shapely.union_all(own) if len(own) != 1 else own[0] for own in by_owner(faces, owners, count)])
    merged[shapely.get_type_id(merged) != shapely.GeometryType.POLYGON] = shapely.Polygon()
    return merged


def by_owner[T: np.generic](values: NDArray[T], owners: NDArray[np.intp], count: int) -> list[NDArray[T]]:
    """Return the values of each of ``count`` owners, in order, without those that nobody owns."""
    order = np.argsort(owners, kind="stable")
    ends = np.searchsorted(owners[order], np.arange(count + 1))
    return np.split(values[order], ends)[1:-1]


def is_coverage(polygons: NDArray[np.object_]) -> bool:
    """Whether polygons are valid, do not overlap, and share their walls corner by corner."""
    return bool(shapely.is_valid(polygons).all() and shapely.coverage_is_valid(polygons))


def in_one_piece(
    faces: NDArray[np.object_], owners: NDArray[np.intp], home: NDArray[np.intp], places: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Take from each owner the faces that are cut off from its place; return the owners, (F,)."""
    out = owners.copy()
    for place, mine in zip(places, by_owner(np.arange(len(faces)), owners, len(places)), strict=True):
        parts = shapely.get_parts(shapely.union_all(faces[mine])) if len(mine) > 1 else []
        if len(parts) > 1:
            main = parts[np.argmax(shapely.contains_xy(parts, *place))]
            off = mine[~shapely.contains_xy(main, inner_points(faces[mine]))]
            out[off] = np.where(home[off] == UNASSIGNED, UNASSIGNED, PENDING)
    return out


def holder_of(polygons: NDArray[np.object_], points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the first polygon that holds each point, (F,), UNASSIGNED for none."""
    out = np.full(len(points), len(polygons))
    point, polygon = shapely.STRtree(polygons).query(shapely.points(points), predicate="within")
    np.minimum.at(out, point, polygon)
    return np.where(out == len(polygons), UNASSIGNED, out)
