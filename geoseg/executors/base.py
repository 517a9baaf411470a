"""Engines: ways to walk the chunks of a job. Each yields records as parts are committed, and failures as values."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from geoseg.jobs.chunk import ChunkRecord, ChunkWalk, Forward
from geoseg.jobs.job import Job, Platform
from geoseg.tasks.base import Rows
from geoseg.tiling.memory import FREE_SHARE
from geoseg.values.box import Box

Chunk = tuple[str, Box]


class Cause(StrEnum):
    """Why a chunk failed; each has its own budget of attempts, see ``geoseg.jobs.run``."""

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


@dataclass(frozen=True, slots=True)
class ChunkProgress:
    """How much of a chunk is through the network, 0..1; engines whose chunks are done elsewhere have none."""

    id: str
    share: float


Outcome = ChunkRecord | ChunkFailure | ChunkProgress


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
class Room:
    """What a process has: threads that work at once, and memory that is free for it."""

    lanes: int
    free_bytes: int

    def budget_bytes(self, asked: int | None) -> int:
        """Return how much of the memory may be used: as much as is asked for, else FREE_SHARE of what is free."""
        return asked or int(FREE_SHARE * self.free_bytes)


@dataclass(frozen=True, slots=True)
class Site(Room):
    """Where chunks are run: a process and its platform; lanes: threads that run the network."""

    platform: Platform


class Engine(Protocol):
    """Something that runs chunks."""

    def room(self) -> Room:
        """Return what there is for work without a network; nothing is loaded for one."""
        ...

    def site(self, device: str) -> Site:
        """Return where chunks will be run; device: auto, cpu or cuda. Raises ConfigError where there is no GPU."""
        ...

    def run(self, task: Task, todo: Iterable[Chunk]) -> Iterator[Outcome]:
        """Compute and commit every chunk of ``todo``; yields one record or failure for each, in any order.

        Between them it may yield how far a chunk is.
        """
        ...

    def map[T, R](self, call: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield ``call(item)`` in order, several at once; ``call`` and items are picklable."""
        ...
