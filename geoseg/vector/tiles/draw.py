"""Polygons of a scene of any size, drawn tile by tile with the bytes of a scene drawn in one piece.

Three stages over the tiles, each with a bounded part of the scene in memory:

1. ``find_crossing_components`` joins the components that cross tile borders,
2. and gathers the runs of oversized ones, whose outlines are the edges of their pixels;
3. ``polygon_stage`` draws, in each task, the components of a tile and the crossing components that begin in it.
``PolygonRows`` resolves overlaps between tasks, row of tiles by row of tiles. Polygons are written in raster order of
first pixels, so neither tiles nor tasks nor their order show in the file.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import isqrt
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from geoseg.jobs.stages import ParallelMap, Stage
from geoseg.outputs.geopackage.footprints import buildings_batch, write_buildings
from geoseg.outputs.geopackage.side_files import refuse_if_in_use
from geoseg.tiling.memory import BASE_BYTES, GDAL_CACHE_BYTES
from geoseg.values.box import Box
from geoseg.values.classes import ClassInfo, ClassMap
from geoseg.values.confidence import PolygonConfidence
from geoseg.values.grid import Grid
from geoseg.vector.adjacent.overlaps import REACH_PX, linked_boxes, reach_boxes
from geoseg.vector.footprints.extract import FootprintRules, to_footprints
from geoseg.vector.ground import GroundFrame
from geoseg.vector.pixels.runs import threshold_byte
from geoseg.vector.tiles.outlines import Outlines
from geoseg.vector.tiles.oversized import RunTable, joined_runs, oversized_outlines, runs_of
from geoseg.vector.tiles.tile_borders import CrossingComponents, TileBorder, join_tiles, pixel_key, tile_border
from geoseg.vector.tiles.tile_task import TileTask, draw_task, enclosing_window, rectangles
from geoseg.vector.tiles.warmup import compile_drawing

TILE_PX = 2048
OVERHANG_PX = 512  # a component that leaves its tile by no more is drawn with it, others by their own task
MAX_COMPONENT_PX = 2**23  # pixels in the box of a component; larger ones are not fitted
LEAST_SEED_M2, SEED_SHARE = 1.0, 0.2  # sure interior below this, and this share of the smallest polygon, is noise

# Bytes that a task holds at its peak for each pixel it reads, polygons included: measured 2 to 8, and 18 to 23 where
# labels separate buildings (all building; row houses; a block of blobs over half the ground). Specks of 2.5 px, one on
# 320 px of ground, take 42 and 47 for each pixel drawn: 265 and 362 MiB a task, with the rows that wait to be written.
# Connected noise exceeds the plan: 105 and 176, on 1 Mpx. benchmarks/vectorize_memory.py prints the figures of houses.
TASK_BYTES_PER_PX, CUTTING_BYTES_PER_PX = 24, 40
BATCH_ROWS = 65_536  # of the layer, written at once
PENDING_BYTES_PER_PX = 0.1  # of the scene: tile borders, pending polygons, rows that wait to be written
UNDONE = {
    "streamed": "are too large to be fitted and keep the edges of their pixels; raise max_component_px",
    "merged": "hold several buildings that could not be parted",
}

NO_ROW = 2**30  # below every scene, and below all that leaves one at its lower border

log = logging.getLogger(__name__)


class PixelReader(Protocol):
    """Reads p(building) and p(interior), or None for the latter, of a box as bytes; picklable."""

    def __call__(self, box: Box, /) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Return (h, w) uint8 arrays over a box of the scene; the caller may overwrite them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What is drawn of a scene, and how it is cut into tasks."""

    pixels: PixelReader
    """Reads the scene."""
    grid: Grid
    """The scene's grid."""
    rules: FootprintRules
    """What becomes a polygon."""
    target: ClassInfo
    """The polygons' class."""
    confidence: PolygonConfidence | None = None
    """How likely a polygon is right; None: its mean probability."""
    max_component_px: int = MAX_COMPONENT_PX
    """Components whose box holds more pixels are oversized and keep their pixel edges."""
    tile_px: int = TILE_PX
    """Side of a tile in pixels; like the order and number of tasks at once it changes no byte."""

    @property
    def low(self) -> int:
        """Smallest probability byte that is inside."""
        return threshold_byte(self.rules.threshold)

    @property
    def frame(self) -> GroundFrame:
        """The scene's pixels on the ground."""
        return GroundFrame.of_grid(self.grid)

    @property
    def least_seed_px(self) -> int:
        """Number of pixels of sure interior that make a building, or what is smaller where small polygons are drawn."""
        wanted_m2 = self.rules.min_area_m2  # 0: nothing is said of sizes
        least_m2 = min(LEAST_SEED_M2, SEED_SHARE * wanted_m2) if wanted_m2 > 0 else LEAST_SEED_M2
        return max(1, round(least_m2 / float(np.prod(self.grid.ground_resolution_m()))))

    @property
    def side_px(self) -> int:
        """Side of a tile: an oversized component never fits into one."""
        return min(self.tile_px, isqrt(self.max_component_px))

    def tiles(self) -> Iterator[Box]:
        """Return the tiles row by row, from left to right."""
        return self.grid.box.blocks(self.side_px)


