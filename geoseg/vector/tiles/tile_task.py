"""Tile tasks: the outlines that one task draws, and those among them that outlines of other tasks may reach."""

from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.values.box import Box
from geoseg.vector.adjacent.overlaps import REACH_PX, linked_boxes, reach_boxes
from geoseg.vector.footprints.extract import FootprintRules, draw_outlines
from geoseg.vector.ground import GroundFrame
from geoseg.vector.pixels.components import Components, find_components
from geoseg.vector.pixels.instances import border_probability, label_instances
from geoseg.vector.pixels.places import simplified
from geoseg.vector.pixels.runs import inside_runs, threshold_byte
from geoseg.vector.tiles.outlines import Outlines
from geoseg.vector.tiles.oversized import RunTable
from geoseg.vector.tiles.tile_borders import pixel_key

ELSEWHERE = 1  # byte of pixels that another task draws: outside, but not nodata


@dataclass(frozen=True, slots=True, eq=False)
class TileTask:
    """What one task reads and draws, in pixels of the scene."""

    window: Box
    """The box that is read; it holds the tile, and the crossing components with a pixel around them."""
    tile: Box | None
    """The box whose components are drawn unless they touch its border; None for no tile."""
    crossing: NDArray[np.int64]
    """First pixels (row, col) of the crossing components that are drawn too, (B, 2)."""
    others: NDArray[np.int64]
    """Boxes (row0, col0, row1, col1) of nearby components that other tasks draw, (M, 4)."""
    oversized: RunTable
    """Runs of oversized components in the window."""
    filled: NDArray[np.object_]
    """Their holes that are filled, as polygons in pixel coordinates, (H,)."""


@dataclass(frozen=True, slots=True, eq=False)
class TaskOutlines:
    """The outlines that one task has drawn."""

    resolved: Outlines
    """Outlines that no outline of another task can reach, with overlaps resolved."""
    pending: Outlines
    """Outlines that another task's may reach; their overlaps are not resolved yet."""
    swallowed: NDArray[np.int64]
    """First pixels of components in filled holes of these outlines, (A, 2); the tasks that draw them must not."""


def draw_task(
    probability: NDArray[np.uint8],
    interior: NDArray[np.uint8] | None,
    task: TileTask,
    *,
    frame: GroundFrame,
    rules: FootprintRules,
    min_seed_px: int = 1,
) -> TaskOutlines:
    """Draw what one task draws of a scene; the outlines do not depend on how the scene is cut into tasks.

    probability, interior: bytes over ``task.window``; the call overwrites ``probability``. With an interior, touching
    buildings are separated, see ``label_instances``.
    """
    low = threshold_byte(rules.threshold)
    origin = task.window.row0, task.window.col0
    runs = inside_runs(probability, low)
    found = find_components(runs)
    first_pixel = found.first_pixel + origin
    drawn_here = _drawn_here(found, first_pixel, task)
    drawn_here[drawn_here] = ~_lie_in(task.filled, first_pixel[drawn_here])
    _erase(probability, runs.start, runs.first, runs.end, drawn_here[found.of_run])
    labels = None
    if interior is not None:
        border = border_probability(probability, interior)
        labels = label_instances(probability, border, threshold=rules.threshold, min_seed_px=min_seed_px)
    drawn = draw_outlines(probability, frame, rules, origin=origin, labels=labels)
    drawn = replace(
        drawn, components=replace(drawn.components, blocked_by_oversized=_blocked_by_oversized(drawn, task.oversized))
    )
    swallowed = first_pixel[~drawn_here][_lie_in(drawn.contours, first_pixel[~drawn_here])]
    resolvable = _out_of_reach(reach_boxes(drawn.polygons, drawn.contours), task)
    return TaskOutlines(drawn.take(resolvable).resolved(), drawn.take(~resolvable), swallowed)


def _drawn_here(found: Components, first_pixel: NDArray[np.int64], task: TileTask) -> NDArray[np.bool_]:
    drawn_here = np.isin(pixel_key(first_pixel), pixel_key(task.crossing))
    if task.tile is not None:
        tile, window = task.tile, task.window
        box = found.box + np.tile((window.row0, window.col0), 2)
        low, high = (tile.row0, tile.col0), (tile.row1, tile.col1)
        drawn_here |= (box[:, :2] > low).all(axis=1) & (box[:, 2:] < high).all(axis=1)
    return drawn_here


def _lie_in(polygons: NDArray[np.object_], pixels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which pixels have their centre in one of the polygons, (N,)."""
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
    drawn_here: NDArray[np.bool_],
) -> None:
    for row in range(len(start) - 1):
        for k in range(start[row], start[row + 1]):
            if not drawn_here[k]:
                probability[row, first[k] : end[k]] = ELSEWHERE


def _blocked_by_oversized(drawn: Outlines, oversized: RunTable) -> NDArray[np.bool_]:
    """Return which outlines, or their simplified contours, meet a pixel of an oversized component, (N,)."""
    out = np.zeros(len(drawn), np.bool_)
    if len(oversized) and len(drawn):
        pixels = shapely.STRtree(oversized.boxes())
        near = np.unique(pixels.query(shapely.box(*reach_boxes(drawn.polygons, drawn.contours).T))[0])
        for made in (drawn.polygons[near], np.array([simplified(contour) for contour in drawn.contours[near]], object)):
            out[near[np.unique(pixels.query(made, predicate="intersects")[0])]] = True
    return out


def _out_of_reach(reach: NDArray[np.float64], task: TileTask) -> NDArray[np.bool_]:
    """Return which outlines no other task's can reach, directly or through others, (N,); reach: (N, 4) boxes."""
    if task.tile is None or len(reach) == 0:
        return np.zeros(len(reach), np.bool_)
    tile = task.tile
    resolvable = (reach[:, :2] > (tile.col0 + REACH_PX, tile.row0 + REACH_PX)).all(axis=1)
    resolvable &= (reach[:, 2:] < (tile.col1 - REACH_PX, tile.row1 - REACH_PX)).all(axis=1)
    row0, col0, row1, col1 = task.others.T
    far = REACH_PX + 1  # a contour leaves the box of its pixels by half a pixel
    others = shapely.box(col0 - far, row0 - far, col1 + far, row1 + far)
    resolvable[shapely.STRtree(shapely.box(*reach.T)).query(others)[1]] = False
    group = linked_boxes(reach)
    return np.bincount(group, weights=~resolvable)[group] == 0


def rectangles(boxes: NDArray[np.int64], *, grown: int = 0) -> NDArray[np.object_]:
    """Return half-open boxes (row0, col0, row1, col1), (N, 4), as rectangles, (N,); grown: by so many pixels."""
    row0, col0, row1, col1 = boxes.T
    return shapely.box(col0 - grown, row0 - grown, col1 + grown, row1 + grown)


def enclosing_window(boxes: NDArray[np.int64], scene: Box, *tiles: Box) -> Box:
    """Return the smallest box in the scene that holds the tiles, and the boxes with a pixel around them."""
    held = [*tiles, *(Box(*box).grown(1) for box in boxes.tolist())]
    inside = held[0].union(*held[1:]).clip(scene)
    assert inside is not None
    return inside
