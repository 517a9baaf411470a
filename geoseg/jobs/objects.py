"""Objects of a job: what its chunks say of classes, centres and offsets is grouped, numbered and drawn, in stages.

Where a network gives objects window by window, they are merged and painted instead of grouped.

Results of every stage are parts of their own beside those of the chunks, so what is done stays done: layers with a
table, or a table alone in a sealed file. Tiles, their order and where they run change no byte. What is done to the
pixels of a tile is in ``geoseg.objects``.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from geoseg.disk.sealed import Sealed
from geoseg.errors import TryAgainError
from geoseg.jobs import detections
from geoseg.jobs.job import Job
from geoseg.jobs.object_parts import (
    GROUP_PX,
    LOCAL,
    MOST_AREA_PX,
    TABLE,
    Held,
    Made,
    ObjectParts,
    grouping_rules,
)
from geoseg.jobs.run import Listener, Progress, Stop, until
from geoseg.jobs.stages import ParallelMap, Stage
from geoseg.objects.areas import AreaRules, area_tile
from geoseg.objects.grouping import GroupingRules
from geoseg.objects.merging import Merged, MergeRules
from geoseg.objects.segments import Segments, TileLayers, group_tile, panoptic_ids
from geoseg.outputs.cog.layers_of_parts import LayersOfParts
from geoseg.outputs.cog.parts import StoredPart
from geoseg.outputs.cog.tiff import TILE_PX
from geoseg.tasks.objects import KNOWN
from geoseg.tasks.panoptic import OF_OBJECTS
from geoseg.tiling.blend import row_counts
from geoseg.tiling.memory import detection_bytes, object_bytes
from geoseg.tiling.overviews import levels_within
from geoseg.values.box import Box
from geoseg.values.layers import FIRST_OBJECT, Pixels
from geoseg.vector.tiles.tile_borders import CrossingComponents, TileBorder, join_tiles, pixel_key, tile_border
from geoseg.vector.tiles.tile_task import enclosing_window

log = logging.getLogger(__name__)


def stage_bytes(job: Job, *, lanes: int, base_bytes: int) -> dict[str, int]:
    """Return what each stage takes in a process of ``base_bytes`` with ``lanes`` tiles at once."""
    rules = grouping_rules(job)
    if isinstance(rules, MergeRules):
        return detection_bytes(
            job.scene.grid.shape,
            lanes=lanes,
            chunk_px=job.chunk_px,
            tile_px=GROUP_PX,
            row_px=(1 + detections.reach_rows(job)) * job.windows.rows.stride * job.windows.cols.size,
            row_bytes=Segments.row_bytes(len(job.spec.things)),
            base_bytes=base_bytes,
        )
    return object_bytes(
        job.scene.grid.shape,
        lanes=lanes,
        chunk_px=job.chunk_px,
        tile_px=GROUP_PX,
        halo_px=rules.halo_px if isinstance(rules, GroupingRules) else MOST_AREA_PX // GROUP_PX // 4,
        row_bytes=Segments.row_bytes(len(job.spec.things)),
        base_bytes=base_bytes,
    )


class Those(NamedTuple):
    """Some objects."""

    key: NDArray[np.int64]
    """See ``Segments``, ascending, (N,)."""
    ids: NDArray[np.uint32]
    """Their ids, (N,)."""
    thing: NDArray[np.intp]
    """Which of the things they are, (N,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Numbered:
    """The objects of a scene."""

    segments: Segments
    """Those that are large enough, in raster order of their places: object i has the id FIRST_OBJECT + i."""
    left_out: int
    """How many were too small."""
    held: Held
    """The parts of the stage group, and what each covers; they may overlap where no pixel is of both."""
    merged: Merged | None = None
    """Of objects that were detected: what is known of them by their keys."""
    full: int = 0
    """How many windows gave as many detections as the network can."""

    @property
    def place(self) -> NDArray[np.int64]:
        """Row and column by which objects are ordered: centres, or corners of the boxes of those detected, (N, 2)."""
        return self.segments.centre if self.merged is None else self.segments.box[:, :2]

    def within(self, box: Box) -> Those:
        """Return the objects whose boxes meet ``box``."""
        low, high = self.segments.box[:, :2], self.segments.box[:, 2:]
        meets = np.flatnonzero((low < (box.row1, box.col1)).all(1) & (high > (box.row0, box.col0)).all(1))
        meets = meets[np.argsort(self.segments.key[meets], kind="stable")]
        return Those(self.segments.key[meets], (FIRST_OBJECT + meets).astype(np.uint32), self.segments.thing[meets])


def find_objects(
    of: ObjectParts, *, each: ParallelMap = map, listen: Listener, stop: Stop
) -> tuple[Numbered, dict[Box, Path]]:
    """Group and number the objects of a scene; returns them, and the parts of the panoptic raster by chunk.

    Raises TryAgainError where ``stop`` says so; what is made stays.
    """
    total = sum(1 for _ in of.tiles())
    walk = partial(walk_stage, each=each, listen=listen, stop=stop)
    if isinstance(of.rules, MergeRules):
        detected = walk(detections.merge_stage(of, of.rules), of.job.windows.rows.count)
        found = walk(paint_stage(of, detected), total)
    elif isinstance(of.rules, AreaRules):
        found = walk(area_stage(of, walk(border_stage(of), total)), total)
    else:
        found = walk(group_stage(of, of.rules), total)
    parts = walk(number_stage(of, found), len(of.chunks))
    return found, parts


def walk_stage[B, R, C](stage: Stage[B, R, C], total: int, *, each: ParallelMap, listen: Listener, stop: Stop) -> C:
    """Do a stage of ``total`` boxes that says how far it is; raises TryAgainError where ``stop`` says so."""

    def collect(results: Iterator[R]) -> C:
        def counted() -> Iterator[R]:
            listen(Progress(stage.name, 0, total))
            done = 0
            for done, result in enumerate(results, start=1):
                yield result
                listen(Progress(stage.name, done, total))
            if done < total:
                raise TryAgainError(
                    f"stopped in stage {stage.name} with {done} of {total} steps done; they are kept, the same command "
                    f"goes on"
                )

        return stage.collect(counted())

    return Stage(stage.name, lambda: until(stage.boxes(), stop), stage.run, collect).walk(each)


def group_stage(of: ObjectParts, rules: GroupingRules) -> Stage[Box, tuple[Box, Path], Numbered]:
    """Return the stage that finds the segments of every tile, and adds up what is known of each."""
    return Stage("group", of.tiles, partial(_group, of, rules), partial(_numbered, of))


def _group(of: ObjectParts, rules: GroupingRules, tile: Box) -> tuple[Box, Path]:
    def make() -> Made:
        around = tile.grown(rules.halo_px).clip(of.scene)
        assert around is not None  # it holds the tile
        layers = of.layers.read(("classes", "confidence", *OF_OBJECTS), around)
        local, segments = group_tile(TileLayers(*layers), tile, around, rules)  # type: ignore[arg-type]
        return (LOCAL,), iter([(local,)]), segments.to_bytes

    return tile, of.keep("group", tile, make)


def paint_stage(of: ObjectParts, found: detections.Detected) -> Stage[detections.Painting, tuple[Box, Path], Numbered]:
    """Return the stage that paints the objects of every tile."""

    def collect(held: Iterator[tuple[Box, Path]]) -> Numbered:
        done = _numbered(of, held)
        box = done.segments.box
        order = np.lexsort((done.segments.key, box[:, 1], box[:, 0]))
        return replace(done, segments=done.segments.take(order), merged=found.merged, full=found.full)

    return Stage("paint", partial(detections.paintings, of, found), partial(_painted, of), collect)


def _painted(of: ObjectParts, task: detections.Painting) -> tuple[Box, Path]:
    def make() -> Made:
        local, segments = detections.paint(of, task)
        return (LOCAL,), iter([(local,)]), segments.to_bytes

    return task.tile, of.keep("paint", task.tile, make)


@dataclass(frozen=True, slots=True, eq=False)
class AreaTask:
    """The areas of a tile: those inside, and those that begin in it and cross its border."""

    tile: Box
    """The tile."""
    window: Box
    """Holds all of them, and a pixel around."""
    own: NDArray[np.int64]
    """Keys of the first pixels of those that cross, (N,)."""


def border_stage(of: ObjectParts) -> Stage[Box, tuple[Box, Sealed], list[CrossingComponents]]:
    """Return the stage that finds the areas across tile borders, of each thing."""
    return Stage("borders", of.tiles, partial(_borders, of), partial(_crossing, of))


def area_stage(of: ObjectParts, crossing: Sequence[CrossingComponents]) -> Stage[AreaTask, tuple[Box, Path], Numbered]:
    """Return the stage that parts the areas of every tile; crossing: what ``border_stage`` finds."""
    if large := sum(int((components.box_px > MOST_AREA_PX).sum()) for components in crossing):
        log.warning("%d areas reach over more than %d px: their pixels are of no object", large, MOST_AREA_PX)

    def boxes() -> Iterator[AreaTask]:
        whole = [components.take(components.box_px <= MOST_AREA_PX) for components in crossing]
        first, box = (np.concatenate([getattr(c, name) for c in whole]) for name in ("first_pixel", "box"))
        for tile in of.tiles():
            own = (first >= (tile.row0, tile.col0)).all(1) & (first < (tile.row1, tile.col1)).all(1)
            yield AreaTask(tile, enclosing_window(box[own], of.scene, tile.grown(1)), pixel_key(first[own]))

    return Stage("group", boxes, partial(_parted, of), partial(_numbered, of))


def _borders(of: ObjectParts, tile: Box) -> tuple[Box, Sealed]:
    def make() -> bytes:
        (classes,) = of.layers.read(["classes"], tile)
        masks = (np.where(classes == thing, 255, 1).astype(np.uint8) for thing in of.rules.things)
        found = {i: tile_border(mask, tile, 128).arrays() for i, mask in enumerate(masks)}
        return save({f"{i} {name}": array for i, arrays in found.items() for name, array in arrays.items()})

    return tile, of.keep_table("borders", tile, make)


def _crossing(of: ObjectParts, borders: Iterator[tuple[Box, Sealed]]) -> list[CrossingComponents]:
    tiles = [(tile, load(part.read())) for tile, part in borders]

    def of_thing(i: int) -> Iterator[TileBorder]:
        for tile, arrays in tiles:
            yield TileBorder.of_arrays(tile, {name.removeprefix(f"{i} "): array for name, array in arrays.items()})

    return [join_tiles(of_thing(i))[0] for i in range(len(of.rules.things))]


def _parted(of: ObjectParts, task: AreaTask) -> tuple[Box, Path]:
    rules = of.rules
    assert isinstance(rules, AreaRules)  # find_objects has looked

    def make() -> Made:
        classes, confidence = of.layers.read(("classes", "confidence"), task.window)
        local, segments = area_tile(classes, confidence, task.tile, task.window, task.own, rules)  # type: ignore[arg-type]
        return (LOCAL,), iter([(local,)]), segments.to_bytes

    return task.window, of.keep("group", task.window, make, of_tile=task.tile)


def _numbered(of: ObjectParts, held: Iterator[tuple[Box, Path]]) -> Numbered:
    parts, things = tuple(held), len(of.rules.things)
    every = Segments.joined([Segments.from_bytes(StoredPart.open(path).table(TABLE), things) for _, path in parts])
    large = every.pixels >= of.rules.min_px
    return Numbered(every.take(large), int((~large).sum()), parts)


def number_stage(of: ObjectParts, found: Numbered) -> Stage[tuple[Box, Those], Path, dict[Box, Path]]:
    """Return the stage that makes of every chunk the layers that its task has later."""

    def boxes() -> Iterator[tuple[Box, Those]]:
        return ((box, found.within(box)) for box in of.chunks)

    return Stage(
        "number", boxes, partial(_number, of, found.held), lambda paths: dict(zip(of.chunks, paths, strict=True))
    )


def _number(of: ObjectParts, held: Held, chunk: tuple[Box, Those]) -> Path:
    box, those = chunk
    counts: list[NDArray[np.int32]] = []

    def make() -> Made:
        rows = (_ids(of, held, strip, those, counts) for strip in _strips(box))
        return of.job.task.later(of.job.spec), rows, lambda: np.concatenate(counts, 1).astype("<i4").tobytes()

    return of.keep("number", box, make, overviews=levels_within(of.job.chunk_px, TILE_PX))


def _strips(box: Box) -> Iterator[Box]:
    return (Box(row, box.col0, min(row + TILE_PX, box.row1), box.col1) for row in range(box.row0, box.row1, TILE_PX))


def counted_rows(of: ObjectParts, part: Path) -> NDArray[np.int32]:
    """Return how many pixels of each class every row has of a part of the stage number, (N, h)."""
    return np.frombuffer(StoredPart.open(part).table(TABLE), "<i4").reshape(len(of.job.spec.classes), -1)


def _ids(of: ObjectParts, held: Held, box: Box, those: Those, counts: list[NDArray[np.int32]]) -> tuple[Pixels, ...]:
    """Return the task's later layers (h, w) of a box; counts: gets the pixels of each class in every row."""
    out, thing = np.zeros(box.shape, np.uint32), np.zeros(box.shape, np.uint8)
    class_ids = np.array(of.rules.things, np.uint8)[those.thing]
    for tile, path in held:
        common = tile.clip(box)
        if common is None:
            continue
        own = Segments.from_bytes(StoredPart.open(path).table(TABLE), len(of.rules.things)).key
        at = np.searchsorted(those.key, own)
        known = at < len(those.key)
        known[known] = those.key[at[known]] == own[known]
        table = np.zeros((2, len(own) + 1), np.uint32)
        table[:, 1:][:, known] = those.ids[at[known]], class_ids[at[known]]
        (local,) = LayersOfParts({tile: path}, (LOCAL,)).read([LOCAL.name], common)
        out[common.within(box)] |= table[0][local]
        thing[common.within(box)] |= table[1].astype(np.uint8)[local]
    spec = of.job.spec
    (classes,) = of.layers.read([KNOWN.name if spec.detects_alone else "classes"], box)
    if spec.detects_alone:
        classes = np.where(classes == 0, np.uint8(0), np.uint8(spec.elsewhere or 0))
    if spec.objects is not None:  # painted over the classes
        classes = np.where(thing > 0, thing, classes)
    counts.append(row_counts(classes, [c.id for c in spec.classes]))
    panoptic = panoptic_ids(classes, out, of.rules.things)  # type: ignore[arg-type]
    return (panoptic,) if spec.objects is None else (classes, panoptic)