def draw_polygons(
    path: Path, drawing: Drawing, *, classes: ClassMap, provenance: Mapping[str, Any], each: ParallelMap = map
) -> dict[str, Any]:
    """Write the polygons of a scene as a GeoPackage; return their number and area, and two counts of what went undone.

    ``streamed`` counts oversized components, ``merged`` polygons that hold several buildings. classes, provenance: see
    ``write_buildings``. each: runs the tasks. Equal scenes and rules give equal bytes. Raises OutputError.
    """
    refuse_if_in_use(path)
    compile_drawing(drawing.rules, drawing.frame, parted=drawing.pixels(Box(0, 0, 1, 1))[1] is not None)
    crossing = find_crossing_components(drawing, each=each)

    def write(drawn: Iterator[Drawn]) -> dict[str, Any]:
        rows = PolygonRows(drawing, crossing, drawn)
        count, area_m2 = write_buildings(
            path,
            rows,
            fitted=drawing.rules.method == "regular",
            crs=drawing.grid.crs,
            target=drawing.target,
            classes=classes,
            provenance=provenance,
        )
        undone = {"streamed": len(crossing.oversized), "merged": rows.merged}
        return {"file": path.name, "count": count, "area_m2": round(area_m2, 3), **undone}

    made = polygon_stage(drawing, crossing, write).walk(each)
    for what, why in UNDONE.items():
        if made[what]:
            log.warning("%s: %d polygons %s", path.name, made[what], why)
    return made


@dataclass(frozen=True, slots=True, eq=False)
class CrossTileComponents:
    """The components of a scene that cross tile borders: those to fit, and what is drawn of the oversized ones."""

    fitted: CrossingComponents
    """Components that tasks fit."""
    runs: RunTable
    """Runs of the oversized components."""
    oversized: Outlines
    """Outlines of the oversized components."""
    filled: NDArray[np.object_]
    """Holes of the oversized components that are filled, as polygons, (H,)."""


def find_crossing_components(drawing: Drawing, *, each: ParallelMap = map) -> CrossTileComponents:
    """Find the components that cross tile borders, and draw the oversized ones among them."""
    components, tiles = Stage("tile borders", drawing.tiles, partial(_border, drawing), join_tiles).walk(each)
    large = components.box_px > drawing.max_component_px
    runs = Stage("oversized", partial(_pieces_of, tiles, large), partial(_runs, drawing), joined_runs).walk(each)
    outlines, filled = oversized_outlines(runs, components.take(large), drawing.frame, drawing.rules)
    return CrossTileComponents(components.take(~large), runs, outlines, filled)


def polygon_stage[C](
    drawing: Drawing, crossing: CrossTileComponents, collect: Callable[[Iterator["Drawn"]], C]
) -> Stage[tuple[int, TileTask], "Drawn", C]:
    """Return the stage that draws the polygons of every tile; collect: takes them, see ``PolygonRows``."""
    return Stage("polygons", partial(_tasks, drawing, crossing), partial(_draw, drawing), collect)


