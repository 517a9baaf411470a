"""Pixel-edge contours: the exact outline of the inside pixels, and what is left of it within a tolerance."""

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray

from geoseg.vector.ground import GroundFrame
from geoseg.vector.pixels.components import Components, component_at
from geoseg.vector.pixels.rings import Rings
from geoseg.vector.pixels.runs import Runs, run_at
from geoseg.vector.pixels.subpixel import AHEAD, LEFT, OUT, doubled, signed_area
from geoseg.vector.tiles.outlines import ComponentTable, Outlines

DEFAULT_TOLERANCE_PX = 2.0  # takes the steps out of slanted walls: a third of the vertices for 0.001 of IoU


def trace_edges(runs: Runs, components: Components) -> Rings:
    """Trace the pixel edges around each component; only corners become points.

    Needs no pixels, so memory grows with the runs. Each ring follows the pixels of its own component and no others;
    where one touches itself in a corner, a hole touches its shell there, so polygons made from the rings are valid.
    """
    return Rings(*_trace_edges(runs.start, runs.first, runs.end, components.of_run, len(components)))


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
    out = _shifted(polygons, aside)
    for tolerance in np.unique(tolerance_px[tolerance_px > 0]):
        same = tolerance_px == tolerance
        out[same] = shapely.coverage_simplify(out[same], tolerance)
    return _shifted(out, -aside)


def _shifted(polygons: NDArray[np.object_], by: NDArray[np.float64]) -> NDArray[np.object_]:
    each = np.repeat(by, shapely.get_num_coordinates(polygons), axis=0)
    return shapely.transform(polygons, lambda xy: xy + each)


@njit(cache=True, nogil=True)
def _follow_edges(
    start: NDArray[np.int64],
    first: NDArray[np.int32],
    end: NDArray[np.int32],
    of_run: NDArray[np.int32],
    seen: NDArray[np.bool_],
    run0: int,
    row0: int,
    xy: NDArray[np.float32],
    n: int,
) -> int:
    """Write the ring that begins at the left side of a run to xy[n:]; return its end, or -1 where xy is too short."""
    own, col0 = of_run[run0], first[run0]
    row, col, side = row0, col0, LEFT
    while True:
        if side == LEFT:
            seen[run_at(start, first, row, col)] = True
        here_row, here_col, here_side = row, col, side
        ahead_row, ahead_col = row + AHEAD[side, 1], col + AHEAD[side, 0]
        beyond_row, beyond_col = ahead_row + OUT[side, 1], ahead_col + OUT[side, 0]
        if component_at(start, first, end, of_run, beyond_row, beyond_col) == own:
            row, col, side = beyond_row, beyond_col, (side + 3) % 4
        elif component_at(start, first, end, of_run, ahead_row, ahead_col) == own:
            row, col = ahead_row, ahead_col
        else:
            side = (side + 1) % 4
        if side != here_side:
            if n == len(xy):
                return -1
            xy[n, 0] = (here_col - col0) + 0.5 + 0.5 * (OUT[here_side, 0] + AHEAD[here_side, 0])
            xy[n, 1] = (here_row - row0) + 0.5 + 0.5 * (OUT[here_side, 1] + AHEAD[here_side, 1])
            n += 1
        if row == row0 and col == col0 and side == LEFT:
            return n


@njit(cache=True, nogil=True)
def _trace_edges(
    start: NDArray[np.int64],
    first: NDArray[np.int32],
    end: NDArray[np.int32],
    of_run: NDArray[np.int32],
    components: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int32], NDArray[np.float64], NDArray[np.int32]]:
    seen = np.zeros(len(first), np.bool_)
    xy = np.empty((4096, 2), np.float32)
    ends = np.zeros(len(first) + 1, np.int64)
    parent = np.full(len(first), -1, np.int32)
    area = np.empty(len(first))
    first_pixel = np.empty((len(first), 2), np.int32)
    shell = np.full(components, -1, np.int32)
    rings = 0
    for row in range(len(start) - 1):
        for k in range(start[row], start[row + 1]):
            if seen[k]:
                continue
            begin = ends[rings]
            stop = _follow_edges(start, first, end, of_run, seen, k, row, xy, begin)
            while stop < 0:
                xy = doubled(xy)
                stop = _follow_edges(start, first, end, of_run, seen, k, row, xy, begin)
            if shell[of_run[k]] < 0:  # the first pixel of a component is on its shell
                shell[of_run[k]] = rings
            else:
                parent[rings] = shell[of_run[k]]
            area[rings] = signed_area(xy[begin:stop])
            first_pixel[rings, 0], first_pixel[rings, 1] = row, first[k]
            rings += 1
            ends[rings] = stop
    return (
        xy[: ends[rings]].copy(),
        ends[: rings + 1].copy(),
        parent[:rings].copy(),
        area[:rings].copy(),
        first_pixel[:rings].copy(),
    )
