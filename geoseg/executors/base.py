"""Engines: ways to walk the chunks of a task. Each yields records as parts are committed, and failures as values.

No job is known here: a task says what is done to a chunk, where that goes, and what must not have changed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geoseg.models.backends.base import Answer, Windows
from geoseg.tasks.base import Rows
from geoseg.tiling.memory import FREE_SHARE
from geoseg.tiling.strips import Strip
from geoseg.values.box import Box

Chunk = tuple[str, Box]
Forward = Callable[[int, Windows], Answer]  # (member, windows)
ForwardAll = Callable[[Iterable[tuple[int, Windows]]], Iterator[Answer]]  # keeps the order


Backends = tuple[str, ...]  # keys of ``geoseg.models.backends.BACKENDS``
TORCH: Backends = ("torch",)


@dataclass(frozen=True, slots=True)
class Platform:
    """What besides the job decides the bits of a result; two workers of one run must agree on it.

    device: "cpu" or "cuda"; precision: "fp32", "bf16" or "int8"; libraries: device kind, instruction set, versions;
    backends: what runs the networks, which the libraries name.
    """

    device: str
    precision: str
    libraries: str
    backends: Backends = TORCH

    def backend_of(self, own: str) -> str:
        """Return what runs a network that was made for the backend ``own``."""
        return own if own in self.backends else self.backends[0]


@dataclass(frozen=True, slots=True, eq=False)
class ChunkRecord:
    """What became of a chunk: the windows run and skipped, and the pixels of each class in each row, (N, h) int32.

    Windows that other chunks of the process have run count there; those that several skip count in each.
    """

    id: str
    box: Box
    windows: int
    skipped: int
    class_rows: NDArray[np.int32]


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
    """How far a chunk is; engines whose chunks are done elsewhere say nothing.

    share: of its ``px`` pixels that is through the network, 0..1; windows, skipped: of it so far; waited_s: how long
    the run has waited, since it began, for reading ("read"), networks ("network") and encoding ("write"); in an engine
    of one thread, how long these took.
    """

    id: str
    share: float
    px: int
    windows: int
    skipped: int
    waited_s: Mapping[str, float]


Outcome = ChunkRecord | ChunkFailure | ChunkProgress


class Sink(Protocol):
    """Takes a chunk's rows from top to bottom, then commits them."""

    def add(self, rows: Rows) -> None:
        """Take rows that are complete."""
        ...

    def commit(self, record: ChunkRecord) -> ChunkRecord:
        """Make the chunk's part visible, whole: from here on the chunk is done."""
        ...


class Pass(Protocol):
    """A strip on its way through the network."""

    @property
    def calls(self) -> Iterator[tuple[int, Windows]]:
        """What is asked of the network, (member, windows), in order."""
        ...


class Walk(Protocol):
    """A chunk on its way, strip by strip."""

    @property
    def id(self) -> str:
        """The chunk's."""
        ...

    @property
    def box(self) -> Box:
        """The chunk's."""
        ...

    @property
    def strips(self) -> Sequence[Strip]:
        """From top to bottom."""
        ...

    def read(self, strip: Strip) -> Any:
        """Return what a strip needs from disk; strips may be read ahead."""
        ...

    def begin(self, strip: Strip, pixels: Any) -> "Pass":
        """Prepare a strip for the network; the next strip may begin before this one is finished."""
        ...

    def finish(self, begun: Any, answers: Iterator[Answer]) -> Rows:
        """Take the answers to a pass's calls, strip after strip; returns the rows that are complete now."""
        ...

    def give_up(self) -> None:
        """Take note that the chunk has failed; the next one's strip begins anew where it has begun."""
        ...

    @property
    def windows(self) -> tuple[int, int]:
        """How many windows were run so far, and skipped; those that other chunks have run count in neither."""
        ...

    def record(self) -> ChunkRecord:
        """Return what became of the chunk, once all strips are through."""
        ...

    def tables(self) -> dict[str, bytes]:
        """Return what else is kept of it, by name, once all strips are through."""
        ...


class Task(Protocol):
    """What is done to every chunk; picklable for engines with other processes."""

    @property
    def key(self) -> str:
        """A short name, another one for another job."""
        ...

    def forward(self) -> Forward:
        """Make the networks ready, once per process, and return their call."""
        ...

    def walk(self, chunk: Chunk) -> Walk:
        """Begin a chunk."""
        ...

    def sink(self, walk: Walk) -> Sink:
        """Open the part of a chunk."""
        ...

    def refuse_if_changed(self) -> None:
        """Raise PlanChangedError where an input is no longer as it was planned with."""
        ...

    def refuse_if_different(self, site: "SiteOf") -> None:
        """Raise PlanChangedError where this process, a ``site`` for a device, would not give the bytes planned."""
        ...


@dataclass(frozen=True, slots=True)
class Resources:
    """What a process has: threads that work at once, and memory that is free for it."""

    lanes: int
    free_bytes: int

    def budget_bytes(self, asked: int | None) -> int:
        """Return how much of the memory may be used: as much as is asked for, else FREE_SHARE of what is free."""
        return asked or int(FREE_SHARE * self.free_bytes)


@dataclass(frozen=True, slots=True)
class Site(Resources):
    """Where chunks are run: a process and its platform; lanes: threads that run the network.

    here: it is the process that plans, runs chunks itself in their order, and loads nothing but what the run needs.
    """

    platform: Platform
    here: bool = False


SiteOf = Callable[[str, Backends, str], Site]  # what ``Engine.site`` is


class Engine(Protocol):
    """Something that runs chunks."""

    def resources(self) -> Resources:
        """Return what there is for work without a network; nothing is loaded for one."""
        ...

    def site(self, device: str, backends: Backends = TORCH, precision: str = "auto") -> Site:
        """Return where chunks will be run; device: auto, cpu or cuda; backends: what will run the networks.

        Raises ConfigError where there is no GPU, a backend's library is not installed, or does not compute so.
        """
        ...

    def run(self, task: Task, todo: Iterable[Chunk]) -> Iterator[Outcome]:
        """Compute and commit every chunk of ``todo``; yields one record or failure for each, in any order.

        Between them it may yield how far a chunk is.
        """
        ...

    def map[T, R](self, call: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield ``call(item)`` in order, several at once; ``call`` and items are picklable."""
        ...
