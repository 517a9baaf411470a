"""Batch: many scenes through one engine. What is complete is skipped, what fails is counted, all of it is logged."""

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from geoseg.disk.files import locked, sha256_of
from geoseg.errors import ConfigError, DiskFullError, InputError, OutputError, TryAgainError
from geoseg.executors.base import Engine
from geoseg.executors.open import open_engine
from geoseg.failures import disk_is_full
from geoseg.jobs.batch_log import (
    LOG_FILE,
    SUMMARY_FILE,
    BatchLog,
    Report,
    SceneOutcome,
    State,
    kept,
    refuse_foreign_log,
)
from geoseg.jobs.batch_work import BatchScene, Planned, Work
from geoseg.jobs.build import remove_if_spent
from geoseg.jobs.folder import JobFolder
from geoseg.jobs.monitor import Watch
from geoseg.jobs.run import Listener, Stop
from geoseg.jobs.targets import RUN_FILE
from geoseg.jobs.timing import estimated_total_seconds
from geoseg.options.run import PartsOptions
from geoseg.outputs.run_json import UNREADABLE

log = logging.getLogger(__name__)

LOCK_FILE = ".lock"
OWN_FILES = (LOG_FILE, SUMMARY_FILE, LOCK_FILE)


@dataclass(frozen=True, slots=True)
class Batch:
    """Scenes in their order, and what is done to each of them.

    max_failures: how many may fail before the rest is left alone, None for any number. work.options: with overwrite,
    outputs of other jobs are replaced, where else their scenes fail; what is complete is skipped either way;
    max_runtime_s counts for the batch as a whole. watch: what each scene's run is held against as it ends.
    """

    folder: Path
    scenes: tuple[BatchScene, ...]
    work: Work
    max_failures: int | None = None
    watch: Watch | None = None

    def __post_init__(self) -> None:
        if self.work.options.shard is not None:
            raise ConfigError("shard: is for one scene over several processes, a batch runs whole scenes")


def run_batch(batch: Batch, *, listen: Listener, stop: Stop) -> Report:
    """Run every scene that is not complete, one after the other; writes log and summary, and raises for no scene.

    Raises OutputError where another batch is writing there, and what ``open_engine`` raises.
    """
    batch.folder.mkdir(parents=True, exist_ok=True)
    refuse_foreign_log(batch.folder)
    names = [scene.name for scene in batch.scenes]
    batch_log = BatchLog(batch.folder, names, max_failures=batch.max_failures)
    stop = stop.within(batch.work.options.max_runtime_s)
    with locked(batch.folder / LOCK_FILE, of=batch.folder), kept(batch_log, options=asdict(batch.work.options)):
        try:
            todo = list(_survey(batch, batch_log))
            log.info("%d of %d scenes to run", len(todo), len(names))
            if todo:
                with open_engine(batch.work.options) as engine:
                    _run_all(batch, todo, batch_log, engine=engine, listen=listen, stop=stop)
        except (TryAgainError, DiskFullError) as error:
            batch_log.stopped = error
    return batch_log.report()


def _survey(batch: Batch, batch_log: BatchLog) -> Iterator[tuple[BatchScene, PartsOptions]]:
    """Yield the scenes to run, with their options; what is complete, or another job's, goes to the log."""
    for scene in batch.scenes:
        try:
            options = options_for(scene, batch)
            remove_if_spent(JobFolder(scene.out / ".job"))
        except TryAgainError:
            raise
        except Exception as error:  # one scene never stops the others
            batch_log.add_failure(scene.name, error)
            continue
        if options is None:
            batch_log.add(SceneOutcome(scene.name, State.SKIPPED, drift=_drift(batch, scene)))
        else:
            yield scene, options


