"""predict: from a scene and a model to a folder of outputs."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import rasterio

from geoseg.errors import ConfigError, InputError
from geoseg.executors.base import Engine
from geoseg.executors.open import open_engine
from geoseg.executors.threads import local_site
from geoseg.jobs import lazy
from geoseg.jobs.build import build_outputs, publish
from geoseg.jobs.chunk import ChunkTask
from geoseg.jobs.clouds import cloud_mask
from geoseg.jobs.folder import JobFolder
from geoseg.jobs.job import refuse_if_source_changed, refuse_missing
from geoseg.jobs.networks import load_networks
from geoseg.jobs.plan import Plan, make_job, make_plan, plan_finish
from geoseg.jobs.plan_memory import DEFAULT_CHUNK_PX
from geoseg.jobs.record import RunContext, of_job, of_run
from geoseg.jobs.request import Input, Model, RunRequest, load_models, opened_scene
from geoseg.jobs.result import Result
from geoseg.jobs.run import Listener, Outcome, Progress, Stop, refuse_if_failed, run_job
from geoseg.jobs.stages import ParallelMap
from geoseg.jobs.targets import refuse_if_disk_is_short
from geoseg.models.backends import asked
from geoseg.options.polygons import PolygonOptions
from geoseg.options.run import RunOptions
from geoseg.outputs.run_json import REPORTED
from geoseg.tiling.memory import GDAL_CACHE_BYTES

if TYPE_CHECKING:
    import xarray as xr

log = logging.getLogger(__name__)


def _silent(progress: Progress) -> None:
    """Listen to nothing."""


@overload
def predict(
    scene: Input,
    model: Model | Sequence[Model],
    out: str | Path,
    *,
    options: RunOptions | None = None,
    polygons: PolygonOptions | None = None,
    config: dict[str, Any] | None = None,
    engine: Engine | None = None,
    listen: Listener = _silent,
    stop: Stop | None = None,
) -> Result: ...
@overload
def predict(
    scene: Input,
    model: Model | Sequence[Model],
    out: None = None,
    *,
    options: RunOptions | None = None,
    layer: str = "classes",
) -> "xr.DataArray": ...
def predict(
    scene: Input,
    model: Model | Sequence[Model],
    out: str | Path | None = None,
    *,
    options: RunOptions | None = None,
    polygons: PolygonOptions | None = None,
    layer: str = "classes",
    config: dict[str, Any] | None = None,
    engine: Engine | None = None,
    listen: Listener = _silent,
    stop: Stop | None = None,
) -> "Result | xr.DataArray":
    """Run a model over a scene: into the folder ``out``, or lazily, chunk by chunk when somebody looks, without one.

    With a folder: writes classes.tif, confidence.tif and, where asked, polygons and probabilities; see ``Result``.
    Without: returns ``layer`` of the map, which only then counts, as a dask-backed, georeferenced DataArray, equal to
    the raster that a run would write; see ``geoseg.jobs.lazy``.
    model: one, or several of which the probabilities are averaged. An unfinished run in ``out`` is resumed. config:
    of the command line or file, kept in run.json; without it run.json says how to repeat the call, unless the
    scene came opened. engine: one that is open already and stays so, instead of the one that the options name. stop:
    asked before each chunk, and before each step of a stage of objects, whether to go on.
    Raises InputError, ModelError, ConfigError, OutputError, MemoryBudgetError, TryAgainError and IncompleteError;
    whatever happens, ``out`` shows a complete run or none.
    """
    options = options or RunOptions()
    if out is None:
        if options.mask_clouds is not None:
            raise ConfigError("clouds are masked before a whole run: name a folder for its outputs")
        if polygons is not None:
            raise ConfigError("polygons are drawn of a whole run: name a folder for its outputs")
        return lazy_map(scene, model, options=options, layer=layer)
    request, stop = RunRequest(scene, model, Path(out), options, polygons, config), stop or Stop()
    if options.mask_clouds is not None:
        request = _without_clouds(request, partial(predict, engine=engine, listen=listen, stop=stop))
    return _run(request, engine=engine, listen=listen, stop=stop)


def _without_clouds(request: RunRequest, run: Callable[..., Result]) -> RunRequest:
    """Return the request with the mask of clouds as that of its scene; ``run`` is ``predict`` with its engine.

    What is refused for its model or bands is refused before clouds are looked for; its values are judged without them.
    """
    opened, platform = request.opened(), local_site("cpu").platform  # nothing is refused for its platform
    scene, config = opened.scene, opened.config
    make_job(
        scene, opened.bundles, platform=platform, chunk_px=DEFAULT_CHUNK_PX, options=request.options,
        polygons=request.polygons,
    )  # fmt: skip
    mask = str(cloud_mask(request.out, request.options, lambda model, out, own: run(scene, model, out, options=own)))
    if config is not None:
        config = {**config, "mask": mask, "options": {**config["options"], "mask_clouds": None}}
    masked, options = replace(scene, mask=mask), replace(request.options, mask_clouds=None)
    return replace(request, scene=masked, model=opened.bundles, options=options, config=config)


def _run(request: RunRequest, *, engine: Engine | None, listen: Listener, stop: Stop) -> Result:
    started, options = time.perf_counter(), request.options
    stop = stop.within(options.max_runtime_s)
    work, opened = request.claimed(), request.opened()
    with (
        work.locked(shared=options.shard is not None),
        rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES),
        open_engine(options) if engine is None else nullcontext(engine) as running,
    ):
        site = running.site(*asked(opened.bundles, options))
        make = partial(make_plan, opened.scene, opened.bundles, site=site, options=options, polygons=request.polygons)
        plan = _adopted(work, make, fresh=options.fresh, config=opened.config)
        refuse_if_disk_is_short(request.out, plan.disk_bytes, options)
        for note in plan.notes:
            log.info(note)
        for doubt in plan.doubts:
            log.warning(doubt)
        task = ChunkTask(plan.job, load_networks, work)
        chunks = list(plan.job.chunks())
        mine = chunks if options.shard is None else chunks[options.shard[0] - 1 :: options.shard[1]]
        with decoding(site.platform.device):
            outcome = run_job(
                task, work, engine=running, only=mine, stop=stop, listen=listen, planned_bytes=plan.peak_bytes,
                in_order=plan.in_order is not None,
            )  # fmt: skip
        if options.on_failure == "stop" or options.shard is not None:
            refuse_if_failed(plan.job, outcome)
        if options.shard is not None:
            return Result(request.out, {}, {"shard": list(options.shard), "chunks": len(mine)})
        context = RunContext(opened.config, started)
        return _conclude(request, plan, outcome, context=context, listen=listen, stop=stop, each=running.map)


def decoding(device: str) -> AbstractContextManager[object]:
    """Let GDAL decode the blocks of a read on all cores where a GPU, and none of them, runs the networks."""
    return rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS") if device == "cuda" else nullcontext()


def lazy_map(
    scene: Input,
    model: Model | Sequence[Model],
    *,
    options: RunOptions | None = None,
    layer: str = "classes",
) -> "xr.DataArray":
    """Return ``layer`` of the map, computed chunk by chunk when somebody looks; as ``predict`` without a folder.

    Raises what ``geoseg.jobs.lazy.lazy_map`` raises, InputError and ModelError.
    """
    return lazy.lazy_map(opened_scene(scene), load_models(model), options=options or RunOptions(), layer=layer)


def finish(
    scene: Input,
    model: Model | Sequence[Model],
    out: str | Path,
    *,
    options: RunOptions | None = None,
    polygons: PolygonOptions | None = None,
    config: dict[str, Any] | None = None,
    listen: Listener = _silent,
) -> Result:
    """Write the outputs of a job whose parts are all there; the arguments are those of the runs that made them.

    No network runs, so this needs neither a GPU, even where the parts were made on one, nor the memory of a network.
    options: engine, lanes and memory say where polygons are drawn, and need not be those of the runs. Raises
    IncompleteError where parts are missing, and what ``predict`` raises.
    """
    started, options = time.perf_counter(), options or RunOptions()
    request = RunRequest(scene, model, Path(out), options, polygons, config)
    work = request.claimed()
    found = work.plan()
    if found is None:
        raise InputError(f"{out}: holds no job to finish; start one with geoseg predict or geoseg buildings")
    asked = request.opened()
    job = make_job(
        asked.scene,
        asked.bundles,
        platform=found.platform,
        chunk_px=options.chunk_px or found.chunk_px,
        options=options,
        polygons=polygons,
    )
    with work.locked(), rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES), open_engine(options) as engine:
        plan = plan_finish(asked.scene, job, resources=engine.resources(), options=options, polygons=polygons)
        refuse_if_disk_is_short(request.out, plan.disk_bytes, options)
        with work.adopting():
            work.adopt(job, fresh=False, config=asked.config)
        records = work.finished(job)
        missing = [chunk_id for chunk_id, _ in job.chunks() if chunk_id not in records]
        refuse_missing(out, missing, len(missing) + len(records), "chunks")
        context = RunContext(asked.config, started)
        return _conclude(
            request, plan, Outcome(records, ()), context=context, listen=listen, stop=Stop(), each=engine.map
        )


def _adopted(work: JobFolder, planned: Callable[..., Plan], *, fresh: bool, config: dict[str, Any] | None) -> Plan:
    """Make the folder that of a plan: ``planned(chunk_px=...)``, with the chunk size of the job that lies there.

    Another shard may have come first while this one planned, with other memory: then its chunk size rules.
    """
    plan = planned(chunk_px=None if fresh else work.chunk_px())
    with work.adopting():
        ruling = None if fresh else work.chunk_px()
        if ruling not in (None, plan.job.chunk_px):
            plan = planned(chunk_px=ruling)
        work.adopt(plan.job, fresh=fresh, config=config)
    return plan


def _conclude(
    request: RunRequest,
    plan: Plan,
    outcome: Outcome,
    *,
    context: RunContext,
    listen: Listener,
    stop: Stop,
    each: ParallelMap,
) -> Result:
    """Build the outputs and make them visible; the job folder goes, unless something in it is still wanted."""
    job, work = plan.job, JobFolder(request.out / ".job")
    built, facts = build_outputs(job, work, outcome, polygons=request.polygons, listen=listen, stop=stop, each=each)
    refuse_if_source_changed(job)
    content = {**of_job(job), **facts, **of_run(plan, context)}
    kept = request.options.keep_parts or bool(outcome.failures)
    paths = publish(work, built, content, spent=not kept)
    if not kept:
        work.remove()
    if request.options.report or all((request.out / name).is_file() for name in REPORTED):
        from geoseg.jobs.report import report  # PIL and sqlite3: most runs need neither

        paths |= {path.name: path for path in report(request.out)}
    return Result(request.out, paths, content)
