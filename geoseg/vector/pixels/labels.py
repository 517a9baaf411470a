"""Labels: the polygons of numbered areas, along the edges of their pixels."""

from dataclasses import replace

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geoseg.vector.pixels.arcs import find_arcs, find_corners
from geoseg.vector.pixels.components import find_components
from geoseg.vector.pixels.patch_rings import find_rings
from geoseg.vector.pixels.runs import find_runs


def label_polygons(
    labels: NDArray[np.int32], corner: tuple[int, int], transform: Affine
) -> tuple[NDArray[np.int32], NDArray[np.object_]]:
    """Return the labels there are, ascending, (N,), and what each covers, as MultiPolygons, (N,); 0 is no label.

    corner: row and column of the first pixel, transform: of the scene's pixel corners (col, row) to (x, y). A label
    that does not touch the array's edges, but where they are the scene's, gets the same polygon from any array that
    holds it and the pixels around it; neighbours have the vertices of their border in common.
    """
    runs = find_runs(labels, labels != 0)
    components = find_components(runs)
    arcs = find_arcs(corners := find_corners(runs, components.of_run), runs, components.of_run)
    rings = find_rings(corners, arcs, len(components))
    rings = replace(rings, xy=rings.xy + np.array(corner[::-1], np.int32))
    value = labels[*components.first_pixel.T]
    order = np.argsort(value, kind="stable")
    found, at = np.unique(value[order], return_inverse=True)
    parts = rings.polygons(slice(0, len(components)), transform).geometries()[order]
    return found, shapely.multipolygons(parts, indices=at) if len(found) else np.empty(0, object)