def _run_all(
    batch: Batch,
    todo: Sequence[tuple[BatchScene, PartsOptions]],
    batch_log: BatchLog,
    *,
    engine: Engine,
    listen: Listener,
    stop: Stop,
) -> None:
    """Run scenes until the end or the failure budget; raises TryAgainError at ``stop``, and DiskFullError."""
    for number, (scene, options) in enumerate(todo, 1):
        if batch_log.used_up:
            log.warning("more than %d scenes have failed; the rest is left alone", batch.max_failures)
            return
        if stop.now:
            raise TryAgainError(f"{batch.folder}: stopped before {scene.name}; the same command goes on")
        log.info("scene %d of %d: %s", number, len(todo), scene.name)
        batch_log.record("scene started", scene=scene.name)
        began = time.monotonic()
        try:
            outcome = batch.work.run(scene, options, engine=engine, listen=_named(scene.name, listen), stop=stop)
        except TryAgainError as error:
            batch_log.add(SceneOutcome(scene.name, State.STOPPED, _since(began), error.exit_code, str(error)))
            raise
        except Exception as error:  # one scene never stops the others
            batch_log.add_failure(scene.name, error, _since(began))
            if disk_is_full(error):
                full = f"{batch.folder}: the disk is full, so the rest is not tried ({error})"
                raise DiskFullError(f"{full}; free space there, then the same command goes on") from error
        else:
            batch_log.add(replace(outcome, seconds=_since(began), drift=_drift(batch, scene)))


def _drift(batch: Batch, scene: BatchScene) -> str:
    """Return what of a scene's run is beyond its bounds; what cannot be compared is said, and stops nothing."""
    if batch.watch is None:
        return ""
    try:
        return "; ".join(batch.watch.over(scene.out).faults)
    except (ConfigError, InputError) as error:
        return str(error)


def plan_batch(batch: Batch) -> dict[str, Any]:
    """Return what a batch would do, as JSON values: of every scene its state and plan, and the sums."""
    rows: list[dict[str, Any]] = []
    plans: list[Planned] = []
    with open_engine(batch.work.options) as engine:
        plan = batch.work.planner(engine)
        for scene in batch.scenes:
            row = {"scene": scene.name, "out": str(scene.out)}
            try:
                options = options_for(scene, batch)
                if options is None:
                    rows.append({**row, "state": "complete"})
                    continue
                planned = plan(scene, options)
            except Exception as error:  # as in the run: it is reported, and stops no other scene
                rows.append({**row, "state": "refused", "told": str(error)})
            else:
                rows.append({**row, "state": "to run", "plan": planned.said})
                plans.append(planned)
        maps = [one.plan for one in plans if one.plan is not None]
        seconds = estimated_total_seconds(maps) if len(maps) == len(plans) else None
    sums = {
        "scenes": dict(Counter(row["state"] for row in rows)),
        "windows": sum(one.windows for one in plans),
        "peak_memory_bytes": max((one.peak_bytes for one in plans), default=0),
        "disk_bytes_at_most": sum(disk for one in plans if (disk := one.disk_bytes) is not None),
        "estimated_seconds": seconds,
    }
    return {"sums": sums, "scenes": rows}


def options_for(scene: BatchScene, batch: Batch) -> PartsOptions | None:
    """Return the options to run a scene with, None where it is complete.

    Raises OutputError where its folder holds the outputs of another job, and InputError for a scene that has such a
    folder and cannot be opened.
    """
    run = _finished_run(scene.out, batch.work)
    if run is None:
        return batch.work.options
    changed = batch.work.changed(run, scene)
    if changed and not batch.work.options.overwrite:
        raise OutputError(
            f"{scene.out}: holds a finished run of another job ({', '.join(changed)} changed); "
            f"choose another folder for the batch, or pass --overwrite"
        )
    there = {name: facts for name, facts in run["outputs"].items() if (scene.out / name).is_file()}
    is_whole = there == run["outputs"] and not run["missing_chunks"]
    if not changed and is_whole and all((scene.out / n).stat().st_size == f["bytes"] for n, f in there.items()):
        return None
    edited = [name for name, facts in there.items() if sha256_of(scene.out / name) != facts["sha256"]]
    if edited and not batch.work.options.overwrite:
        raise OutputError(
            f"{scene.out}: {', '.join(edited)} is not as the run has written it; keep it elsewhere, or pass --overwrite"
        )
    return replace(batch.work.options, overwrite=True)


def _finished_run(out: Path, work: Work) -> Mapping[str, Any] | None:
    file = out / RUN_FILE
    if not file.is_file():
        return None
    try:
        return work.finished(out)
    except UNREADABLE as error:
        raise OutputError(f"{file}: is no run.json of geoseg, or of another job ({error!r}); move it away") from error


def _named(name: str, listen: Listener) -> Listener:
    return lambda progress: listen(replace(progress, detail=f"{name} {progress.detail}".rstrip()))


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