def projected_polygon_bytes(
    shape: tuple[int, int],
    *,
    lanes: int,
    interior: bool,
    max_component_px: int = MAX_COMPONENT_PX,
    base_bytes: int = BASE_BYTES,
) -> int:
    """Return the bytes that one process needs to draw the polygons of a scene, with ``lanes`` tasks at once.

    base_bytes: of the process before it draws. An upper bound where buildings are drawn; oversized components add
    about 200 bytes a run, connected noise exceeds it.
    """
    side = min(TILE_PX, isqrt(max_component_px))
    window_px = (side + 2 * OVERHANG_PX) * (side + OVERHANG_PX)
    task_px = min(max(window_px, max_component_px), shape[0] * shape[1])
    task_bytes = task_px * (CUTTING_BYTES_PER_PX if interior else TASK_BYTES_PER_PX) + GDAL_CACHE_BYTES
    return base_bytes + lanes * task_bytes + int(PENDING_BYTES_PER_PX * shape[0] * shape[1])


def _border(drawing: Drawing, tile: Box) -> TileBorder:
    return tile_border(drawing.pixels(tile)[0], tile, drawing.low)


def _pieces_of(
    tiles: list[tuple[Box, CrossingComponents, NDArray[np.int64]]], large: NDArray[np.bool_]
) -> Iterator[tuple[Box, NDArray[np.int64]]]:
    for tile, pieces, component in tiles:
        if large[component].any():
            yield tile, pieces.first_pixel[large[component]]


def _runs(drawing: Drawing, of: tuple[Box, NDArray[np.int64]]) -> RunTable:
    tile, pieces = of
    return runs_of(drawing.pixels(tile)[0], tile, drawing.low, pieces=pieces)


