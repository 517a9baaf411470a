"""Parts of objects: what the stages of a job keep beside the parts of its chunks, and the rules that they go by."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geoseg.disk.sealed import Sealed
from geoseg.jobs import detections
from geoseg.jobs.job import Job
from geoseg.models.grouping import range_px
from geoseg.objects.areas import SUB as PARTS
from geoseg.objects.areas import AreaRules
from geoseg.objects.grouping import SUB, GroupingRules
from geoseg.objects.merging import MergeRules
from geoseg.outputs.cog.layers_of_parts import LayersOfParts
from geoseg.outputs.cog.parts import PartEncoder, read_record, write_part
from geoseg.values.box import Box
from geoseg.values.layers import Layer, Pixels

GROUP_PX = 1024  # side of a tile that is grouped, or drawn, at once
MOST_AREA_PX = 2**22  # of the box of an area that is parted
LOCAL = Layer("segment", "ids", dtype="uint32")  # number of a segment within its tile, from 1 on
TABLE = "segments"
Made = tuple[tuple[Layer, ...], Iterator[tuple[Pixels, ...]], Callable[[], bytes]]  # layers, rows of each, a table
Held = tuple[tuple[Box, Path], ...]


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
    rules: GroupingRules | AreaRules | MergeRules = field(init=False)
    """Of the model, in pixels of the scene."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", grouping_rules(self.job))

    @property
    def layers(self) -> LayersOfParts:
        """What the chunks hold."""
        return LayersOfParts(self.chunks, self.job.layers)

    @property
    def in_order(self) -> list[tuple[Box, Path]]:
        """The part of every chunk, row by row."""
        return sorted(self.chunks.items())

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

    def keep(
        self,
        stage: str,
        box: Box,
        make: Callable[[], Made],
        *,
        overviews: int = 0,
        of_tile: Box | None = None,
    ) -> Path:
        """Return the part of a box, made where it is not there yet: of the rows of layers, and a table after them.

        of_tile: by which it is called, where the box is not the tile itself.
        """
        path, record = self.part(stage, of_tile or box), self._record(box)
        if read_record(path) == record:
            return path
        layers, rows, table = make()
        encoder = PartEncoder(box.shape, layers, overviews=overviews)
        for pixels in rows:
            encoder.add(dict(zip((layer.name for layer in layers), pixels, strict=True)))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_part(path, encoder.finish(), grid=self.job.scene.grid.crop(box), record=record, tables={TABLE: table()})
        return path

    def keep_table(self, stage: str, box: Box, make: Callable[[], bytes]) -> Sealed:
        """Return the part of a box in which a stage finds no pixels but a table, made where it is not there yet."""
        path = self.part(stage, box).with_suffix(".table")
        return Sealed.kept(path, json.dumps(self._record(box), sort_keys=True), make)

    def _record(self, box: Box) -> dict[str, Any]:
        """Return what a part of a stage is of."""
        place = [box.row0, box.col0, box.row1, box.col1]
        return {"fingerprint": self.job.fingerprint, "box": place, "missing": [*self.missing]}


def grouping_rules(job: Job) -> GroupingRules | AreaRules | MergeRules:
    """Return by what rules objects are made, in pixels of the scene where the network ran on others."""
    if job.spec.objects is not None:
        return detections.merge_rules(job)
    grouping = job.spec.grouping
    assert grouping is not None  # a bundle of the task panoptic has it
    rows, cols = (1 / scale for scale in job.resampling.scale)
    mean, least_px = (rows * cols) ** 0.5, max(1, round(grouping.min_px * rows * cols))
    if grouping.by == "areas":
        return AreaRules(job.spec.things, drop=max(1, round(PARTS * grouping.drop_px * mean)), min_px=least_px)
    far = range_px(job.spec.outputs)
    return GroupingRules(
        things=job.spec.things,
        span=(round(SUB * far * rows), round(SUB * far * cols)),
        peak_px=max(1, round(grouping.peak_px * mean)),
        least=1 + round(65534 * grouping.least),
        reach_px=max(1, round(grouping.reach_px * mean)),
        min_px=least_px,
    )
