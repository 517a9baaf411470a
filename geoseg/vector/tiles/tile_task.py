"""Window: the outlines that one task draws of its part of a scene, and which of them others may still reach into."""

from dataclasses import dataclass, replace

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray

from geoseg.values.grid import Box
from geoseg.vector.adjacent.overlaps import KEPT_TOLERANCE_PX, REACH_PX, linked, reach_boxes
from geoseg.vector.footprints.extract import FootprintRules, draw_outlines
from geoseg.vector.ground import GroundFrame
from geoseg.vector.pixels.components import Components, find_components
from geoseg.vector.pixels.instances import border_probability, label_instances
from geoseg.vector.pixels.runs import find_runs, threshold_byte
from geoseg.vector.tiles.outlines import Outlines
from geoseg.vector.tiles.oversized import RunTable
from geoseg.vector.tiles.tile_borders import pixel_key

ELSEWHERE = 1  # byte of what another task draws: outside, but not nodata


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """What one task draws; all in pixels of the scene.

    window: what has to be read. tile: all components inside that do not touch its border are drawn, None for none.
    blocks: (B, 2) first pixels of the blocks that are drawn too; the window holds them with a pixel around. others:
    (M, 4) boxes (row0, col0, row1, col1) of blocks near that other tasks draw. streamed: runs in the window of blocks
    that are streamed; filled: their holes that are filled, as polygons.
    """

    window: Box
    tile: Box | None
    blocks: NDArray[np.int64]
    others: NDArray[np.int64]
    streamed: RunTable
    filled: NDArray[np.object_]


@dataclass(frozen=True, slots=True, eq=False)
class WindowOutlines:
    """What a task has drawn.

    settled: outlines that nothing else can reach. open: those that others may, not settled yet. absorbed: (A, 2) first
    pixels of components that stand in a filled hole of a block, and are not drawn by whoever has them.
    """

    settled: Outlines
    open: Outlines
    absorbed: NDArray[np.int64]


def draw_window(
    probability: NDArray[np.uint8],
    interior: NDArray[np.uint8] | None,
    share: Share,
    *,
    frame: GroundFrame,
    rules: FootprintRules,
    min_seed_px: int = 1,
) -> WindowOutlines:
    """Draw a task's share of a scene; the outlines do not depend on how the scene was shared out.

    probability, interior: bytes over ``share.window``; with an interior touching buildings come out apart, see
    ``label_instances``. ``probability`` is used up.
    """
    low = threshold_byte(rules.threshold)
    origin = share.window.row0, share.window.col0
    runs = find_runs(probability, low)
    found = find_components(runs)
    first_pixel = found.first_pixel + origin
    own = _own(found, first_pixel, share)
    own[own] = ~_standing_in(share.filled, first_pixel[own])
    _erase(probability, runs.start, runs.first, runs.end, own[found.of_run])
    labels = None
    if interior is not None:
        border = border_probability(probability, interior)
        labels = label_instances(probability, border, threshold=rules.threshold, min_seed_px=min_seed_px)
    drawn = draw_outlines(probability, frame, rules, origin=origin, labels=labels)
    drawn = replace(drawn, of=replace(drawn.of, hemmed=_hemmed(drawn, share.streamed)))
    absorbed = first_pixel[~own][_standing_in(drawn.contours, first_pixel[~own])]
    closed = _closed(reach_boxes(drawn.polygons, drawn.contours), share)
    return WindowOutlines(drawn.take(closed).settled(), drawn.take(~closed), absorbed)


def _own(found: Components, first_pixel: NDArray[np.int64], share: Share) -> NDArray[np.bool_]:
    own = np.isin(pixel_key(first_pixel), pixel_key(share.blocks))
    if share.tile is not None:
        tile, window = share.tile, share.window
        box = found.box + np.tile((window.row0, window.col0), 2)
        low, high = (tile.row0, tile.col0), (tile.row1, tile.col1)
        own |= (box[:, :2] > low).all(axis=1) & (box[:, 2:] < high).all(axis=1)
    return own


def _standing_in(polygons: NDArray[np.object_], pixels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which pixels' centres lie in any of the polygons, (N,)."""
    out = np.zeros(len(pixels), np.bool_)
    centres = shapely.points(pixels[:, ::-1] + 0.5)
    out[shapely.STRtree(centres).query(polygons, predicate="contains")[1]] = True
    return out


@njit(cache=True, nogil=True)
def _erase(
    probability: NDArray[np.uint8],
    start: NDArray[np.int64],
    first: NDArray[np.int32],
    end: NDArray[np.int32],
    kept: NDArray[np.bool_],
) -> None:
    for row in range(len(start) - 1):
        for k in range(start[row], start[row + 1]):
            if not kept[k]:
                probability[row, first[k] : end[k]] = ELSEWHERE


def _hemmed(drawn: Outlines, streamed: RunTable) -> NDArray[np.bool_]:
    """Return which outlines, or their simplified contours, meet a pixel of a streamed block."""
    out = np.zeros(len(drawn), np.bool_)
    if len(streamed) and len(drawn):
        pixels = shapely.STRtree(streamed.boxes())
        near = np.unique(pixels.query(shapely.box(*reach_boxes(drawn.polygons, drawn.contours).T))[0])
        for made in (drawn.polygons[near], shapely.simplify(drawn.contours[near], KEPT_TOLERANCE_PX)):
            out[near[np.unique(pixels.query(made, predicate="intersects")[0])]] = True
    return out


def _closed(reach: NDArray[np.float64], share: Share) -> NDArray[np.bool_]:
    """Return which outlines, by their reach (N, 4), no other task's can meet, nor whatever meets them."""
    if share.tile is None or len(reach) == 0:
        return np.zeros(len(reach), np.bool_)
    tile = share.tile
    closed = (reach[:, :2] > (tile.col0 + REACH_PX, tile.row0 + REACH_PX)).all(axis=1)
    closed &= (reach[:, 2:] < (tile.col1 - REACH_PX, tile.row1 - REACH_PX)).all(axis=1)
    row0, col0, row1, col1 = share.others.T
    far = REACH_PX + 1  # a contour leaves the box of its pixels by half a pixel
    others = shapely.box(col0 - far, row0 - far, col1 + far, row1 + far)
    closed[shapely.STRtree(shapely.box(*reach.T)).query(others)[1]] = False
    group = linked(reach)
    return np.bincount(group, weights=~closed)[group] == 0
