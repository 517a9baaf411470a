"""Buildings: the polygons of a scene of any size, tile by tile, as if it had been drawn in one piece.

Three passes over tiles, each through a ``Map`` and with a bounded share of the scene in memory: what touches the tiles'
borders is joined to blocks; the runs of blocks too large to be held are gathered; every task draws the components of
its tile and the blocks that begin there. What reaches over a task's ground is settled here, row of tiles by row, and
all goes out in raster order of first pixels, so that neither tiles nor tasks nor their order show.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import isqrt
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from geoseg.outputs.geopackage.footprints import BATCH_ROWS, buildings_batch, refuse_if_in_use, write_building_batches
from geoseg.tiling.memory import BASE_BYTES, GDAL_CACHE_BYTES
from geoseg.values.classes import ClassInfo, ClassMap
from geoseg.values.grid import Box, Grid
from geoseg.vector.adjacent.overlaps import REACH_PX, linked, reach_boxes
from geoseg.vector.footprints.extract import FootprintRules, to_footprints
from geoseg.vector.ground import GroundFrame
from geoseg.vector.pixels.runs import threshold_byte
from geoseg.vector.tiles.outlines import Outlines
from geoseg.vector.tiles.oversized import RunTable, joined_runs, runs_of, streamed_outlines
from geoseg.vector.tiles.tile_borders import Blocks, TileBorder, join_tiles, pixel_key, tile_border
from geoseg.vector.tiles.tile_task import Share, draw_window
from geoseg.vector.tiles.warmup import compile_drawing

TILE_PX = 2048
OVERHANG_PX = 512  # blocks that leave their tile by no more are drawn with it, others by a task of their own
MAX_COMPONENT_PX = 2**23  # pixels in the box of a component; larger ones are streamed, not fitted
LEAST_SEED_M2 = 1.0  # sure interior smaller than this is noise, not a building


# Bytes that a task holds at its peak for each pixel it has read, polygons included: measured 2 to 8, and 18 to 23 where
# labels are cut (all building, row houses, one block of blobs that fill half the ground). Specks of 2.5 px, one on 320
# px of ground, take 42 and 47 of what is drawn: 265 and 362 MiB a task, with what waits to be written. Noise that hangs
# together takes more: 105 and 176, on 1 Mpx. benchmarks/vectorize_memory.py prints houses.
TASK_BYTES_PER_PX, CUTTING_BYTES_PER_PX = 24, 40
OPEN_BYTES_PER_PX = 0.1  # of the scene: borders of tiles, polygons that wait for others, rows that wait to be written
UNDONE = {
    "streamed": "are too large to be fitted and keep the edges of their pixels; raise max_component_px",
    "merged": "hold several buildings that could not be parted",
}

log = logging.getLogger(__name__)


class Map(Protocol):
    """Calls a picklable function on every item, several at once, and yields the results in order."""

    def __call__[T, R](self, call: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]:
        """Yield the results."""
        ...


class Pixels(Protocol):
    """Reads a box of the scene: p(building) as bytes, and p(interior) or None; picklable."""

    def __call__(self, box: Box, /) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Return (h, w) arrays over ``box``, which lies in the scene, for the caller to change."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What is drawn, and how it is shared out.

    target: the polygons' class. max_component_px: components whose box holds more pixels keep their pixel edges.
    tile_px, like the order and the number of tasks at once, changes nothing of the result.
    """

    pixels: Pixels
    grid: Grid
    rules: FootprintRules
    target: ClassInfo
    max_component_px: int = MAX_COMPONENT_PX
    tile_px: int = TILE_PX

    @property
    def low(self) -> int:
        """Smallest byte that is inside."""
        return threshold_byte(self.rules.threshold)

    @property
    def frame(self) -> GroundFrame:
        """The scene's ground."""
        return GroundFrame.of_grid(self.grid)

    @property
    def least_seed_px(self) -> int:
        """Pixels of sure interior that make a building."""
        return max(1, round(LEAST_SEED_M2 / float(np.prod(self.grid.ground_resolution_m()))))

    @property
    def side_px(self) -> int:
        """Side of a tile: no component that is too large stays within one."""
        return min(self.tile_px, isqrt(self.max_component_px))

    def tiles(self) -> Iterator[Box]:
        """Yield the tiles row by row, from left to right."""
        height, width = self.grid.shape
        for row in range(0, height, self.side_px):
            for col in range(0, width, self.side_px):
                yield Box(row, col, min(row + self.side_px, height), min(col + self.side_px, width))


