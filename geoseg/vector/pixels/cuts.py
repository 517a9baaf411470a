"""Cuts: where a contour runs along pixels without data, there the scene or the AOI ends, and the building goes on.

::

    +-----------+ scene         a wall along the scene's edge would tell of a right angle that no building has;
    |       a---b               a to b and c to d are walls, b to c is a cut, which is drawn as straight as it is
    |       |   |               and tells nothing of the building
    |       d---c
    +-----------+
"""

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.pixels.places import SUBPIXELS
from geoseg.vector.pixels.rings import Rings

STEP_PX = 0.75  # the steps of a slanted cut along pixels are no part of it
NO_CUTS = np.empty(0, object)
REACH_PX = 16.0  # farther than a wall can stray over a cut


def find_cuts(probability: NDArray[np.uint8], rings: Rings) -> NDArray[np.bool_]:
    """Return which points of the rings lie between a pixel with data and one without, or the end of the raster, (P,).

    probability: (H, W) bytes, 0 = nodata. rings: traced in this raster, in its own pixels.
    """
    return _find_cuts(probability, rings.xy, rings.start, rings.first_pixel)


@njit(cache=True, nogil=True)
def _find_cuts(
    probability: NDArray[np.uint8],
    xy: NDArray[np.float32],
    start: NDArray[np.int64],
    first_pixel: NDArray[np.int32],
) -> NDArray[np.bool_]:
    height, width = probability.shape
    out = np.zeros(len(xy), np.bool_)
    for ring in range(len(start) - 1):
        for k in range(start[ring], start[ring + 1]):
            x, y = first_pixel[ring, 1] + xy[k, 0], first_pixel[ring, 0] + xy[k, 1]
            across, down = x == np.floor(x), y == np.floor(y)
            if across == down:  # not on an edge between two pixels
                continue
            col, row = int(np.floor(x)), int(np.floor(y))
            for r, c in ((row, col), (row - down, col - across)):
                out[k] |= not (0 <= r < height and 0 <= c < width) or probability[r, c] == 0
    return out


def cut_lines(rings: Rings, cut: NDArray[np.bool_], chosen: NDArray[np.intp]) -> NDArray[np.object_]:
    """Return the cuts of the chosen rings as lines in pixel coordinates (col, row), (L,), building to the left."""
    lines = []
    for k in chosen:
        own = slice(rings.start[k], rings.start[k + 1])
        marked, xy = cut[own], rings.xy[own].astype(np.float64) + rings.first_pixel[k, ::-1]
        if marked.all():
            lines.append(np.concatenate([xy, xy[:1]]))
            continue
        first = int(np.argmin(marked))  # not within a cut
        marked, xy = np.roll(marked, -first), np.roll(xy, -first, axis=0)
        ends = np.flatnonzero(np.diff(marked, append=False))
        lines += [xy[a + 1 : b + 1] for a, b in ends.reshape(-1, 2)]
    return np.array([shapely.LineString(xy) for xy in lines if len(xy) > 1], object)


def straight_on(cuts: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return the cuts, (L,), without the steps of pixels, each going straight on by REACH_PX at its ends."""
    made = []
    for line in shapely.simplify(cuts, STEP_PX):
        xy = shapely.get_coordinates(line)
        if (xy[0] != xy[-1]).any():
            out = [xy[a] + (xy[a] - xy[b]) * (REACH_PX / np.hypot(*(xy[a] - xy[b]))) for a, b in ((0, 1), (-1, -2))]
            xy = np.array([out[0], *xy, out[1]])
        made.append(shapely.LineString(xy))
    return np.array(made, object)


def beyond(cuts: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return the ground on the right of each cut within REACH_PX, (L,)."""
    return np.asarray(shapely.buffer(cuts, -REACH_PX, single_sided=True, join_style="mitre"))


def on_cut(xy: NDArray[np.float64], cuts: NDArray[np.object_], far: float = 1 / SUBPIXELS) -> NDArray[np.bool_]:
    """Return which points, (P, 2), are within ``far`` of one of the cuts, (P,)."""
    if len(cuts) == 0:
        return np.zeros(len(xy), np.bool_)
    return np.asarray(shapely.dwithin(shapely.points(xy), shapely.multilinestrings(cuts), far))


def onto_cut(xy: NDArray[np.float64], cuts: NDArray[np.object_], far: float) -> NDArray[np.float64]:
    """Return the points, (P, 2), with those within ``far`` of a cut on it."""
    near = on_cut(xy, cuts, far)
    if not near.any():
        return xy
    out, lines = xy.copy(), shapely.shortest_line(shapely.points(xy[near]), shapely.multilinestrings(cuts))
    out[near] = shapely.get_coordinates(lines)[1::2]
    return out
