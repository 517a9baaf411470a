"""Running a job in its folder: what is done stays done, what is missing is run, and only parts are written."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geoseg.engine.engines import ChunkFailure, Engine
from geoseg.engine.job import Job
from geoseg.engine.kernel import ChunkRecord, ChunkResult, Forward
from geoseg.errors import IncompleteError, InputError, OutputError
from geoseg.grid import Box
from geoseg.io.files import write_json
from geoseg.io.parts import encode, read_record, write_part
from geoseg.io.tiff import TILE_PX
from geoseg.tiling.overviews import Kind, levels_within

PLAN_FILE = "plan.json"


@dataclass(frozen=True, slots=True)
class Progress:
    """What listeners see: a stage, how many of its steps are done, and how long a message line they may show."""

    stage: str
    done: int
    total: int
    detail: str = ""


Listener = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class JobFolder:
    """OUT/.job: the plan, a lock, and one part per finished chunk."""

    path: Path

    def part(self, chunk_id: str) -> Path:
        """Where a chunk's part lies."""
        return self.path / "parts" / f"{chunk_id}.tif"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; raises OutputError where another run holds it. The lock dies with its process."""
        self.path.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutputError(
                    f"{self.path.parent}: another run is writing there; wait for it or choose another folder"
                ) from error
            yield
        finally:
            os.close(handle)

    def adopt(self, job: Job, *, overwrite: bool) -> None:
        """Make the folder that of ``job``; raises OutputError where it holds an unfinished job of another plan.

        With ``overwrite`` such a job is thrown away.
        """
        plan = self.path / PLAN_FILE
        if plan.exists():
            found = json.loads(plan.read_text(encoding="utf-8"))
            if found["fingerprint"] == job.fingerprint:
                return
            if not overwrite:
                changed = [
                    k for k in job.identity if found["identity"].get(k) != json.loads(json.dumps(job.identity[k]))
                ]
                raise OutputError(
                    f"{self.path.parent}: holds an unfinished job of another plan ({', '.join(changed)} changed). "
                    f"Finish it as it was started, choose another folder, or start over with --overwrite"
                )
            shutil.rmtree(self.path / "parts", ignore_errors=True)
            plan.unlink()
        (self.path / "parts").mkdir(parents=True, exist_ok=True)
        write_json(plan, {"fingerprint": job.fingerprint, "identity": job.identity})

    def finished(self, job: Job) -> dict[str, ChunkRecord]:
        """Return the records of the parts that belong to ``job`` and are sound."""
        records = {}
        for chunk_id, _ in job.chunks():
            found = read_record(self.part(chunk_id))
            if found is not None and found["fingerprint"] == job.fingerprint:
                records[chunk_id] = _record(found)
        return records

    def commit(self, job: Job, result: ChunkResult) -> ChunkRecord:
        """Write a chunk's part: from here on the chunk is done."""
        record = result.record
        kinds: dict[str, Kind] = {n: "categories" if n == "classes" else "probability" for n in result.layers}
        write_part(
            self.part(record.id),
            encode(result.layers, kinds, overviews=levels_within(job.chunk_px, TILE_PX)),
            grid=job.scene.grid.crop(record.box),
            record={"fingerprint": job.fingerprint, **asdict(record)},
        )
        return record


def _record(found: dict[str, Any]) -> ChunkRecord:
    return ChunkRecord(
        id=found["id"],
        box=Box(**found["box"]),
        windows=found["windows"],
        skipped=found["skipped"],
        valid_px=found["valid_px"],
        class_px={int(k): v for k, v in found["class_px"].items()},
    )


def run_job(
    job: Job, folder: JobFolder, *, engine: Engine, forward: Callable[[], Forward], listen: Listener
) -> list[ChunkRecord]:
    """Run what is missing of a job and return the records of all its chunks in order.

    forward: makes the network, called only when something is missing. Raises InputError where no chunk could be read at
    all, IncompleteError where some failed; finished parts stay.
    """
    every = list(job.chunks())
    records = folder.finished(job)
    todo = [(chunk_id, box) for chunk_id, box in every if chunk_id not in records]
    listen(Progress("predict", len(records), len(every), "resumed" if records else ""))
    failures: list[ChunkFailure] = []
    if todo:
        for outcome in engine.run(job, todo, forward=forward(), commit=lambda result: folder.commit(job, result)):
            if isinstance(outcome, ChunkFailure):
                failures.append(outcome)
            else:
                records[outcome.id] = outcome
            listen(Progress("predict", len(records), len(every)))
    if failures:
        _report(job, failures, done=len(records))
    return [records[chunk_id] for chunk_id, _ in every]


def _report(job: Job, failures: list[ChunkFailure], *, done: int) -> None:
    first = failures[0]
    if not done and all(f.reading for f in failures):
        raise InputError(str(first.error)) from first.error
    raise IncompleteError(
        f"{job.scene.name}: {len(failures)} of {done + len(failures)} chunks failed "
        f"({', '.join(f.id for f in failures[:5])}{', …' if len(failures) > 5 else ''}); first: {first.error}. "
        f"The others are kept: the same command tries only these again"
    ) from first.error
