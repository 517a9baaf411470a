"""Sub-pixel contours: where the probability crosses the threshold between pixel centres, as closed rings."""

import numpy as np
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.pixels.places import SUBPIXELS
from geoseg.vector.pixels.rings import Rings
from geoseg.vector.pixels.runs import Runs, run_at


def trace_rings(probability: NDArray[np.uint8], runs: Runs, low: int) -> Rings:
    """Trace the boundary between bytes >= ``low`` and the rest (marching squares; inside is 4-connected).

    probability: C-contiguous (H, W); runs: its runs at ``low``. A point lies on each edge between an inside and an
    outside pixel, at the linear crossing of low - 1/2; half-way where the outside is nodata or the end of the raster.
    Rings never touch each other or themselves.
    """
    return Rings(*_trace(probability, low, runs.start, runs.first))


# Sides of a pixel: right, bottom, left, top. Walking with the inside on the right hand, OUT points to the outside pixel
# and AHEAD to the next pixel along the boundary, as (col, row).
OUT = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
AHEAD = np.array([[0, 1], [-1, 0], [0, -1], [1, 0]])
LEFT = 2


@njit(cache=True, nogil=True)
def _inside(probability: NDArray[np.uint8], low: int, row: int, col: int) -> bool:
    height, width = probability.shape
    return 0 <= row < height and 0 <= col < width and probability[row, col] >= low


@njit(cache=True, nogil=True)
def _crossing(probability: NDArray[np.uint8], low: int, row: int, col: int, side: int) -> float:
    """Share of the way from the pixel's centre to its neighbour at which the contour lies."""
    height, width = probability.shape
    out_row, out_col = row + OUT[side, 1], col + OUT[side, 0]
    if not (0 <= out_row < height and 0 <= out_col < width) or probability[out_row, out_col] == 0:
        return 0.5
    here, there = float(probability[row, col]), float(probability[out_row, out_col])
    return np.rint((here - (low - 0.5)) / (here - there) * SUBPIXELS) / SUBPIXELS


@njit(cache=True, nogil=True)
def _follow(
    probability: NDArray[np.uint8],
    low: int,
    start: NDArray[np.int64],
    first: NDArray[np.int32],
    ring_of_run: NDArray[np.int32],
    row0: int,
    col0: int,
    ring: int,
    xy: NDArray[np.float32],
    n: int,
) -> int:
    """Write the ring that begins at the left side of a pixel to xy[n:]; return its end, or -1 where xy is too short."""
    row, col, side = row0, col0, LEFT
    while True:
        if n == len(xy):
            return -1
        share = _crossing(probability, low, row, col, side)
        xy[n, 0] = (col - col0) + 0.5 + share * OUT[side, 0]
        xy[n, 1] = (row - row0) + 0.5 + share * OUT[side, 1]
        n += 1
        if side == LEFT:
            ring_of_run[run_at(start, first, row, col)] = ring
        ahead_row, ahead_col = row + AHEAD[side, 1], col + AHEAD[side, 0]
        if not _inside(probability, low, ahead_row, ahead_col):
            side = (side + 1) % 4
        elif not _inside(probability, low, ahead_row + OUT[side, 1], ahead_col + OUT[side, 0]):
            row, col = ahead_row, ahead_col
        else:
            row, col = ahead_row + OUT[side, 1], ahead_col + OUT[side, 0]
            side = (side + 3) % 4
        if row == row0 and col == col0 and side == LEFT:
            return n


@njit(cache=True, nogil=True)
def doubled(xy: NDArray) -> NDArray:
    """Copy of points with room for twice as many; to assign slices takes numba three seconds more to compile."""
    longer = np.empty((2 * len(xy), 2), xy.dtype)
    for i in range(len(xy)):
        longer[i, 0], longer[i, 1] = xy[i, 0], xy[i, 1]
    return longer


@njit(cache=True, nogil=True)
def signed_area(xy: NDArray[np.floating]) -> float:
    """Signed area of a closed ring of points, positive for shells."""
    total = 0.0
    for i in range(len(xy)):
        j = i + 1 if i + 1 < len(xy) else 0
        total += float(xy[i, 0]) * float(xy[j, 1]) - float(xy[j, 0]) * float(xy[i, 1])
    return 0.5 * total


@njit(cache=True, nogil=True)
def _trace(
    probability: NDArray[np.uint8], low: int, start: NDArray[np.int64], first: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int32], NDArray[np.float64], NDArray[np.int32]]:
    ring_of_run = np.full(len(first), -1, np.int32)
    xy = np.empty((4096, 2), np.float32)
    ends = np.zeros(len(first) + 1, np.int64)
    parent = np.full(len(first), -1, np.int32)
    area = np.empty(len(first))
    first_pixel = np.empty((len(first), 2), np.int32)
    rings = 0
    for row in range(len(start) - 1):
        for k in range(start[row], start[row + 1]):
            if ring_of_run[k] >= 0:
                continue
            begin = ends[rings]
            end = _follow(probability, low, start, first, ring_of_run, row, first[k], rings, xy, begin)
            while end < 0:
                xy = doubled(xy)
                end = _follow(probability, low, start, first, ring_of_run, row, first[k], rings, xy, begin)
            area[rings] = signed_area(xy[begin:end])
            if area[rings] < 0:  # the run to the left belongs to the shell, or to another hole of it
                left = ring_of_run[k - 1]
                parent[rings] = parent[left] if parent[left] >= 0 else left
            first_pixel[rings, 0], first_pixel[rings, 1] = row, first[k]
            rings += 1
            ends[rings] = end
    return (
        xy[: ends[rings]].copy(),
        ends[: rings + 1].copy(),
        parent[:rings].copy(),
        area[:rings].copy(),
        first_pixel[:rings].copy(),
    )
