"""Engines: ways to walk the chunks of a job. Each yields records as parts are committed, and failures as values."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from geoseg.engine.job import Job
from geoseg.engine.kernel import ChunkRecord, ChunkResult, Forward, Windows, compute_chunk, read_chunk
from geoseg.errors import GeosegError
from geoseg.grid import Box
from geoseg.raster import Raster

Commit = Callable[[ChunkResult], ChunkRecord]
READ_AHEAD = 1  # blocks read beside the one being computed; the memory plan counts READ_AHEAD + 1 blocks


@dataclass(frozen=True, slots=True)
class ChunkFailure:
    """A chunk that could not be done, and why; reading: its pixels could not be read."""

    id: str
    box: Box
    error: GeosegError
    reading: bool


class Engine(Protocol):
    """Something that runs chunks."""

    def run(
        self, job: Job, todo: Iterable[tuple[str, Box]], *, forward: Forward, commit: Commit
    ) -> Iterator[ChunkRecord | ChunkFailure]:
        """Compute and commit every chunk of ``todo``; yields one record or failure for each, in any order."""
        ...


class SyncEngine:
    """One thing after the other in the calling thread: the slow, obvious way the others are tested against."""

    def run(
        self, job: Job, todo: Iterable[tuple[str, Box]], *, forward: Forward, commit: Commit
    ) -> Iterator[ChunkRecord | ChunkFailure]:
        """See ``Engine.run``."""
        for chunk_id, box in todo:
            try:
                block = read_chunk(job, box)
            except GeosegError as error:
                yield ChunkFailure(chunk_id, box, error, reading=True)
                continue
            try:
                result = compute_chunk(
                    job, chunk_id, box, block=block, forward_all=lambda batches: map(forward, batches)
                )
            except GeosegError as error:
                yield ChunkFailure(chunk_id, box, error, reading=False)
            else:
                yield commit(result)


class ThreadsEngine:
    """A reader thread ahead, ``lanes`` threads that run the network, an encoder thread behind.

    The lanes share the windows of one chunk, so chunks can be large and few; sums are integers, so which lane ran a
    window, and when, changes no byte.
    """

    def __init__(self, *, lanes: int) -> None:
        self.lanes = lanes

    def run(
        self, job: Job, todo: Iterable[tuple[str, Box]], *, forward: Forward, commit: Commit
    ) -> Iterator[ChunkRecord | ChunkFailure]:
        """See ``Engine.run``."""
        with (
            ThreadPoolExecutor(1, "reader") as reader,
            ThreadPoolExecutor(self.lanes, "lane") as lanes,
            ThreadPoolExecutor(1, "encoder") as encoder,
        ):

            def forward_all(batches: Iterable[Windows]):  # type: ignore[no-untyped-def]
                return _ahead(batches, lambda batch: lanes.submit(forward, batch), keep=self.lanes)

            committing: Future[ChunkRecord] | None = None
            reads = _ahead(todo, lambda item: reader.submit(_try_read, job, *item), keep=READ_AHEAD)
            for chunk_id, box, block in reads:
                outcome: ChunkFailure | None = None
                if isinstance(block, GeosegError):
                    outcome = ChunkFailure(chunk_id, box, block, reading=True)
                else:
                    try:
                        result = compute_chunk(job, chunk_id, box, block=block, forward_all=forward_all)
                    except GeosegError as error:
                        outcome = ChunkFailure(chunk_id, box, error, reading=False)
                if outcome is not None:
                    yield outcome
                    continue
                if committing is not None:  # one encode at a time, and at most one waiting result in memory
                    yield committing.result()
                committing = encoder.submit(commit, result)
            if committing is not None:
                yield committing.result()


def _try_read(job: Job, chunk_id: str, box: Box) -> tuple[str, Box, Raster | GeosegError]:
    try:
        return chunk_id, box, read_chunk(job, box)
    except GeosegError as error:
        return chunk_id, box, error


def _ahead[T, R](items: Iterable[T], submit: Callable[[T], "Future[R]"], *, keep: int) -> Iterator[R]:
    """Yield the results of ``submit(item)`` in order, ``keep`` more of them under way while one is used."""
    rest = iter(items)
    pending = [submit(item) for item in islice(rest, keep)]
    try:
        while pending:
            done = pending.pop(0).result()
            for item in islice(rest, 1):
                pending.append(submit(item))
            yield done
    finally:
        for future in pending:
            future.cancel()


ENGINES: dict[str, Callable[[int], Engine]] = {
    "threads": lambda lanes: ThreadsEngine(lanes=lanes),
    "sync": lambda lanes: SyncEngine(),  # noqa: ARG005  # it has one lane by nature
}
