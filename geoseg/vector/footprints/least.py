"""Least sizes: what is settled loses the holes and the polygons that came out smaller than asked for.

``wanted_rings`` leaves out what is too small before anything is fitted; here the rest is, as fits, cuts along borders
and trimming change areas. Areas are measured as those that are written.
"""

import numpy as np
import shapely

from geoseg.vector.fit.fit import UNCHANGED
from geoseg.vector.ground import GroundFrame
from geoseg.vector.tiles.outlines import Outlines


def without_small(outlines: Outlines, frame: GroundFrame, *, min_area_m2: float, min_hole_m2: float) -> Outlines:
    """Return settled outlines with smaller holes filled, then without smaller polygons.

    A polygon that stands in a hole that is filled goes too: whatever stands there is among ``outlines``.
    """
    if min_hole_m2 > 0:
        outlines = _without_small_holes(outlines, frame, min_hole_m2)
    if min_area_m2 > 0:
        outlines = outlines.take(frame.areas_m2(outlines.polygons) >= min_area_m2)
    return outlines


def _without_small_holes(outlines: Outlines, frame: GroundFrame, min_hole_m2: float) -> Outlines:
    holed = np.flatnonzero(shapely.get_num_interior_rings(outlines.polygons))
    rings, owner = shapely.get_rings(outlines.polygons[holed], return_index=True)
    shell = np.diff(owner, prepend=-1) > 0
    holes = shapely.polygons(rings)
    small = ~shell & (frame.areas_m2(holes) < min_hole_m2)
    if not small.any():
        return outlines
    polygons, changed = outlines.polygons.copy(), np.zeros(len(outlines), np.bool_)
    for k in np.unique(owner[small]):
        mine = owner == k
        polygons[holed[k]] = shapely.Polygon(rings[mine & shell][0], rings[mine & ~shell & ~small])
        changed[holed[k]] = True
    inside = shapely.STRtree(shapely.point_on_surface(outlines.polygons)).query(holes[small], predicate="contains")[1]
    stays = np.ones(len(outlines), np.bool_)
    stays[inside] = False
    kept = np.zeros(len(outlines), np.bool_) if outlines.fit is None else outlines.fit.status == UNCHANGED
    return outlines.redrawn(polygons, kept, changed).take(stays)