def _tasks(drawing: Drawing, crossing: CrossTileComponents) -> Iterator[tuple[int, TileTask]]:
    """Yield each task with its first row: tiles row by row, each followed by the components that leave it too far.

    ::

        +--------+--------+      a stays in its tile, and b leaves it by less than OVERHANG_PX: the task of the
        | aa   bb|b       |      left tile draws both. c leaves it by more: a task of its own draws it.
        |  ccccccccccccccccc
        +--------+--------+
    """
    components = crossing.fitted
    boxes, holes = shapely.STRtree(rectangles(components.box)), shapely.STRtree(crossing.filled)
    across = -(-drawing.grid.width // drawing.side_px)
    rows, cols = components.first_pixel.T // drawing.side_px
    owner = rows * across + cols
    by_owner = np.argsort(owner, kind="stable")

    def task(window: Box, tile: Box | None, own: NDArray[np.intp]) -> TileTask:
        around = np.array([[window.row0, window.col0, window.row1, window.col1]])
        (near,) = rectangles(around, grown=2 * REACH_PX)
        return TileTask(
            window=window,
            tile=tile,
            crossing=components.first_pixel[own],
            others=components.box[np.setdiff1d(boxes.query(near), own)],
            oversized=crossing.runs.within(window),
            filled=crossing.filled[np.sort(holes.query(near))],
        )

    for number, tile in enumerate(drawing.tiles()):
        own = by_owner[slice(*np.searchsorted(owner[by_owner], (number, number + 1)))]
        box = components.box[own]
        beyond = (box[:, :2] < (tile.row0 - OVERHANG_PX, tile.col0 - OVERHANG_PX)).any(axis=1)
        beyond |= (box[:, 2:] > (tile.row1 + OVERHANG_PX, tile.col1 + OVERHANG_PX)).any(axis=1)
        yield tile.row0, task(enclosing_window(box[~beyond], drawing.grid.box, tile), tile, own[~beyond])
        for i in own[beyond]:
            yield tile.row0, task(enclosing_window(components.box[[i]], drawing.grid.box), None, np.array([i]))


@dataclass(frozen=True, slots=True, eq=False)
class _Finished:
    """Rows of the layer."""

    keys: NDArray[np.int64]
    """A number for each row that ascends in raster order of first pixels, (N,)."""
    batch: pa.RecordBatch
    """N rows."""
    merged: int = 0
    """How many of them hold several buildings."""


@dataclass(frozen=True, slots=True, eq=False)
class _Unresolved:
    """What a task leaves to be resolved between tasks."""

    pending: Outlines
    """Outlines that other tasks' may reach."""
    swallowed: NDArray[np.int64]
    """Pixel keys of components that lie in filled holes, which no task's outlines may keep, (A,)."""


def _finished(drawing: Drawing, outlines: Outlines, *, rules: FootprintRules | None = None) -> _Finished:
    outlines = (rules or drawing.rules).of_size(outlines, drawing.frame)
    found = to_footprints(outlines, drawing.frame)
    batch = buildings_batch(found, crs=drawing.grid.crs, target=drawing.target, confidence=drawing.confidence)
    return _Finished(pixel_key(outlines.components.first_pixel), batch, outlines.merged)


Drawn = tuple[int, _Finished, _Unresolved]  # by a task; all that starts above its first row is drawn before


def _draw(drawing: Drawing, task: tuple[int, TileTask]) -> Drawn:
    row, tile_task = task
    probability, interior = drawing.pixels(tile_task.window)
    drawn = draw_task(
        probability, interior, tile_task, frame=drawing.frame, rules=drawing.rules, min_seed_px=drawing.least_seed_px
    )
    return row, _finished(drawing, drawn.resolved), _Unresolved(drawn.pending, pixel_key(drawn.swallowed))


class PolygonRows:
    """The polygons of a scene as rows of ``buildings_batch``, in raster order of their first pixels.

    Overlaps of pending outlines are resolved as soon as no outline that begins below can reach them. merged: how many
    rows, yielded or waiting, hold several buildings that could not be separated.
    """

    def __init__(self, drawing: Drawing, crossing: CrossTileComponents, drawn: Iterator[Drawn]) -> None:
        self.merged = self._row = 0
        self._drawing, self._drawn = drawing, drawn
        edges = replace(drawing.rules, min_hole_m2=0.0)  # what lies in holes of oversized components is not at hand
        self._finished = [_finished(drawing, crossing.oversized, rules=edges)]
        self._pending = [crossing.oversized.take(np.empty(0, np.intp))]
        self._swallowed = np.empty(0, np.int64)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows; once only."""
        for row, finished, unresolved in self._drawn:
            yield from self._up_to(row)
            self._add(finished)
            self._pending.append(unresolved.pending)
            self._swallowed = np.union1d(self._swallowed, unresolved.swallowed)
        yield from self._up_to(NO_ROW)

    def _add(self, finished: _Finished) -> None:
        self.merged += finished.merged
        self._finished.append(finished)

    def _up_to(self, row: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows that nothing can precede, once all that begins above ``row`` has been added."""
        if row == self._row:
            return
        self._row = row
        pending = self._resolve(row)
        keys = np.concatenate([f.keys for f in self._finished])
        order = np.argsort(keys, kind="stable")
        first_pending = pixel_key(pending.components.first_pixel[:1])
        due = int(np.searchsorted(keys[order], min([row << 32, *first_pending.tolist()])))
        table = pa.Table.from_batches([f.batch for f in self._finished])
        yield from table.take(order[:due]).combine_chunks().to_batches(max_chunksize=BATCH_ROWS)
        waiting = table.take(order[due:]).combine_chunks().to_batches()
        self._finished = [_Finished(keys[order[due:]], waiting[0] if waiting else self._finished[0].batch.slice(0, 0))]
        self._pending = [pending]

    def _resolve(self, row: int) -> Outlines:
        """Finish the groups of outlines that end above ``row``, and return those still pending."""
        both = Outlines.joined(self._pending)
        both = both.take(~np.isin(pixel_key(both.components.first_pixel), self._swallowed))
        reach = reach_boxes(both.polygons, both.contours)
        group = linked_boxes(reach)
        lowest = np.zeros(len(both))
        np.maximum.at(lowest, group, reach[:, 3])
        ended = lowest[group] < row - REACH_PX - 1
        self._add(_finished(self._drawing, both.take(ended).resolved()))
        return both.take(~ended)