def draw_polygons(
    path: Path, drawing: Drawing, *, classes: ClassMap, provenance: Mapping[str, Any], each: Map = map
) -> dict[str, Any]:
    """Write the polygons of a scene as a GeoPackage; returns their number and area, and what could not be done.

    That is how many were streamed, and how many hold several buildings that could not be parted. classes, provenance:
    see ``write_building_batches``. Equal scenes and rules give equal bytes. Raises OutputError.
    """
    refuse_if_in_use(path)
    compile_drawing(drawing.rules, drawing.frame, parted=drawing.pixels(Box(0, 0, 1, 1))[1] is not None)
    survey = find_blocks(drawing, each=each)
    rows = PolygonRows(drawing, survey, each=each)
    count, area_m2 = write_building_batches(
        path,
        rows,
        fitted=drawing.rules.method == "regular",
        crs=drawing.grid.crs,
        target=drawing.target,
        classes=classes,
        provenance=provenance,
    )
    undone = {"streamed": len(survey.streamed), "merged": rows.merged}
    for what, number in undone.items():
        if number:
            log.warning("%s: %d polygons %s", path.name, number, UNDONE[what])
    return {"file": path.name, "count": count, "area_m2": round(area_m2, 3), **undone}


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """The blocks of a scene that are fitted; the others' runs, their outlines and their holes that are filled."""

    blocks: Blocks
    runs: RunTable
    streamed: Outlines
    filled: NDArray[np.object_]


def find_blocks(drawing: Drawing, *, each: Map = map) -> Survey:
    """Find what reaches over the borders of tiles, and draw what of it is too large to be held."""
    blocks, tiles = join_tiles(each(partial(_border, drawing), drawing.tiles()))
    large = blocks.box_px > drawing.max_component_px
    runs = joined_runs(each(partial(_runs, drawing), _pieces_of(tiles, large)))
    return Survey(blocks.take(~large), runs, *streamed_outlines(runs, blocks.take(large), drawing.frame, drawing.rules))


def projected_polygon_bytes(
    shape: tuple[int, int],
    *,
    lanes: int,
    interior: bool,
    max_component_px: int = MAX_COMPONENT_PX,
    base_bytes: int = BASE_BYTES,
) -> int:
    """Return the memory that drawing the polygons of a scene takes in one process, ``lanes`` tasks at once.

    base_bytes: of the process before it draws. An upper bound where buildings are what is drawn. What is streamed comes
    on top, about 100 bytes a run.
    """
    side = min(TILE_PX, isqrt(max_component_px))
    window_px = (side + 2 * OVERHANG_PX) * (side + OVERHANG_PX)
    task_px = min(max(window_px, max_component_px), shape[0] * shape[1])
    task_bytes = task_px * (CUTTING_BYTES_PER_PX if interior else TASK_BYTES_PER_PX) + GDAL_CACHE_BYTES
    return base_bytes + lanes * task_bytes + int(OPEN_BYTES_PER_PX * shape[0] * shape[1])


def _border(drawing: Drawing, tile: Box) -> TileBorder:
    return tile_border(drawing.pixels(tile)[0], tile, drawing.low)


def _pieces_of(
    tiles: list[tuple[Box, Blocks, NDArray[np.int64]]], large: NDArray[np.bool_]
) -> Iterator[tuple[Box, NDArray[np.int64]]]:
    for tile, pieces, block in tiles:
        if large[block].any():
            yield tile, pieces.first_pixel[large[block]]


def _runs(drawing: Drawing, of: tuple[Box, NDArray[np.int64]]) -> RunTable:
    tile, pieces = of
    return runs_of(drawing.pixels(tile)[0], tile, drawing.low, pieces=pieces)


