"""Files of a job's objects: the panoptic raster with its table and style, and a GeoPackage of their outlines."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoseg.disk.sealed import Sealed
from geoseg.jobs.job import Job
from geoseg.jobs.object_parts import ObjectParts
from geoseg.jobs.objects import Numbered, walk_stage
from geoseg.jobs.run import Listener, Stop
from geoseg.jobs.stages import ParallelMap, Stage
from geoseg.objects.segments import Segments
from geoseg.outputs.cog.cog import assemble
from geoseg.outputs.cog.layers_of_parts import LayersOfParts
from geoseg.outputs.geopackage.instances import Objects, instances_batch, write_instances
from geoseg.outputs.ids_table import INSTANCES, MOST_ROWS, IdRow, shade, write_ids_table
from geoseg.tasks.panoptic import PANOPTIC
from geoseg.values.box import Box
from geoseg.values.grid import Grid
from geoseg.values.layers import FIRST_OBJECT
from geoseg.vector.pixels.labels import label_polygons


def write_objects(
    of: ObjectParts,
    found: Numbered,
    parts: Mapping[Box, Path],
    built: Path,
    *,
    counts: Mapping[int, int],
    tags: Mapping[str, str],
    provenance: Mapping[str, Any],
    listen: Listener,
    stop: Stop,
    each: ParallelMap = map,
) -> dict[str, Any]:
    """Write panoptic.tif and instances.gpkg of a job's objects to ``built``; return what run.json says.

    found, parts: see ``find_objects``; counts: pixels of each class; tags, provenance: see ``assemble`` and
    ``write_instances``. Raises OutputError, and TryAgainError where ``stop`` says so.
    """
    job = of.job
    raster = built / str(PANOPTIC.file)
    later = job.task.later(job.spec)
    assemble(parts, job.scene.grid, {later.index(PANOPTIC): PANOPTIC}, raster, tags=tags)
    write_ids_table(raster, id_rows(job, found, counts))

    def write(rows: Iterator[Rows]) -> tuple[int, float]:
        classes = job.spec.class_map
        return write_instances(
            built / INSTANCES,
            in_order((row0, _read(part)) for row0, part in rows),
            crs=job.scene.grid.crs,
            things=classes.only([classes.by_id(i).name for i in job.spec.things]),
            classes=classes,
            provenance=provenance,
            detected=found.merged is not None,
        )

    tiles = sum(1 for _ in of.tiles())
    outlines = outline_stage(of, found, parts, write)
    count, area_m2 = walk_stage(outlines, tiles, each=each, listen=listen, stop=stop)
    of_class = np.bincount(class_ids(job, found.segments), minlength=256)
    return {
        "file": INSTANCES,
        "raster": PANOPTIC.file,
        "count": count,
        "area_m2": round(area_m2, 3),
        "of": {c.name: int(of_class[c.id]) for c in job.spec.classes if c.id in job.spec.things},
        "too_small": found.left_out,
        **({} if found.merged is None else {"windows_at_limit": found.full}),
    }


def class_ids(job: Job, segments: Segments) -> NDArray[np.int64]:
    """Return the class of each object, (N,): that of most of its pixels."""
    return np.array(job.spec.things, np.int64)[segments.thing]


def id_rows(job: Job, found: Numbered, counts: Mapping[int, int]) -> list[IdRow]:
    """Return a row for each class of stuff, and for each of the first MOST_ROWS objects."""
    stuff = [IdRow(c.id, counts[c.id], c.name, c.color) for c in job.spec.classes if c.id not in job.spec.things]
    of = [job.spec.class_map.by_id(int(i)) for i in class_ids(job, found.segments)[:MOST_ROWS]]
    pixels = found.segments.pixels.tolist()
    return stuff + [IdRow(FIRST_OBJECT + i, pixels[i], c.name, shade(c.color, i)) for i, c in enumerate(of)]


Rows = tuple[int, Sealed]  # first row of a tile, and the part with the objects whose centres lie in it


@dataclass(frozen=True, slots=True)
class Owned:
    """The objects that a tile draws: those whose centres lie in it."""

    tile: Box
    """The tile."""
    segments: Segments
    """N of them."""
    ids: NDArray[np.int64]
    """Their ids, ascending, (N,)."""
    pieces: tuple[NDArray[np.bool_], NDArray[np.int64]] | None = None
    """Of objects that were detected: whether they are joined, and their clearance, (N,)."""


def outline_stage[C](
    of: ObjectParts, found: Numbered, parts: Mapping[Box, Path], collect: Callable[[Iterator[Rows]], C]
) -> Stage[Owned, Rows, C]:
    """Return the stage that draws the objects of every tile; parts: of the panoptic raster."""

    def boxes() -> Iterator[Owned]:
        place, merged = found.place, found.merged
        for tile in of.tiles():
            inside = (place >= (tile.row0, tile.col0)).all(1) & (place < (tile.row1, tile.col1)).all(1)
            segments = found.segments.take(inside)
            pieces = None if merged is None else (merged.joined[segments.key], merged.clear_px[segments.key])
            yield Owned(tile, segments, FIRST_OBJECT + np.flatnonzero(inside), pieces)

    return Stage(
        "outline", boxes, partial(_outlined, of, LayersOfParts(parts, of.job.task.later(of.job.spec))), collect
    )


def _outlined(of: ObjectParts, ids: LayersOfParts, owned: Owned) -> Rows:
    return owned.tile.row0, of.keep_table("outline", owned.tile, partial(_drawn, of, ids, owned))


def _drawn(of: ObjectParts, ids: LayersOfParts, owned: Owned) -> bytes:
    """Return the rows of a tile's objects as an Arrow stream."""
    grid: Grid = of.job.scene.grid
    segments = owned.segments
    drawn = np.empty(0, object)
    if len(segments):
        low, high = segments.box[:, :2].min(0), segments.box[:, 2:].max(0)
        box = Box(*map(int, low), *map(int, high)).grown(1).clip(of.scene)
        assert box is not None  # objects lie in the scene
        (pixels,) = ids.read([PANOPTIC.name], box)
        labels = np.where(pixels >= FIRST_OBJECT, pixels, 0).astype(np.int32)  # type: ignore[operator]
        value, polygons = label_polygons(labels, (box.row0, box.col0), grid.transform)
        drawn = polygons[np.searchsorted(value, owned.ids)]
    objects = Objects(owned.ids, class_ids(of.job, segments), segments.score, segments.pixels, owned.pieces)
    batch = instances_batch(objects, drawn, crs=grid.crs, classes=of.job.spec.class_map)
    with pa.BufferOutputStream() as stream:
        with pa.ipc.new_stream(stream, batch.schema) as writer:
            writer.write_batch(batch)
        return stream.getvalue().to_pybytes()


def _read(part: Sealed) -> pa.RecordBatch:
    """Return what ``_drawn`` has written."""
    return pa.ipc.open_stream(part.read()).read_next_batch()


def in_order(rows: Iterator[tuple[int, pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """Yield the objects of tiles in the order of their ids: they follow each other from one row of tiles to the next.

    rows: the first row of each tile, and its objects.
    """
    for _, tiles in groupby(rows, key=lambda row: row[0]):
        table = pa.Table.from_batches([batch for _, batch in tiles])
        yield from table.sort_by("segment_id").combine_chunks().to_batches()
