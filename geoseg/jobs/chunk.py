"""The one task: a chunk's pixels in, its layers out, strip by strip. The same bytes wherever and however it runs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import batched
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geoseg.executors.base import Chunk, ChunkRecord, Forward, ForwardAll, Sink, SiteOf, Walk
from geoseg.jobs.arithmetic import arithmetic_of
from geoseg.jobs.job import Job, refuse_if_different, refuse_if_source_changed
from geoseg.jobs.seams import Seams, place
from geoseg.models.backends.base import Answer, Windows
from geoseg.objects.found import Detection, Found, recorded
from geoseg.scenes.kept_open import KeptOpen, Opener
from geoseg.scenes.reading import open_raster, read
from geoseg.tasks.base import Rows
from geoseg.tiling.blend import row_counts
from geoseg.tiling.strips import Strip, strips
from geoseg.tiling.taps import source_box
from geoseg.values.box import Box
from geoseg.values.raster import Raster


@dataclass(frozen=True, slots=True, eq=False)
class StripPixels:
    """What a strip needs from disk: its pixels, and where outputs are wanted (None: everywhere).

    wanted: over all that the strip decides; block: over its pixels, None where nothing is wanted of the strip, or none
    of its pixels is valid: it then costs almost nothing.
    """

    block: Raster | None
    wanted: NDArray[np.bool_] | None


def read_strip(job: Job, strip: Strip, opener: Opener = open_raster) -> StripPixels:
    """Read the scene's pixels for a strip; none where the area of interest asks for nothing that they decide.

    opener: see ``scenes.reading.read``.
    """
    wanted = None if job.area is None else job.area.wanted(strip.decided)
    if wanted is not None and job.spec.objects is None and not _asked(wanted, strip):
        return StripPixels(None, wanted)
    block = read(job.scene, strip.pixels, opener=opener)
    return StripPixels(block if block.valid.any() else None, wanted)


def _asked(wanted: NDArray[np.bool_], strip: Strip) -> bool:
    """Whether a strip decides anything that is wanted."""
    top, (lo, hi) = strip.decided.row0, strip.rows
    leaving = wanted[lo - top : hi - top]
    return bool(leaving.any()) or any(_any_wanted(wanted, strip, reach) for reach in strip.reaches)


def _any_wanted(wanted: NDArray[np.bool_], strip: Strip, reach: Box) -> bool:
    return bool(wanted[reach.within(strip.decided)].any())


class ChunkWalk:
    """A chunk on its way: its strips from top to bottom, and the sums of the rows that are not complete yet.

    Each pixel of the working grid gets the integer sum of its windows' weighted probabilities, whatever the chunk.
    seams: where windows that other chunks have run are found; None: it runs all that touch it.
    """

    def __init__(self, job: Job, chunk_id: str, box: Box, seams: Seams | None = None) -> None:
        self.job, self.id, self.box = job, chunk_id, box
        self._seams, self._place = seams, place(job, box)
        self.strips = strips(job.windows, job.resampling, box)
        self._arithmetic = arithmetic_of(job)
        self._held: tuple[Box, Any, NDArray[np.bool_]] | None = None  # sums and what is known of them
        self._windows = self._skipped = 0
        self._class_rows: list[NDArray[np.int32]] = []
        self._found: dict[int, list[Found]] = {}  # by row of windows
        self._files = KeptOpen(open_raster)  # strips share rows of blocks, which are decoded once

    def read(self, strip: Strip) -> StripPixels:
        """Read what a strip needs; one is read at a time, the last one last."""
        pixels = read_strip(self.job, strip, self._files)
        if strip is self.strips[-1]:
            self._files.close()
        return pixels

    def begin(self, strip: Strip, pixels: StripPixels) -> "StripPass":
        """Prepare a strip's windows from the pixels that ``read_strip`` gave; strips may begin before others end."""
        images, usable = self._images(strip, pixels)
        windows = [
            window
            for window, reach in zip(strip.windows, strip.reaches, strict=True)
            if images and self._runs(window) and self._counts(window, reach, strip=strip, pixels=pixels, usable=usable)
        ]
        handed: list[Box] = []
        if self._seams is not None:
            windows, handed = self._seams.claim(self._place, windows)
        groups = list(batched(windows, self.job.batch))
        calls = self._calls(groups, images, strip.seen)
        return StripPass(strip, pixels, usable, groups, len(images), calls, handed)

    def finish(self, begun: "StripPass", answers: Iterator[Answer]) -> Rows:
        """Blend the answers to a pass's calls, strip after strip; returns the rows that are complete now."""
        strip, windows = begun.strip, sum(map(len, begun.groups))
        with self._arithmetic.blending():
            sums, known = self._take_over(strip, begun.usable)
            self._blend(begun, answers, sums)
            self._windows += windows
            self._skipped += sum(map(self._runs, strip.windows)) - windows - len(begun.handed)
            self._held = strip.sums, sums, known
            if self._seams is not None and strip is self.strips[-1]:
                self._seams.leave(self._place)
            return self._complete(strip, begun.pixels)

    def advance(self, strip: Strip, pixels: StripPixels, forward_all: ForwardAll) -> Rows:
        """Run the next strip alone over the pixels that ``read_strip`` gave; returns the rows that are complete now."""
        begun = self.begin(strip, pixels)
        return self.finish(begun, forward_all(begun.calls))

    def give_up(self) -> None:
        """See ``executors.base.Walk``."""
        if self._seams is not None:
            self._seams.give_up(self._place)

    @property
    def windows(self) -> tuple[int, int]:
        """See ``executors.base.Walk``."""
        return self._windows, self._skipped

    def record(self) -> ChunkRecord:
        """Return what became of the chunk, once all strips are through."""
        return ChunkRecord(
            self.id, self.box, self._windows, self._skipped, np.concatenate(self._class_rows, 1, dtype=np.int32)
        )

    def tables(self) -> dict[str, bytes]:
        """Return what was detected in each row of windows whose cells begin in the chunk, by ``found_table``."""
        return {found_table(row): Found.joined(found).to_bytes() for row, found in self._found.items()}

    def _runs(self, window: Box) -> bool:
        """Whether the chunk runs a window: those of objects alone are run once, by the chunk that owns them."""
        return not self.job.spec.detects_alone or self._owns(window)

    def _owns(self, window: Box) -> bool:
        """Whether a window's cell begins in the chunk."""
        cell = self.job.windows.cell(window)
        return self.job.resampling.holds(self.box, cell.row0, cell.col0)

    def _images(self, strip: Strip, pixels: StripPixels) -> tuple[list[Any], NDArray[np.bool_]]:
        """Return what the windows see as each member wants it normalised, (C, h, w), 0 where invalid, and validity."""
        if pixels.block is None:
            return [], np.zeros(strip.seen.shape, np.bool_)
        return self._arithmetic.images(self.job, pixels.block, strip.pixels, strip.seen)

    def _calls(
        self, groups: Sequence[tuple[Box, ...]], images: Sequence[Any], seen: Box
    ) -> Iterator[tuple[int, Windows]]:
        """Yield each member's views of each batch; the images are held until the last one is cut."""
        for group in groups:
            for member, image in enumerate(images):
                for windows in self._arithmetic.windows(self.job, group, image, seen):
                    yield member, windows

    def _take_over(self, strip: Strip, usable: NDArray[np.bool_]) -> tuple[Any, NDArray[np.bool_]]:
        """Return this strip's sums and their validity, with what the strip before left of them."""
        sums = self._arithmetic.zeros(self.job.spec.blended, strip.sums.shape)
        known = np.zeros(strip.sums.shape, np.bool_)
        own = strip.sums.clip(strip.seen)
        if own is not None:
            known[own.within(strip.sums)] = usable[own.within(strip.seen)]
        if self._held is not None:
            box, before, before_known = self._held
            common = box.clip(strip.sums)
            if common is not None:
                sums[:, *common.within(strip.sums)] = before[:, *common.within(box)]
                known[common.within(strip.sums)] |= before_known[common.within(box)]
        return sums, known

    def _counts(self, window: Box, reach: Box, *, strip: Strip, pixels: StripPixels, usable: NDArray[np.bool_]) -> bool:
        """Whether a valid pixel lies where the window weighs something, and a wanted one where it reaches."""
        wanted = None if self.job.spec.objects is not None else pixels.wanted  # an object may reach into the area
        if wanted is not None and not _any_wanted(wanted, strip, reach):
            return False
        rows, cols = self.job.windows.weights(window)
        inside = window.clip(Box(0, 0, *self.job.resampling.working_shape))
        assert inside is not None  # windows start inside the scene
        part = usable[inside.within(strip.seen)]
        height, width = inside.shape
        return bool(part[_positive(rows[:height]), _positive(cols[:width])].any())

    def _blend(self, begun: "StripPass", answers: Iterator[Answer], sums: Any) -> None:
        """Add what all members and views of the network say of each window, averaged, to the sums."""
        job, views, sums_box, here = self.job, self.job.views, begun.strip.sums, self._arithmetic
        for group in begun.groups:
            said = []
            for view in views * begun.images:
                answer = next(answers)
                if job.spec.objects is not None:  # of one image in one view
                    self._keep(group, answer.objects)
                if job.spec.outputs:
                    said.append(here.integers(answer.values, view, job.spec.vectors))
            if not said:
                continue
            for window, probs in zip(group, here.mean(said), strict=False):  # the last batch is padded
                here.add(sums, sums_box, probs, window, job.windows.weights(window))
                if self._seams is not None:
                    self._seams.keep(self._place, window, partial(here.fetched, probs))
        for window in begun.handed:
            assert self._seams is not None  # begin has asked it
            part, probs = self._seams.read(window)
            weights = zip(job.windows.weights(window), part.within(window), strict=True)
            rows, cols = (weight[kept] for weight, kept in weights)
            here.add(sums, sums_box, here.placed(probs), part, (rows, cols))

    def _keep(self, group: Sequence[Box], objects: Sequence[Sequence[Detection]]) -> None:
        """Keep what was detected in some windows."""
        grid, rules = self.job.windows, self.job.spec.objects
        assert rules is not None  # _blend has looked
        scene = Box(0, 0, *grid.shape)
        for window, said in zip(group, objects, strict=False):  # the last batch is padded
            if not self._owns(window):
                continue
            found = recorded(said, window, grid.cell(window), scene, rules.edge_px)
            found = replace(found, full=int(len(said) >= rules.per_window))
            self._found.setdefault(window.row0 // grid.rows.stride, []).append(found)

    def _complete(self, strip: Strip, pixels: StripPixels) -> Rows:
        """Return the layers of the rows that are complete."""
        assert self._held is not None  # advance has just put it there
        held, sums, known = self._held
        lo, hi = strip.rows
        if lo == hi:
            return {}
        rows = Box(lo, self.box.col0, hi, self.box.col1)
        if pixels.block is None:
            return self._leave(self.job.blank(rows.shape))
        if self.job.resampling.is_identity:
            part = rows.within(held)
            acc, usable = sums[:, *part], known[part]
        else:
            taps = self.job.resampling.to_scene(rows)
            part = source_box(taps).within(held)
            acc, usable = self._arithmetic.to_scene(sums[:, *part], known[part], taps)
        usable = usable & pixels.block.valid[rows.within(strip.pixels)]
        if pixels.wanted is not None:
            usable &= pixels.wanted[rows.within(strip.decided)]
        return self._leave(self._arithmetic.rows(acc, usable, self.job))

    def _leave(self, layers: Rows) -> Rows:
        """Count what is in rows that leave."""
        self._class_rows.append(self._counted(layers))
        return layers

    def _counted(self, layers: Rows) -> NDArray[np.int32]:
        """Return the pixels of each class in every row, (N, n); without classes those that are known, (1, n)."""
        counted, first = self.job.class_layer, self.job.layers[0]
        if counted is None:
            return (~first.is_nodata(layers[first.name])).sum(1, dtype=np.int32)[None]
        return row_counts(layers[counted.name], [c.id for c in self.job.spec.classes])


def rows_of(job: Job, box: Box, forward_all: ForwardAll) -> Rows:
    """Return the layers (h, w) of a box of the scene's grid, strip after strip."""
    walk = ChunkWalk(job, "", box)
    done = [walk.advance(strip, walk.read(strip), forward_all) for strip in walk.strips]
    return {name: np.concatenate([rows[name] for rows in done if rows], -2) for name in next(filter(None, done))}


@dataclass(frozen=True, slots=True, eq=False)
class StripPass:
    """A strip on its way through the network.

    usable: which of the pixels seen are valid, (h, w); groups: its windows in batches; images: how many members run
    each; calls: what is asked of the network, in the order in which ``ChunkWalk.finish`` takes the answers; handed:
    windows that other chunks have run.
    """

    strip: Strip
    pixels: StripPixels
    usable: NDArray[np.bool_]
    groups: list[tuple[Box, ...]]
    images: int
    calls: Iterator[tuple[int, Windows]]
    handed: Sequence[Box] = ()


def found_table(row: int) -> str:
    """Return the name of a part's table of what was detected in a row of windows."""
    return f"objects-{row:06d}"


def _positive(weights: NDArray[np.uint16]) -> slice:
    """Return where a window's weights are above zero: one stretch, since they rise, stay and fall."""
    positions = np.flatnonzero(weights)
    return slice(positions[0], positions[-1] + 1) if len(positions) else slice(0)


class Store(Protocol):
    """Where parts go; picklable for engines with other processes."""

    def sink(self, job: Job, walk: Walk) -> Sink:
        """Open the part of a chunk."""
        ...


@dataclass(frozen=True, slots=True)
class ChunkTask:
    """What engines do to every chunk of a job: see ``geoseg.executors.base.Task``."""

    job: Job
    network: Callable[[Job], Forward]
    """Makes the job's networks ready, once per process; picklable."""
    store: Store
    seams: Seams | None = None
    """Where chunks hand windows on, of an engine that runs them in order in this process."""

    @property
    def key(self) -> str:
        """The beginning of the job's fingerprint."""
        return self.job.fingerprint[:8]

    def forward(self) -> Forward:
        """Return the call of the job's networks."""
        return self.network(self.job)

    def walk(self, chunk: Chunk) -> ChunkWalk:
        """Begin a chunk."""
        return ChunkWalk(self.job, *chunk, self.seams)

    def sink(self, walk: Walk) -> Sink:
        """Open the part of a chunk."""
        return self.store.sink(self.job, walk)

    def refuse_if_changed(self) -> None:
        """See ``refuse_if_source_changed``."""
        refuse_if_source_changed(self.job)

    def refuse_if_different(self, site: SiteOf) -> None:
        """See ``geoseg.jobs.job.refuse_if_different``."""
        refuse_if_different(self.job, site)
