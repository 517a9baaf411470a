"""Running a job in its folder: what is done stays done, what is missing is run, what fails is tried again."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from math import prod

from geoseg.errors import IncompleteError, InputError, TryAgainError
from geoseg.executors.base import Cause, Chunk, ChunkFailure, ChunkProgress, ChunkRecord, Engine
from geoseg.jobs.chunk import ChunkTask
from geoseg.jobs.folder import JobFolder
from geoseg.jobs.job import Job, listed
from geoseg.jobs.seams import open_seams
from geoseg.jobs.speed import Meter, Speed

log = logging.getLogger(__name__)

# How often a chunk is tried before it counts as failed. A worker may die for reasons that have nothing to do with its
# chunk (spot instances, walltime); a block that cannot be decoded stays so, unless a network file system hiccuped.
ATTEMPTS = {Cause.READING: 2, Cause.MEMORY: 2, Cause.NETWORK: 3, Cause.WORKER: 10}
PREVIEWS = 20  # how often parts.vrt is written anew while a job runs


@dataclass(frozen=True, slots=True)
class Progress:
    """What listeners see: a stage, how many of its steps are done, and how long a message line they may show.

    within: the share of the step that is under way, 0..1; speed: how chunks are run, None for other stages.
    """

    stage: str
    done: int
    total: int
    detail: str = ""
    within: float = 0.0
    speed: Speed | None = None


Listener = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Stop:
    """Says when a run should start no more chunks: somebody asked for it, or its time is over.

    deadline: in seconds of ``time.monotonic``, None for no end.
    """

    asked: threading.Event = field(default_factory=threading.Event)
    deadline: float | None = None

    @property
    def now(self) -> bool:
        """Whether to stop."""
        return self.asked.is_set() or (self.deadline is not None and time.monotonic() >= self.deadline)

    def within(self, seconds: float | None) -> "Stop":
        """Return the same, over in so many seconds at the latest; None sets no end."""
        if seconds is None:
            return self
        ends = [time.monotonic() + seconds, *([] if self.deadline is None else [self.deadline])]
        return replace(self, deadline=min(ends))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job's chunks: records by id in the job's order, and those that failed for good."""

    records: dict[str, ChunkRecord]
    failures: tuple[ChunkFailure, ...]


def run_job(
    task: ChunkTask,
    folder: JobFolder,
    *,
    engine: Engine,
    only: Sequence[Chunk] | None = None,
    stop: Stop,
    listen: Listener,
    planned_bytes: int | None = None,
    in_order: bool = False,
) -> Outcome:
    """Run what is missing of a job.

    only: the chunks to run, None for all; planned_bytes: its memory, for listeners; in_order: the engine runs chunks in
    order in this process, where they hand windows on. Raises TryAgainError where ``stop`` says so; finished parts stay.
    """
    wanted = list(task.job.chunks()) if only is None else list(only)
    records = folder.finished(task.job)
    todo = [chunk for chunk in wanted if chunk[0] not in records]
    done = len(wanted) - len(todo)
    listen(Progress("predict", done, len(wanted), "resumed" if done else ""))
    failures: list[ChunkFailure] = []
    tries: Counter[tuple[str, Cause]] = Counter()
    meter = Meter(sum(prod(box.shape) for _, box in todo), planned_bytes)

    def tell(within: float = 0.0) -> None:
        speed = meter.speed()
        listen(Progress("predict", done, len(wanted), speed.words, within, speed))

    opened = open_seams(task.job, [box for _, box in todo], folder.path) if in_order else nullcontext()
    with opened as seams:
        task = replace(task, seams=seams)
        while todo:
            again: list[Chunk] = []
            for outcome in engine.run(task, until(todo, stop)):
                if isinstance(outcome, ChunkProgress):
                    meter.add(outcome)
                    tell(outcome.share)
                    continue
                if isinstance(outcome, ChunkRecord):
                    records[outcome.id] = outcome
                    meter.add(outcome)
                    done += 1
                    if done * PREVIEWS // len(wanted) > (done - 1) * PREVIEWS // len(wanted):
                        folder.preview(task.job, records.values())
                elif _worth_another_try(outcome, tries):
                    again.append((outcome.id, outcome.box))
                else:
                    failures.append(outcome)
                tell()
            if stop.now:
                raise TryAgainError(
                    f"{task.job.scene.name}: stopped with {done} of {len(wanted)} chunks done; they are kept, "
                    f"the same command goes on"
                )
            todo = again
    order = [chunk_id for chunk_id, _ in task.job.chunks()]
    return Outcome({i: records[i] for i in order if i in records}, tuple(failures))


def until[T](todo: Iterable[T], stop: Stop) -> Iterator[T]:
    """Yield what is to do until the run should start no more."""
    for one in todo:
        if stop.now:
            return
        yield one


def _worth_another_try(failure: ChunkFailure, tries: Counter[tuple[str, Cause]]) -> bool:
    tries[failure.id, failure.cause] += 1
    count = tries[failure.id, failure.cause]
    level = logging.WARNING if failure.cause is Cause.WORKER else logging.INFO  # else nobody knows that workers go
    log.log(level, "chunk %s failed (%s, attempt %d): %s", failure.id, failure.cause, count, failure.error)
    return count < ATTEMPTS[failure.cause]


def refuse_if_failed(job: Job, outcome: Outcome) -> None:
    """Raise InputError where no chunk could be read at all, IncompleteError where some failed."""
    if not outcome.failures:
        return
    first, done = outcome.failures[0], len(outcome.records)
    if not done and all(f.cause is Cause.READING for f in outcome.failures):
        raise InputError(str(first.error)) from first.error
    if isinstance(first.error, TryAgainError):
        raise TryAgainError(f"{first.error}; {done} chunks are done and kept") from first.error
    hint = "smaller chunks (--chunk-px, with --fresh) take less memory; " if first.cause is Cause.MEMORY else ""
    raise IncompleteError(
        f"{job.scene.name}: {len(outcome.failures)} of {done + len(outcome.failures)} chunks failed "
        f"({listed(f.id for f in outcome.failures)}); first: {first.error}. "
        f"The others are kept: {hint}the same command tries only these again"
    ) from first.error
