"""Detections of a job: what its chunks have kept of them is merged into objects, and painted tile by tile.

These are the first stages of objects where a network gives them window by window; see ``geoseg.jobs.objects`` for those
that follow. Rows of windows, tiles, and where they run change no byte.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from geoseg.disk.sealed import Sealed
from geoseg.jobs.chunk import found_table
from geoseg.jobs.job import Job
from geoseg.jobs.stages import Stage
from geoseg.objects.found import BOX, COLUMNS, Found
from geoseg.objects.merging import Merged, MergeRules, links, merged, painted
from geoseg.objects.segments import Segments, measured
from geoseg.outputs.cog.parts import StoredPart
from geoseg.tasks.objects import KNOWN
from geoseg.values.box import Box

if TYPE_CHECKING:
    from pathlib import Path

    from geoseg.jobs.object_parts import ObjectParts

MOST_BOX_PX = 2**22  # of an object that is painted
log = logging.getLogger(__name__)


def merge_rules(job: Job) -> MergeRules:
    """Return by what rules detections become objects: those of the network's grid, but for the least size."""
    told, (rows, cols) = job.spec.objects, job.resampling.scale
    assert told is not None  # a bundle of the task objects has it
    least_px = max(1, round(told.min_px / (rows * cols)))
    return MergeRules(job.spec.things, told.edge_px, told.same, told.inside, told.join, least_px)


@dataclass(frozen=True, slots=True, eq=False)
class Linked:
    """The detections of a row of windows, and how they meet each other and those of the rows below."""

    table: NDArray[np.int64]
    """See ``Found``, (N, COLUMNS)."""
    place: NDArray[np.int64]
    """Where the mask of each is: number of the chunk's part, row of windows, number in its table; (N, 3)."""
    links: NDArray[np.int64]
    """See ``geoseg.objects.merging.links``; numbers go on in the rows below."""
    full: int
    """How many windows gave as many detections as the network can."""

    def to_bytes(self) -> bytes:
        """Return all of it for a file, read back by ``from_bytes``."""
        return save({"table": self.table, "place": self.place, "links": self.links, "full": np.array(self.full)})

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """Return what ``to_bytes`` has written."""
        found = load(stored)
        return cls(found["table"], found["place"], found["links"], int(found["full"]))


@dataclass(frozen=True, slots=True, eq=False)
class Detected:
    """The objects of a scene, before they are painted."""

    merged: Merged
    """The objects."""
    box: NDArray[np.int64]
    """Of each member, in pixels of the network's grid, (K, 4)."""
    place: NDArray[np.int64]
    """Of each member, see ``Linked``, (K, 3)."""
    full: int
    """See ``Linked``."""


def merge_stage(of: "ObjectParts", rules: MergeRules) -> Stage[int, Sealed, Detected]:
    """Return the stage that finds what the detections of every row of windows meet, and merges them all.

    A part holds what a row has found; what becomes of all is a table of integers, made of them in one go.
    """
    return Stage(
        "merge", lambda: iter(range(of.job.windows.rows.count)), partial(_linked, of, rules), partial(_merged, rules)
    )


def reach_rows(job: Job) -> int:
    """Return how many rows of windows below one see pixels that it sees."""
    return (job.windows.rows.window - 1) // job.windows.rows.stride


def _linked(of: "ObjectParts", rules: MergeRules, row: int) -> Sealed:
    def make() -> bytes:
        last = min(row + reach_rows(of.job) + 1, of.job.windows.rows.count)
        (own, place), *below = (_row(of, i) for i in range(row, last))
        every = Found.joined([own, *(found for found, _ in below)])
        return Linked(own.table, place, links(every, len(own.table), rules), own.full).to_bytes()

    return of.keep_table("merge", Box(row, 0, row + 1, of.job.windows.cols.count), make)


def _row(of: "ObjectParts", row: int) -> tuple[Found, NDArray[np.int64]]:
    """Return what was detected in a row of windows, and the place of each."""
    found, places, job = [], [], of.job
    top = job.windows.rows.cell(row)[0]
    for number, (box, path) in enumerate(of.in_order):
        if not job.resampling.holds(Box(box.row0, 0, box.row1, of.scene.col1), top, 0):
            continue
        part = StoredPart.open(path)
        if found_table(row) in part.tables:
            found.append(Found.from_bytes(part.table(found_table(row))))
            count = len(found[-1].table)
            places.append(np.stack([np.full(count, number), np.full(count, row), np.arange(count)], 1))
    return Found.joined(found), np.concatenate([np.empty((0, 3), np.int64), *places])


