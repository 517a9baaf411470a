"""Objects of a job: what its chunks say of classes, centres and offsets is grouped, numbered and drawn, in stages.

Results of the first two stages are parts of their own beside those of the chunks, so what is done stays done. A third
draws outlines, and keeps nothing. Tiles, their order and where they run change no byte. What is done to the pixels of a
tile is in ``geoseg.objects``.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.jobs.job import Job
from geoseg.jobs.run import Listener, Progress
from geoseg.jobs.stages import ParallelMap, Stage
from geoseg.models.grouping import range_px
from geoseg.objects.grouping import SUB, GroupingRules
from geoseg.objects.segments import FIRST_THING, Segments, TileLayers, group_tile, panoptic_ids
from geoseg.outputs.cog.layers_of_parts import LayersOfParts
from geoseg.outputs.cog.parts import PartEncoder, StoredPart, read_record, write_part
from geoseg.outputs.cog.tiff import TILE_PX
from geoseg.tasks.panoptic import OF_OBJECTS, PANOPTIC
from geoseg.tiling.memory import object_bytes
from geoseg.tiling.overviews import levels_within
from geoseg.values.box import Box
from geoseg.values.layers import Layer, Pixels

GROUP_PX = 1024  # side of a tile that is grouped, or drawn, at once
LOCAL = Layer("segment", "ids", dtype="uint32")  # number of a segment within its tile, from 1 on
TABLE = "segments"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectParts:
    """The parts of a job's chunks, and where those of its stages lie; picklable."""

    job: Job
    chunks: Mapping[Box, Path]
    """The part of every chunk."""
    folder: Path
    """Where the stages' parts go, a folder for each."""
    missing: tuple[str, ...] = ()
    """Chunks that are nodata since they failed: what is made of them is not kept for a run that has them."""
    tile_px: int = field(default_factory=lambda: GROUP_PX)
    """Side of a tile, which changes no byte of the outputs."""
    rules: GroupingRules = field(init=False)
    """Of the model, in pixels of the scene."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", grouping_rules(self.job))

    @property
    def layers(self) -> LayersOfParts:
        """What the chunks hold."""
        return LayersOfParts(self.chunks, self.job.layers)

    @property
    def scene(self) -> Box:
        """All pixels."""
        return self.job.scene.grid.box

    def tiles(self) -> Iterator[Box]:
        """Yield what is grouped at once, row by row."""
        return self.scene.blocks(self.tile_px)

    def part(self, stage: str, box: Box) -> Path:
        """Where the part of a stage lies."""
        return self.folder / stage / f"{box.row0}-{box.col0}.tif"

    def parts(self, stage: str, boxes: Iterator[Box]) -> dict[Box, Path]:
        """Return where the parts of a stage lie."""
        return {box: self.part(stage, box) for box in boxes}

    def keep(
        self, stage: str, box: Box, make: Callable[[], tuple[Layer, Iterator[Pixels], bytes]], *, overviews: int = 0
    ) -> Path:
        """Return the part of a box, made where it is not there yet: of the rows of a layer, and a table."""
        path = self.part(stage, box)
        record = {"fingerprint": self.job.fingerprint, "box": [*box.shape], "missing": [*self.missing]}
        if read_record(path) == record:
            return path
        layer, rows, table = make()
        encoder = PartEncoder(box.shape, (layer,), overviews=overviews)
        for pixels in rows:
            encoder.add({layer.name: pixels})
        path.parent.mkdir(parents=True, exist_ok=True)
        write_part(path, encoder.finish(), grid=self.job.scene.grid.crop(box), record=record, tables={TABLE: table})
        return path


def grouping_rules(job: Job) -> GroupingRules:
    """Return by what rules objects are made, in pixels of the scene where the network ran on others."""
    grouping = job.spec.grouping
    assert grouping is not None  # a bundle of the task panoptic has it
    rows, cols = (1 / scale for scale in job.resampling.scale)
    mean = (rows * cols) ** 0.5
    far = range_px(job.spec.outputs)
    return GroupingRules(
        things=job.spec.things,
        span=(round(SUB * far * rows), round(SUB * far * cols)),
        peak_px=max(1, round(grouping.peak_px * mean)),
        least=1 + round(65534 * grouping.least),
        reach_px=max(1, round(grouping.reach_px * mean)),
        min_px=max(1, round(grouping.min_px * rows * cols)),
    )


def stage_bytes(job: Job, *, lanes: int, base_bytes: int) -> dict[str, int]:
    """Return what each stage takes in a process of ``base_bytes`` with ``lanes`` tiles at once."""
    return object_bytes(
        job.scene.grid.shape,
        lanes=lanes,
        chunk_px=job.chunk_px,
        tile_px=GROUP_PX,
        halo_px=grouping_rules(job).halo_px,
        row_bytes=Segments.row_bytes(len(job.spec.things)),
        base_bytes=base_bytes,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Numbered:
    """The objects of a scene."""

    segments: Segments
    """Those that are large enough, in raster order of their centres: object i has the id FIRST_THING + i."""
    left_out: int
    """How many were too small."""

    def within(self, box: Box) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """Return keys and ids of the objects whose boxes meet ``box``."""
        low, high = self.segments.box[:, :2], self.segments.box[:, 2:]
        meets = (low < (box.row1, box.col1)).all(1) & (high > (box.row0, box.col0)).all(1)
        return self.segments.key[meets], (FIRST_THING + np.flatnonzero(meets)).astype(np.uint32)


def find_objects(of: ObjectParts, *, each: ParallelMap = map, listen: Listener) -> tuple[Numbered, dict[Box, Path]]:
    """Group and number the objects of a scene; returns them, and the parts of the panoptic raster by chunk."""
    found = told(group_stage(of), sum(1 for _ in of.tiles()), listen).walk(each)
    parts = told(number_stage(of, found), len(of.chunks), listen).walk(each)
    return found, parts


def told[B, R, C](stage: Stage[B, R, C], total: int, listen: Listener) -> Stage[B, R, C]:
    """Return a stage of ``total`` boxes that says how far it is."""

    def collect(results: Iterator[R]) -> C:
        def counted() -> Iterator[R]:
            listen(Progress(stage.name, 0, total))
            for done, result in enumerate(results, start=1):
                yield result
                listen(Progress(stage.name, done, total))

        return stage.collect(counted())

    return Stage(stage.name, stage.boxes, stage.run, collect)


def group_stage(of: ObjectParts) -> Stage[Box, Path, Numbered]:
    """Return the stage that finds the segments of every tile, and adds up what is known of each."""
    return Stage("group", of.tiles, partial(_group, of), partial(_numbered, of))


def _group(of: ObjectParts, tile: Box) -> Path:
    def make() -> tuple[Layer, Iterator[Pixels], bytes]:
        around = tile.grown(of.rules.halo_px).clip(of.scene)
        assert around is not None  # it holds the tile
        layers = of.layers.read(("classes", "confidence", *OF_OBJECTS), around)
        local, segments = group_tile(TileLayers(*layers), tile, around, of.rules)  # type: ignore[arg-type]
        return LOCAL, iter([local]), segments.to_bytes()

    return of.keep("group", tile, make)


def _numbered(of: ObjectParts, paths: Iterator[Path]) -> Numbered:
    things = len(of.rules.things)
    tiles = [Segments.from_bytes(StoredPart.open(path).table(TABLE), things) for path in paths]
    every = Segments.joined(tiles)
    large = every.pixels >= of.rules.min_px
    return Numbered(every.take(large), int((~large).sum()))


def number_stage(of: ObjectParts, found: Numbered) -> Stage[Any, Path, dict[Box, Path]]:
    """Return the stage that makes the panoptic raster of every chunk."""

    def boxes() -> Iterator[tuple[Box, NDArray[np.int64], NDArray[np.uint32]]]:
        return ((box, *found.within(box)) for box in of.chunks)

    return Stage("number", boxes, partial(_number, of), lambda paths: dict(zip(of.chunks, paths, strict=True)))


def _number(of: ObjectParts, chunk: tuple[Box, NDArray[np.int64], NDArray[np.uint32]]) -> Path:
    box, keys, ids = chunk

    def make() -> tuple[Layer, Iterator[Pixels], bytes]:
        strips = (
            Box(row, box.col0, min(row + TILE_PX, box.row1), box.col1) for row in range(box.row0, box.row1, TILE_PX)
        )
        return PANOPTIC, (_ids(of, strip, keys, ids) for strip in strips), b""

    return of.keep("number", box, make, overviews=levels_within(of.job.chunk_px, TILE_PX))


def _ids(of: ObjectParts, box: Box, keys: NDArray[np.int64], ids: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the panoptic raster (h, w) of a box, in which the objects ``keys`` have ``ids``."""
    out = np.zeros(box.shape, np.uint32)
    for tile, path in of.parts("group", of.tiles()).items():
        common = tile.clip(box)
        if common is None:
            continue
        own = Segments.from_bytes(StoredPart.open(path).table(TABLE), len(of.rules.things)).key
        at = np.searchsorted(keys, own)
        known = at < len(keys)
        known[known] = keys[at[known]] == own[known]
        table = np.zeros(len(own) + 1, np.uint32)
        table[1:][known] = ids[at[known]]
        (local,) = LayersOfParts({tile: path}, (LOCAL,)).read([LOCAL.name], common)
        (classes,) = of.layers.read(["classes"], common)
        out[common.within(box)] = panoptic_ids(classes, local, table, of.rules.things)  # type: ignore[arg-type]
    return out
