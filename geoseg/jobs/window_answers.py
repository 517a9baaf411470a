"""Answers by window: what prompts find in each, kept as parts of OUT/.job while a run is under way.

What is done stays done; shards that share the folder answer some of the windows each. A part is named by its window and
by what is asked there, so other prompts find none of it.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

from geoseg.disk.sealed import read_sealed, write_sealed
from geoseg.errors import TryAgainError
from geoseg.executors.base import Engine
from geoseg.executors.open import open_engine
from geoseg.jobs.folder import JobFolder
from geoseg.jobs.job import Job, refuse_missing
from geoseg.jobs.run import Listener, Progress, Stop, until
from geoseg.options.run import EngineOptions, PartsOptions
from geoseg.values.box import Box

STAGE = "prompt"


class Question(NamedTuple):
    """What is asked in a window."""

    window: Box
    """In pixels that the network sees."""
    said: str
    """All of it, in words."""
    asked: Any
    """What answers it, picklable."""


@dataclass(frozen=True, slots=True)
class AnswerParts:
    """Where a job's answers lie; picklable."""

    folder: Path
    """Of the job's parts."""
    fingerprint: str
    """Of the job: scene, model, windows, platform."""

    def read(self, of: Question) -> bytes | None:
        """Return what was answered before, None where nothing was."""
        return read_sealed(self._path(of), self._seal(of))

    def keep(self, of: Question, content: bytes) -> None:
        """Keep an answer; raises OutputError."""
        write_sealed(self._path(of), self._seal(of), content)

    def forget(self, of: Question) -> None:
        """Remove an answer."""
        self._path(of).unlink(missing_ok=True)

    def _path(self, of: Question) -> Path:
        digest = hashlib.sha256(self._seal(of).encode()).hexdigest()
        return self.folder / f"{of.window.row0}-{of.window.col0}-{digest[:16]}.answer"

    def _seal(self, of: Question) -> str:
        return f"{self.fingerprint} {of.window} {of.said}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Which windows a run answers, and where its answers are kept."""

    out: Path | None = None
    """The folder of the outputs; None: nothing is kept."""
    config: dict[str, Any] | None = None
    """Of the run, by which ``geoseg finish`` goes on."""
    part: tuple[int, int] | None = None
    """The number of this share, from 1, and how many there are; None: all windows."""
    fresh: bool = False
    """What is there is thrown away."""
    finishing: bool = False
    """Nothing is answered any more: what is missing is an error."""
    stop: Stop = field(default_factory=Stop)
    """When no further window is begun."""
    engine: Engine | None = None
    """One that is open already."""
    owner: Job | None = None
    """Whose the folder is; None: the job's that asks."""

    @classmethod
    def of(
        cls, run: PartsOptions, out: Path, *, config: dict[str, Any] | None, finishing: bool = False, stop: Stop
    ) -> Self:
        """Return the share that a run's options name; its time counts from now, and not where it is only finished."""
        stop = stop.within(None if finishing else run.max_runtime_s)
        return cls(out=out, config=config, part=run.shard, fresh=run.fresh, finishing=finishing, stop=stop)

    def after(self, owner: Job) -> "Share":
        """Return the share of all that is asked once the windows of ``owner``, whose the folder is, are answered.

        Shards share out its windows alone: who finishes asks the rest.
        """
        return replace(self, owner=owner, part=None, fresh=False, finishing=False)

    @contextmanager
    def on(self, run: EngineOptions) -> Iterator[Engine]:
        """Yield the engine, which is opened here where none is."""
        with ExitStack() as held:
            yield self.engine or held.enter_context(open_engine(run))

    @contextmanager
    def _held(self, job: Job) -> Iterator[AnswerParts | None]:
        """Make the folder that of a job, and hold it; raises OutputError where another run or job has it."""
        if self.out is None:
            yield None
            return
        work = JobFolder(self.out / ".job")
        with ExitStack() as stack:
            stack.enter_context(work.locked(shared=self.part is not None))
            with work.adopting():
                work.adopt(self.owner or job, fresh=self.fresh, config=self.config)
            yield AnswerParts(work.parts(self.owner or job), job.fingerprint)

    def planned(self, job: Job) -> Job:
        """Return a job as its shards have run it, where it is only finished here."""
        plan = JobFolder(self.out / ".job").plan() if self.finishing and self.out is not None else None
        return job if plan is None else replace(job, platform=plan.platform)

    def forget(self, job: Job, questions: Sequence[Question]) -> None:
        """Remove the answers to questions that came to nothing; those of shards stay."""
        if self.out is not None and not self.finishing:
            parts = AnswerParts(JobFolder(self.out / ".job").parts(self.owner or job), job.fingerprint)
            for one in questions:
                parts.forget(one)

    def over(self) -> None:
        """Remove the parts, which are in the outputs now."""
        if self.out is not None:
            JobFolder(self.out / ".job").remove()

    def answers(
        self,
        engine: Engine,
        job: Job,
        answer: Callable[[Question], bytes],
        questions: Sequence[Question],
        listen: Listener,
        *,
        stage: str = STAGE,
    ) -> Iterator[bytes]:
        """Yield the answers to the questions of this share, in order; stage: what listeners hear.

        Raises IncompleteError where some are missing of a run that is only finished, OutputError where another run or
        job has the folder, and TryAgainError where the run was stopped.
        """
        if self.part is not None:
            number, count = self.part
            questions = questions[number - 1 :: count]
        done = 0
        with self._held(job) as parts:
            if self.finishing and parts is not None:
                self._refuse_missing(parts, questions)
            listen(Progress(stage, 0, len(questions)))
            for content in engine.map(partial(_answered, parts, answer), until(questions, self.stop)):
                yield content
                done += 1
                listen(Progress(stage, done, len(questions)))
        if done < len(questions):
            where = "" if self.out is None else f"{self.out}: "
            raise TryAgainError(f"{where}stopped after {done} of {len(questions)} windows; the same command goes on")

    def _refuse_missing(self, parts: AnswerParts, questions: Sequence[Question]) -> None:
        missing = [f"{one.window.row0}-{one.window.col0}" for one in questions if parts.read(one) is None]
        assert self.out is not None  # where parts lie
        refuse_missing(self.out, missing, len(questions), "windows")


def _answered(parts: AnswerParts | None, answer: Callable[[Question], bytes], question: Question) -> bytes:
    if parts is None:
        return answer(question)
    content = parts.read(question)
    if content is None:
        content = answer(question)
        parts.keep(question, content)
    return content