def _merged(rules: MergeRules, rows: Iterator[Sealed]) -> Detected:
    tables, places, pairs, first, full = [np.empty((0, COLUMNS), np.int64)], [np.empty((0, 3), np.int64)], [], 0, 0
    for part in rows:
        row = Linked.from_bytes(part.read())
        tables.append(row.table)
        places.append(row.place)
        pairs.append(row.links + np.array([first, first, 0]))
        first, full = first + len(row.table), full + row.full
    table, place = np.concatenate(tables), np.concatenate(places)
    found = _bounded(merged(table, np.concatenate(pairs), rules), table)
    if full:
        log.warning(
            "%d windows gave as many detections as the network can: objects may lack there; take smaller windows, or a "
            "network with more per_window", full
        )  # fmt: skip
    return Detected(found, table[found.member, BOX], place[found.member], full)


def _bounded(found: Merged, table: NDArray[np.int64]) -> Merged:
    """Leave the members of objects out that are too large to be drawn."""
    box = table[found.member, BOX]
    starts = np.unique(found.of, return_index=True)[1]
    if not len(starts):
        return found
    low, high = np.minimum.reduceat(box[:, :2], starts), np.maximum.reduceat(box[:, 2:], starts)
    large = (high - low).prod(1) > MOST_BOX_PX
    if large.any():
        log.warning("%d objects reach over more than %d px: they are left out", int(large.sum()), MOST_BOX_PX)
    stays = ~large[found.of]
    return Merged(found.member[stays], found.of[stays], found.class_id, found.score, found.clear_px, found.joined)


@dataclass(frozen=True, slots=True, eq=False)
class Painting:
    """What lies in a tile: the members of objects, K of them, and their objects."""

    tile: Box
    """The tile, in pixels of the scene."""
    place: NDArray[np.int64]
    """See ``Linked``, (K, 3)."""
    of: NDArray[np.int64]
    """The number of the object, ascending, (K,)."""
    class_id: NDArray[np.int64]
    """Of the object, (K,)."""
    score: NDArray[np.int64]
    """Of the object, (K,)."""


def paintings(of: "ObjectParts", found: Detected) -> Iterator[Painting]:
    """Yield what lies in every tile."""
    merged, low, high = found.merged, found.box[:, :2], found.box[:, 2:]
    for tile in of.tiles():
        rows, cols = of.job.resampling.nearest(tile)
        here = (low <= (rows[-1], cols[-1])).all(1) & (high > (rows[0], cols[0])).all(1)
        object_ = merged.of[here]
        yield Painting(tile, found.place[here], object_, merged.class_id[object_], merged.score[object_])


def paint(of: "ObjectParts", task: Painting) -> tuple[NDArray[np.uint32], Segments]:
    """Return the object of each pixel of a tile (h, w), numbered from 1, 0 for none; and the objects by their numbers.

    Pixels of which nothing is known are of none.
    """
    (known,) = of.layers.read([KNOWN.name if of.job.spec.detects_alone else "classes"], task.tile)
    out = painted(_members(of, task.place), task.of, *of.job.resampling.nearest(task.tile))
    out[known == 0] = -1
    key = np.setdiff1d(out, -1)
    local = (np.searchsorted(key, out) + (out >= 0)).astype(np.uint32)
    at = np.searchsorted(task.of, key)
    classes = np.append(0, task.class_id[at])[local].astype(np.uint8)
    sure = np.full(out.shape, 255, np.uint8)
    centre = (1 + task.score[at] * 65534 // 65535).astype(np.uint16)
    return local, measured(local, task.tile, classes, sure, things=of.job.spec.things, key=key, centre=centre)


def _members(of: "ObjectParts", place: NDArray[np.int64]) -> Found:
    """Return the detections at some places, in their order."""
    paths: list[Path] = [path for _, path in of.in_order]
    tables, at = np.unique(place[:, :2], axis=0, return_inverse=True)
    found, order = [], []
    for i, (part, row) in enumerate(tables.tolist()):
        own = np.flatnonzero(at.ravel() == i)
        found.append(Found.from_bytes(StoredPart.open(paths[part]).table(found_table(row))).take(place[own, 2]))
        order.append(own)
    return Found.joined(found).take(np.argsort(np.concatenate([np.empty(0, np.int64), *order])))
