"""Pixel-edge contours: the exact outline of the inside pixels, and what is left of it within a tolerance."""

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.ground import GroundFrame
from geoseg.vector.pixels.arcs import find_arcs, find_corners
from geoseg.vector.pixels.components import Components
from geoseg.vector.pixels.patch_rings import RaggedPolygons, find_rings
from geoseg.vector.pixels.places import moved
from geoseg.vector.pixels.rings import Rings
from geoseg.vector.pixels.runs import Runs
from geoseg.vector.pixels.subpixel import signed_area
from geoseg.vector.tiles.outlines import ComponentTable, Outlines

DEFAULT_TOLERANCE_PX = 2.0  # takes the steps out of slanted walls: a third of the vertices for 0.001 of IoU


def trace_edges(runs: Runs, components: Components) -> Rings:
    """Trace the pixel edges around each component; only corners become points.

    Needs no pixels, so memory grows with the runs. Each ring follows the pixels of its own component and no others;
    where one touches itself in a corner, a hole touches its shell there, so polygons made from the rings are valid.
    A ring begins at the corner that is first in raster order, a hole at the one before that, whatever else is there.
    """
    closed = _closed_rings(runs, components)
    count = len(closed.ends) - 1
    is_shell = np.zeros(count, np.bool_)
    is_shell[closed.shells[:-1]] = True
    begin, first_pixel, area = _begins(closed.xy, closed.ends, is_shell)
    order = np.lexsort((first_pixel[:, 1], first_pixel[:, 0]))
    place = np.empty(count, np.int32)
    place[order] = np.arange(count)
    shell = place[np.repeat(closed.shells[:-1], np.diff(closed.shells))]
    parent = np.where(is_shell, np.int32(-1), shell)
    length = np.diff(closed.ends)[order] - 1
    start = np.concatenate([np.zeros(1, np.int64), np.cumsum(length)])
    xy = _opened(closed.xy, closed.ends[:-1][order], begin[order], start, first_pixel[order])
    return Rings(xy, start, parent[order], area[order], first_pixel[order])


def _closed_rings(runs: Runs, components: Components) -> RaggedPolygons:
    """Return the rings of all components; what they were found from is not held any longer."""
    corners = find_corners(runs, components.of_run)
    found = find_rings(corners, find_arcs(corners, runs, components.of_run), len(components))
    return found.polygons(slice(0, len(found)), Affine.identity())


def edge_outlines(
    rings: Rings,
    wanted: NDArray[np.bool_],
    frame: GroundFrame,
    components: ComponentTable,
    *,
    tolerance_m: float | None,
) -> Outlines:
    """Return one polygon for each wanted shell of ``trace_edges``, simplified; see ``simplify_apart``.

    tolerance_m: None means DEFAULT_TOLERANCE_PX, 0 keeps the exact edges. components: what the polygons are drawn of.
    """
    pixel_m = frame.pixel_sizes_m(components.first_pixel.astype(np.float64))[:, ::-1]
    contours = rings.polygons(wanted)
    tolerance_px = (
        np.full(len(components), DEFAULT_TOLERANCE_PX)
        if tolerance_m is None
        else tolerance_m / np.sqrt(pixel_m.prod(axis=1))
    )
    polygons = simplify_apart(contours, tolerance_px)
    areas = shapely.area(contours), shapely.area(polygons)
    return Outlines(
        polygons=polygons,
        contours=contours,
        iou=np.minimum(*areas) / np.maximum(*areas),  # at least so much, but for what was cut here and added there
        pixel_m=pixel_m,
        bound_m=np.full(len(components), np.inf),
        components=components,
        fit=None,
    )


def simplify_apart(polygons: NDArray[np.object_], tolerance_px: NDArray[np.float64]) -> NDArray[np.object_]:
    """Simplify each polygon for itself: a corner goes where its triangle is smaller than its tolerance² (N,).

    Visvalingam and Whyatt (1993), so that no ring crosses another of its polygon. Coordinates are whole numbers.
    """
    box = shapely.bounds(polygons)
    width = box[:, 2] - box[:, 0] + 1
    aside = np.stack([np.cumsum(width) - width - box[:, 0], -box[:, 1]], axis=1)  # one coverage, nothing in it touches
    out = moved(polygons, aside)
    for tolerance in np.unique(tolerance_px[tolerance_px > 0]):
        same = tolerance_px == tolerance
        out[same] = shapely.coverage_simplify(out[same], tolerance)
    return moved(out, -aside)


@njit(cache=True, nogil=True)
def _begins(
    xy: NDArray[np.float64], ends: NDArray[np.int64], is_shell: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """Return the corner at which each closed ring begins, its first pixel, and its signed area."""
    count = len(is_shell)
    begin, first_pixel, area = np.empty(count, np.int64), np.empty((count, 2), np.int32), np.empty(count)
    for k in range(count):
        low, high = ends[k], ends[k + 1] - 1
        top = low
        for i in range(low + 1, high):
            if xy[i, 1] < xy[top, 1] or (xy[i, 1] == xy[top, 1] and xy[i, 0] < xy[top, 0]):
                top = i
        begin[k] = top if is_shell[k] else (top if top > low else high) - 1  # to the right of a hole's first row
        first_pixel[k, 0], first_pixel[k, 1] = xy[begin[k], 1], xy[begin[k], 0]
        area[k] = signed_area(xy[low:high])
    return begin, first_pixel, area


@njit(cache=True, nogil=True)
def _opened(
    xy: NDArray[np.float64],
    low: NDArray[np.int64],
    begin: NDArray[np.int64],
    start: NDArray[np.int64],
    first_pixel: NDArray[np.int32],
) -> NDArray[np.float32]:
    """Return the rings from ``begin`` on, each relative to its first pixel and without its first corner again."""
    out = np.empty((start[-1], 2), np.float32)
    for k in range(len(low)):
        length = start[k + 1] - start[k]
        for i in range(length):
            at = low[k] + (begin[k] - low[k] + i) % length
            out[start[k] + i, 0] = xy[at, 0] - first_pixel[k, 1]
            out[start[k] + i, 1] = xy[at, 1] - first_pixel[k, 0]
    return out
