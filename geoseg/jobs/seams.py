"""Seams: windows at the borders of chunks are run once, and what they said is handed on to the chunks beside.

That is for chunks that one process runs in order. It changes no byte: a window says the same whichever chunk runs it,
and sums are integers. What is handed on waits in a file, so memory is the same for scenes of any width.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import OutputError
from geoseg.jobs.job import Job
from geoseg.tiling.sharing import Place, Sharing
from geoseg.values.box import Box

Slices = tuple[slice, slice]


@dataclass(frozen=True, slots=True)
class Kept:
    """A window's integers in the file: whose they are, which part, where, and the chunks that have not had it yet."""

    by: Place
    part: Box
    slot: int
    users: set[Place]


class Seams:
    """Windows that chunks hand on to each other; for one thread.

    A chunk claims its windows when a strip begins: those that nobody else has claimed it runs, and keeps their integers
    here; the others it reads here when its strip is finished. So chunks are walked one after the other, but a strip may
    begin before the one before is finished. A chunk that fails gives all up, and whoever has begun beside it begins
    anew.
    """

    def __init__(self, job: Job, todo: Iterable[Place], folder: Path, file: IO[bytes]) -> None:
        self._sharing = Sharing.of(job.windows, job.resampling, job.chunk_px)
        self._shape, self._todo = job.windows.window_shape, set(todo)
        self._channels, self._slot_bytes = job.spec.blended, window_bytes(job)
        self._folder, self._file = folder, file
        self._claimed: dict[Box, Place] = {}
        self._kept: dict[Box, Kept] = {}
        self._free: list[int] = []
        self._slots = 0

    def claim(self, chunk: Place, windows: Iterable[Box]) -> tuple[list[Box], list[Box]]:
        """Return the windows that a chunk is to run, and those that it will find here."""
        own, handed = [], []
        for window in windows:
            if window in self._kept or self._claimed.get(window, chunk) != chunk:
                handed.append(window)
                continue
            own.append(window)
            if self._others(chunk, window):
                self._claimed[window] = chunk
        return own, handed

    def keep(self, chunk: Place, window: Box, said: Callable[[Slices], NDArray[np.uint32]]) -> None:
        """Take what a window of ``chunk`` said, integers (K, h, w) of a part of it, where others are to have it."""
        users = self._others(chunk, window)
        if self._claimed.pop(window, None) is None or not users:
            return
        part = self._sharing.part(window, users)
        slot = self._free.pop() if self._free else self._slots
        self._slots = max(self._slots, slot + 1)
        left = memoryview(np.ascontiguousarray(said(part.within(window)))).cast("B")
        with self._told():
            self._file.seek(slot * self._slot_bytes)
            while left:
                left = left[self._file.write(left) :]
        self._kept[window] = Kept(chunk, part, slot, users)

    def read(self, window: Box) -> tuple[Box, NDArray[np.uint32]]:
        """Return the part of a window that counts for those who share it, and its integers (K, h, w)."""
        kept = self._kept[window]
        out = np.empty((self._channels, *kept.part.shape), np.uint32)
        left = memoryview(out).cast("B")
        with self._told():
            self._file.seek(kept.slot * self._slot_bytes)
            while left:
                count = self._file.readinto(left)  # type: ignore[attr-defined]  # of a file without a buffer
                if not count:
                    raise OSError("it ends before what was written")
                left = left[count:]
        return kept.part, out

    def leave(self, chunk: Place) -> None:
        """Say that a chunk is through: it needs no window any more."""
        self._todo.discard(chunk)
        for kept in self._kept.values():
            kept.users.discard(chunk)
        self._drop([window for window, kept in self._kept.items() if not kept.users])

    def give_up(self, chunk: Place) -> None:
        """Say that a chunk has failed: what it has claimed and kept counts for nothing."""
        self._claimed = {window: by for window, by in self._claimed.items() if by != chunk}
        self._drop([window for window, kept in self._kept.items() if kept.by == chunk])

    def _drop(self, windows: Iterable[Box]) -> None:
        self._free += [self._kept.pop(window).slot for window in windows]

    def _others(self, chunk: Place, window: Box) -> set[Place]:
        """Return the other chunks that are to be run and for which a window counts."""
        return self._todo.intersection(self._sharing.users(window)) - {chunk}

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _failed(self._folder, error) from error


@contextmanager
def open_seams(job: Job, todo: Sequence[Box], folder: Path) -> Iterator[Seams | None]:
    """Yield the seams of chunks that are to be run in order, None where there are none; their file leaves no trace.

    It lies in ``folder`` without a name and goes with the process, however that ends. Raises OutputError where the disk
    fails.
    """
    if len(todo) < 2 or job.spec.objects is not None:  # what is detected in a window belongs to one chunk
        yield None
        return
    try:
        file = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  # closed below; what the run raises is not its own
    except OSError as error:
        raise _failed(folder, error) from error
    with file:
        yield Seams(job, (place(job, box) for box in todo), folder, file)


def place(job: Job, chunk: Box) -> Place:
    """Return where a chunk stands among all."""
    return chunk.row0 // job.chunk_px, chunk.col0 // job.chunk_px


def window_bytes(job: Job) -> int:
    """Return what the integers of a window take."""
    return 4 * job.spec.blended * prod(job.windows.window_shape)


def most_seam_bytes(job: Job) -> int:
    """Return what the file of a job's seams takes at most."""
    return window_bytes(job) * Sharing.of(job.windows, job.resampling, job.chunk_px).most_waiting


def _failed(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{folder}: windows at borders of chunks could not be kept ({error}); free or repair the disk, then run again"
    )