def _shares(drawing: Drawing, survey: Survey) -> Iterator[tuple[int, Share]]:
    """Yield the tasks: tiles row by row, each followed by the blocks that are too far-flung for it; with first rows."""
    blocks = survey.blocks
    boxes, holes = shapely.STRtree(_rectangles(blocks.box)), shapely.STRtree(survey.filled)
    across = -(-drawing.grid.width // drawing.side_px)
    rows, cols = blocks.first_pixel.T // drawing.side_px
    owner = rows * across + cols
    by_owner = np.argsort(owner, kind="stable")

    def share(window: Box, tile: Box | None, own: NDArray[np.intp]) -> Share:
        around = np.array([[window.row0, window.col0, window.row1, window.col1]])
        (near,) = _rectangles(around, grown=2 * REACH_PX)
        return Share(
            window=window,
            tile=tile,
            blocks=blocks.first_pixel[own],
            others=blocks.box[np.setdiff1d(boxes.query(near), own)],
            streamed=survey.runs.within(window),
            filled=survey.filled[np.sort(holes.query(near))],
        )

    for number, tile in enumerate(drawing.tiles()):
        own = by_owner[slice(*np.searchsorted(owner[by_owner], (number, number + 1)))]
        box = blocks.box[own]
        beyond = (box[:, :2] < (tile.row0 - OVERHANG_PX, tile.col0 - OVERHANG_PX)).any(axis=1)
        beyond |= (box[:, 2:] > (tile.row1 + OVERHANG_PX, tile.col1 + OVERHANG_PX)).any(axis=1)
        yield tile.row0, share(_window(box[~beyond], drawing.grid.box, tile), tile, own[~beyond])
        for block in own[beyond]:
            yield tile.row0, share(_window(blocks.box[[block]], drawing.grid.box), None, np.array([block]))


def _rectangles(boxes: NDArray[np.int64], *, grown: int = 0) -> NDArray[np.object_]:
    row0, col0, row1, col1 = boxes.T
    return shapely.box(col0 - grown, row0 - grown, col1 + grown, row1 + grown)


def _window(boxes: NDArray[np.int64], scene: Box, *tiles: Box) -> Box:
    """Return what holds the tiles, and the boxes with a pixel around, as far as it lies in the scene."""
    held = [Box(*(int(v) for v in box + np.array([-1, -1, 1, 1]))) for box in boxes] + list(tiles)
    around = Box(
        min(b.row0 for b in held), min(b.col0 for b in held), max(b.row1 for b in held), max(b.col1 for b in held)
    )
    inside = around.clip(scene)
    assert inside is not None
    return inside


@dataclass(frozen=True, slots=True, eq=False)
class _Finished:
    """Rows of the layer, for each a number that ascends in raster order of first pixels, and how many are merged."""

    keys: NDArray[np.int64]
    batch: pa.RecordBatch
    merged: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Rest:
    """Outlines that others may reach into, and keys of components that are not drawn by whoever has them."""

    open: Outlines
    absorbed: NDArray[np.int64]


def _finished(drawing: Drawing, outlines: Outlines, *, rules: FootprintRules | None = None) -> _Finished:
    outlines = (rules or drawing.rules).of_size(outlines, drawing.frame)
    found = to_footprints(outlines, drawing.frame)
    batch = buildings_batch(found, crs=drawing.grid.crs, target=drawing.target)
    return _Finished(pixel_key(outlines.of.first_pixel), batch, outlines.merged)


def _draw(drawing: Drawing, task: tuple[int, Share]) -> tuple[int, _Finished, _Rest]:
    row, share = task
    probability, interior = drawing.pixels(share.window)
    drawn = draw_window(
        probability, interior, share, frame=drawing.frame, rules=drawing.rules, min_seed_px=drawing.least_seed_px
    )
    return row, _finished(drawing, drawn.settled), _Rest(drawn.open, pixel_key(drawn.absorbed))


class PolygonRows:
    """The polygons of a scene as rows of ``buildings_batch``, in raster order of their first pixels.

    What is open is settled as soon as nothing that begins below can reach it. merged: how many of the rows given out or
    waiting hold several buildings that could not be parted.
    """

    def __init__(self, drawing: Drawing, survey: Survey, *, each: Map = map) -> None:
        self.merged = 0
        self._drawing, self._survey, self._each = drawing, survey, each
        edges = replace(drawing.rules, min_hole_m2=0.0)  # what stands in holes of the streamed is not at hand
        self._finished = [_finished(drawing, survey.streamed, rules=edges)]
        self._open = [survey.streamed.take(np.empty(0, np.intp))]
        self._absorbed = np.empty(0, np.int64)
        self._row = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Draw and yield the rows; once only."""
        shares = _shares(self._drawing, self._survey)
        for row, finished, rest in self._each(partial(_draw, self._drawing), shares):
            yield from self._up_to(row)
            self._add(finished)
            self._open.append(rest.open)
            self._absorbed = np.union1d(self._absorbed, rest.absorbed)
        yield from self._up_to(self._drawing.grid.height + 2 * REACH_PX)

    def _add(self, finished: _Finished) -> None:
        self.merged += finished.merged
        self._finished.append(finished)

    def _up_to(self, row: int) -> Iterator[pa.RecordBatch]:
        """Yield what is due once all that begins above ``row`` has been added."""
        if row == self._row:
            return
        self._row = row
        still_open = self._settle(row)
        keys = np.concatenate([f.keys for f in self._finished])
        order = np.argsort(keys, kind="stable")
        first_open = pixel_key(still_open.of.first_pixel[:1])
        due = int(np.searchsorted(keys[order], min([row << 32, *first_open.tolist()])))
        table = pa.Table.from_batches([f.batch for f in self._finished])
        yield from table.take(order[:due]).combine_chunks().to_batches(max_chunksize=BATCH_ROWS)
        rest = table.take(order[due:]).combine_chunks().to_batches()
        self._finished = [_Finished(keys[order[due:]], rest[0] if rest else self._finished[0].batch.slice(0, 0))]
        self._open = [still_open]

    def _settle(self, row: int) -> Outlines:
        """Finish the groups that end above ``row``, and return what is still open."""
        both = Outlines.joined(self._open)
        both = both.take(~np.isin(pixel_key(both.of.first_pixel), self._absorbed))
        reach = reach_boxes(both.polygons, both.contours)
        group = linked(reach)
        lowest = np.zeros(len(both))
        np.maximum.at(lowest, group, reach[:, 3])
        ended = lowest[group] < row - REACH_PX - 1
        self._add(_finished(self._drawing, both.take(ended).settled()))
        return both.take(~ended)
