"""Batch: many scenes through one engine. What is complete is skipped, what fails is counted, all of it is logged."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from geoseg.disk.files import locked, sha256_of
from geoseg.errors import ConfigError, DiskFullError, IncompleteError, InputError, OutputError, TryAgainError
from geoseg.executors.base import Engine, Platform
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
from geoseg.jobs.build import remove_if_spent
from geoseg.jobs.folder import JobFolder
from geoseg.jobs.job import differences
from geoseg.jobs.monitor import Watch
from geoseg.jobs.plan import Plan, make_job, make_plan
from geoseg.jobs.predict import predict
from geoseg.jobs.result import Result
from geoseg.jobs.run import Listener, Stop
from geoseg.jobs.targets import RUN_FILE, refuse_if_disk_is_short
from geoseg.jobs.timing import estimated_total_seconds
from geoseg.models.backends import asked
from geoseg.models.bundle import ModelBundle
from geoseg.options.polygons import PolygonOptions
from geoseg.options.run import RunOptions
from geoseg.outputs.run_json import UNREADABLE, RunJson
from geoseg.scenes.scene import Scene
from geoseg.tiling.memory import LEAST_CHUNK_PX

log = logging.getLogger(__name__)

LOCK_FILE = ".lock"
OWN_FILES = (LOG_FILE, SUMMARY_FILE, LOCK_FILE)
PLACE = {"platform", "chunk_px"}  # where and in which steps a finished scene was run does not count
ANYWHERE = Platform("", "", "")


@dataclass(frozen=True, slots=True)
class BatchScene:
    """A scene of a batch: its name, its output folder, how it is opened, and the config that its run.json keeps."""

    name: str
    out: Path
    open: Callable[[], Scene]
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """Scenes in their order, and what is done to each of them.

    max_failures: how many may fail before the rest is left alone, None for any number. options.overwrite: outputs of
    other jobs are replaced, where else their scenes fail; what is complete is skipped either way. options.max_runtime_s
    counts for the batch as a whole. watch: what each scene's run is held against as it ends.
    """

    folder: Path
    scenes: tuple[BatchScene, ...]
    bundles: tuple[ModelBundle, ...]
    options: RunOptions
    polygons: PolygonOptions | None = None
    max_failures: int | None = None
    watch: Watch | None = None

    def __post_init__(self) -> None:
        if self.options.shard is not None:
            raise ConfigError("shard: is for one scene over several processes, a batch runs whole scenes")


def run_batch(batch: Batch, *, listen: Listener, stop: Stop) -> Report:
    """Run every scene that is not complete, one after the other; writes log and summary, and raises for no scene.

    Raises OutputError where another batch is writing there, and what ``open_engine`` raises.
    """
    batch.folder.mkdir(parents=True, exist_ok=True)
    refuse_foreign_log(batch.folder)
    names = [scene.name for scene in batch.scenes]
    batch_log = BatchLog(batch.folder, names, max_failures=batch.max_failures)
    stop = stop.within(batch.options.max_runtime_s)
    with locked(batch.folder / LOCK_FILE, of=batch.folder), kept(batch_log, options=asdict(batch.options)):
        try:
            todo = list(_survey(batch, batch_log))
            log.info("%d of %d scenes to run", len(todo), len(names))
            if todo:
                with open_engine(batch.options) as engine:
                    _run_all(batch, todo, batch_log, engine=engine, listen=listen, stop=stop)
        except (TryAgainError, DiskFullError) as error:
            batch_log.stopped = error
    return batch_log.report()


def _survey(batch: Batch, batch_log: BatchLog) -> Iterator[tuple[BatchScene, RunOptions]]:
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
    todo: Sequence[tuple[BatchScene, RunOptions]],
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
            result = predict(
                scene.open(),
                batch.bundles,
                scene.out,
                options=options,
                polygons=batch.polygons,
                config=scene.config,
                engine=engine,
                listen=_named(scene.name, listen),
                stop=stop,
            )
        except TryAgainError as error:
            batch_log.add(SceneOutcome(scene.name, State.STOPPED, _since(began), error.exit_code, str(error)))
            raise
        except Exception as error:  # one scene never stops the others
            batch_log.add_failure(scene.name, error, _since(began))
            if disk_is_full(error):
                full = f"{batch.folder}: the disk is full, so the rest is not tried ({error})"
                raise DiskFullError(f"{full}; free space there, then the same command goes on") from error
        else:
            outcome = _outcome(scene, result, _since(began))
            batch_log.add(replace(outcome, drift=_drift(batch, scene)))


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
    plans: list[Plan] = []
    with open_engine(batch.options) as engine:
        site = engine.site(*asked(batch.bundles, batch.options))
        for scene in batch.scenes:
            row = {"scene": scene.name, "out": str(scene.out)}
            try:
                options = options_for(scene, batch)
                if options is None:
                    rows.append({**row, "state": "complete"})
                    continue
                plan = make_plan(scene.open(), batch.bundles, site=site, options=options, polygons=batch.polygons)
                refuse_if_disk_is_short(scene.out, plan.disk_bytes, options)
            except Exception as error:  # as in the run: it is reported, and stops no other scene
                rows.append({**row, "state": "refused", "told": str(error)})
            else:
                rows.append({**row, "state": "to run", "plan": plan.as_json()})
                plans.append(plan)
        seconds = estimated_total_seconds(plans)
    sums = {
        "scenes": dict(Counter(row["state"] for row in rows)),
        "windows": sum(plan.job.windows.count for plan in plans),
        "peak_memory_bytes": max((plan.peak_bytes for plan in plans), default=0),
        "disk_bytes_at_most": sum(plan.disk_bytes for plan in plans),
        "estimated_seconds": seconds,
    }
    return {"sums": sums, "scenes": rows}


def options_for(scene: BatchScene, batch: Batch) -> RunOptions | None:
    """Return the options to run a scene with, None where it is complete.

    Raises OutputError where its folder holds the outputs of another job, and InputError for a scene that has such a
    folder and cannot be opened.
    """
    run = _finished_run(scene.out)
    if run is None:
        return batch.options
    changed = _changed(run, scene, batch)
    if changed and not batch.options.overwrite:
        raise OutputError(
            f"{scene.out}: holds a finished run of another job ({', '.join(changed)} changed); "
            f"choose another folder for the batch, or pass --overwrite"
        )
    there = {name: facts for name, facts in run["outputs"].items() if (scene.out / name).is_file()}
    is_whole = there == run["outputs"] and not run["missing_chunks"]
    if not changed and is_whole and all((scene.out / n).stat().st_size == f["bytes"] for n, f in there.items()):
        return None
    edited = [name for name, facts in there.items() if sha256_of(scene.out / name) != facts["sha256"]]
    if edited and not batch.options.overwrite:
        raise OutputError(
            f"{scene.out}: {', '.join(edited)} is not as the run has written it; keep it elsewhere, or pass --overwrite"
        )
    return replace(batch.options, overwrite=True)


def _finished_run(out: Path) -> dict[str, Any] | None:
    file = out / RUN_FILE
    if not file.is_file():
        return None
    try:
        run = RunJson.read(out).facts
        return {
            "identity": run.get("identity", {}),
            **{key: run[key] for key in ("config", "missing_chunks", "outputs")},
        }
    except UNREADABLE as error:
        raise OutputError(f"{file}: is no run.json of geoseg ({error!r}); move it away") from error


def _changed(run: dict[str, Any], scene: BatchScene, batch: Batch) -> list[str]:
    """Return in what a finished run differs from what is asked for now; no difference in bytes goes unseen."""
    job = make_job(
        scene.open(),
        batch.bundles,
        platform=ANYWHERE,
        chunk_px=LEAST_CHUNK_PX,
        options=batch.options,
        polygons=batch.polygons,
    )
    changed = [key for key in differences(run["identity"], job.identity) if key not in PLACE]
    polygons = None if batch.polygons is None else asdict(batch.polygons)
    return changed + ["polygons"] * ((run["config"] or {}).get("polygons") != polygons)


def _outcome(scene: BatchScene, result: Result, seconds: float) -> SceneOutcome:
    polygons = result.run["polygons"]["count"] if "polygons" in result.run else None
    missing = result.run["missing_chunks"]
    if missing:
        message = f"{len(missing)} chunks failed and are nodata in {scene.out}"
        return SceneOutcome(scene.name, State.INCOMPLETE, seconds, IncompleteError.exit_code, message, polygons)
    return SceneOutcome(scene.name, State.DONE, seconds, polygons=polygons)


def _named(name: str, listen: Listener) -> Listener:
    return lambda progress: listen(replace(progress, detail=f"{name} {progress.detail}".rstrip()))


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
