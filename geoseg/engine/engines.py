"""Engines: ways to walk the chunks of a job. Each yields records as parts are committed, and failures as values."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from geoseg.engine.job import Job, Platform
from geoseg.engine.kernel import ChunkRecord, ChunkWalk, Forward, Rows
from geoseg.grid import Box

Chunk = tuple[str, Box]


class Cause(StrEnum):
    """Why a chunk failed; each has its own budget of attempts, see ``geoseg.engine.run``."""

    READING = "reading"  # its pixels could not be read
    MEMORY = "memory"  # it did not fit the memory that was there
    NETWORK = "network"  # the network, or what stands around it, raised
    WORKER = "worker"  # the worker that had it was lost


@dataclass(frozen=True, slots=True)
class ChunkFailure:
    """A chunk that could not be done, and why."""

    id: str
    box: Box
    cause: Cause
    error: Exception


class Sink(Protocol):
    """Takes a chunk's rows from top to bottom, then commits them."""

    def add(self, rows: Rows) -> None:
        """Take rows that are complete."""
        ...

    def commit(self, record: ChunkRecord) -> ChunkRecord:
        """Make the chunk's part visible, whole: from here on the chunk is done."""
        ...


class Store(Protocol):
    """Where parts go; picklable for engines with other processes."""

    def sink(self, job: Job, walk: ChunkWalk) -> Sink:
        """Open the part of a chunk."""
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """What is done to every chunk. network: makes the job's networks ready, once per process; picklable."""

    job: Job
    network: Callable[[Job], Forward]
    store: Store


@dataclass(frozen=True, slots=True)
class Site:
    """Where chunks are run: its platform, threads of a process that run the network, and memory free for a process."""

    platform: Platform
    lanes: int
    free_bytes: int


class Engine(Protocol):
    """Something that runs chunks."""

    def site(self, device: str) -> Site:
        """Return where chunks will be run; device: auto, cpu or cuda. Raises ConfigError where there is no GPU."""
        ...

    def run(self, task: Task, todo: Iterable[Chunk]) -> Iterator[ChunkRecord | ChunkFailure]:
        """Compute and commit every chunk of ``todo``; yields one record or failure for each, in any order."""
        ...

    def map[T, R](self, call: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield ``call(item)`` in order, several at once; ``call`` and items are picklable."""
        ...
