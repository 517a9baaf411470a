"""Faces: what lines enclose, and whose it is."""

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.pixels.subpixel import SUBPIXELS

NOBODYS = -1
ORPHAN = -2  # belongs to a neighbour, which is not known yet


def enclosed(lines: list[NDArray[np.float64]]) -> NDArray[np.object_]:
    """Return the faces that lines, (K, 2) each, enclose once they are noded; corners are whole 1024ths."""
    drawn = [shapely.LineString(xy) for xy in lines if (xy != xy[0]).any()]
    noded = shapely.union_all(drawn, grid_size=1 / SUBPIXELS)
    return shapely.get_parts(shapely.polygonize(shapely.get_parts(noded)))


def inner_points(faces: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return a place within each face, (F, 2)."""
    return shapely.get_coordinates(shapely.point_on_surface(faces))


def adopted(
    faces: NDArray[np.object_], owners: NDArray[np.intp], homes: NDArray[np.intp] | None = None
) -> NDArray[np.intp]:
    """Return the owners once each ORPHAN has one, and those that touch nobody's face are NOBODYS.

    Its owner is that of the neighbour with the longest wall, or one of ``homes`` where that is a neighbour's.
    """
    tree, owners = shapely.STRtree(faces), owners.copy()
    orphans = np.flatnonzero(owners == ORPHAN).tolist()
    while orphans:
        still = []
        for i in orphans:
            beside = np.sort(tree.query(faces[i], predicate="intersects"))
            beside = beside[owners[beside] >= 0]
            shared = shapely.length(shapely.intersection(faces[i], faces[beside]))
            if shared.max(initial=0.0) > 0:
                at_home = (shared > 0) & (owners[beside] == (NOBODYS if homes is None else homes[i]))
                owners[i] = owners[beside[np.argmax(at_home if at_home.any() else shared)]]
            else:
                still.append(i)
        if len(still) == len(orphans):
            owners[still] = NOBODYS
            break
        orphans = still
    return owners


def unions(faces: NDArray[np.object_], owners: NDArray[np.intp], count: int) -> NDArray[np.object_]:
    """Return what each of ``count`` owners has as one polygon, (count,); empty where that is nothing or in pieces."""
    merged = np.array([shapely.union_all(own) if len(own) != 1 else own[0] for own in by_owner(faces, owners, count)])
    merged[shapely.get_type_id(merged) != shapely.GeometryType.POLYGON] = shapely.Polygon()
    return merged


def by_owner[T: np.generic](values: NDArray[T], owners: NDArray[np.intp], count: int) -> list[NDArray[T]]:
    """Return the values of each of ``count`` owners, in order; those of nobody are left out."""
    order = np.argsort(owners, kind="stable")
    ends = np.searchsorted(owners[order], np.arange(count + 1))
    return np.split(values[order], ends)[1:-1]


def tile(polygons: NDArray[np.object_]) -> bool:
    """Whether polygons are valid, without overlap, and share their walls corner by corner."""
    return bool(shapely.is_valid(polygons).all() and shapely.coverage_is_valid(polygons))
