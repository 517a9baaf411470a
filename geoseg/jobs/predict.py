"""predict: from a scene and a model to a folder of outputs."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import rasterio

from geoseg.errors import ConfigError, IncompleteError, InputError
from geoseg.executors.base import Engine
from geoseg.executors.open import open_engine
from geoseg.jobs import lazy
from geoseg.jobs.build import build_outputs, publish, remove_if_spent
from geoseg.jobs.chunk import ChunkTask
from geoseg.jobs.folder import JobFolder
from geoseg.jobs.job import listed, refuse_if_source_changed
from geoseg.jobs.networks import load_networks
from geoseg.jobs.plan import Plan, make_job, make_plan, plan_finish
from geoseg.jobs.record import Circumstances, config_of_call, of_job, of_run
from geoseg.jobs.result import Result
from geoseg.jobs.run import Listener, Outcome, Progress, Stop, refuse_if_failed, run_job
from geoseg.jobs.targets import (
    old_statistics,
    own_files,
    refuse_foreign,
    refuse_if_finished,
    refuse_inputs,
    target_names,
)
from geoseg.models.bundle import ModelBundle, load_model
from geoseg.options.polygons import PolygonOptions
from geoseg.options.run import RunOptions
from geoseg.scenes.open import open_scene
from geoseg.scenes.reads import files_read
from geoseg.scenes.scene import Scene
from geoseg.tiling.memory import GDAL_CACHE_BYTES

if TYPE_CHECKING:
    import xarray as xr

    from geoseg.vector.tiles.draw import ParallelMap

log = logging.getLogger(__name__)
Model = ModelBundle | str | Path
Input = Scene | str | Path | Sequence[str | Path]


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
    what a command line or file was told, kept in run.json; without it run.json says how to repeat the call, unless the
    scene came opened. engine: one that is open already and stays so, instead of the one that the options name. stop:
    asked before each chunk whether to go on.
    Raises InputError, ModelError, ConfigError, OutputError, MemoryBudgetError, TryAgainError and IncompleteError;
    whatever happens, ``out`` shows a complete run or none.
    """
    started = time.perf_counter()
    options = options or RunOptions()
    if out is None:
        if polygons is not None:
            raise ConfigError("polygons are drawn of a whole run: name a folder for its outputs")
        return lazy_map(scene, model, options=options, layer=layer)
    stop = (stop or Stop()).within(options.max_runtime_s)
    folder = Path(out)
    work = _claimed(folder, options, polygons)
    opened = _opened(scene)
    bundles = load_models(model)
    _refuse_inputs(folder, opened, bundles, options=options, polygons=polygons)
    if config is None and not isinstance(scene, Scene):  # how an opened one was opened is not known any more
        config = config_of_call(_files(scene), bundles, folder, options=options, polygons=polygons)
    with (
        work.locked(shared=options.shard is not None),
        rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES),
        open_engine(options) if engine is None else nullcontext(engine) as running,
    ):
        plan = _adopted(
            work,
            partial(make_plan, opened, bundles, site=running.site(options.device), options=options, polygons=polygons),
            fresh=options.fresh,
            config=config,
        )
        for note in plan.notes:
            log.info(note)
        task = ChunkTask(plan.job, load_networks, work)
        chunks = list(plan.job.chunks())
        mine = chunks if options.shard is None else chunks[options.shard[0] - 1 :: options.shard[1]]
        outcome = run_job(task, work, engine=running, only=mine, stop=stop, listen=listen)
        if options.on_failure == "stop" or options.shard is not None:
            refuse_if_failed(plan.job, outcome)
        if options.shard is not None:
            return Result(folder, {}, {"shard": list(options.shard), "chunks": len(mine)})
        return _conclude(
            plan,
            work,
            outcome,
            run=Circumstances(config, started),
            options=options,
            polygons=polygons,
            listen=listen,
            each=running.map,
        )


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
    return lazy.lazy_map(_opened(scene), load_models(model), options=options or RunOptions(), layer=layer)


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
    started = time.perf_counter()
    options = options or RunOptions()
    folder = Path(out)
    work = _claimed(folder, options, polygons)
    found = work.plan()
    if found is None:
        raise InputError(f"{folder}: holds no job to finish; start one with geoseg predict or geoseg buildings")
    opened = _opened(scene)
    bundles = load_models(model)
    _refuse_inputs(folder, opened, bundles, options=options, polygons=polygons)
    if config is None and not isinstance(scene, Scene):
        config = config_of_call(_files(scene), bundles, folder, options=options, polygons=polygons)
    job = make_job(
        opened,
        bundles,
        platform=found.platform,
        chunk_px=options.chunk_px or found.chunk_px,
        options=options,
        polygons=polygons,
    )
    with work.locked(), rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES), open_engine(options) as engine:
        plan = plan_finish(opened, job, room=engine.room(), options=options, polygons=polygons)
        with work.adopting():
            work.adopt(job, fresh=False, config=config)
        records = work.finished(job)
        missing = [chunk_id for chunk_id, _ in job.chunks() if chunk_id not in records]
        if missing:
            raise IncompleteError(
                f"{folder}: {len(missing)} of {len(missing) + len(records)} chunks are missing "
                f"({listed(missing)}); run their shards again, then finish"
            )
        return _conclude(
            plan,
            work,
            Outcome(records, ()),
            run=Circumstances(config, started),
            options=options,
            polygons=polygons,
            listen=listen,
            each=engine.map,
        )


def _claimed(folder: Path, options: RunOptions, polygons: PolygonOptions | None) -> JobFolder:
    """Return the job folder in ``folder``; raises OutputError where what lies there may not be replaced."""
    work, names = JobFolder(folder / ".job"), _names(options, polygons)
    remove_if_spent(work)
    refuse_if_finished(folder, overwrite=options.overwrite)
    refuse_foreign(folder, names)
    work.refuse_foreign()
    for name in old_statistics(folder, names):
        log.warning("%s: is not geoseg's and stays, but tells of the outputs before; remove it", folder / name)
    return work


def _refuse_inputs(
    folder: Path,
    scene: Scene,
    bundles: Sequence[ModelBundle],
    *,
    options: RunOptions,
    polygons: PolygonOptions | None,
) -> None:
    """Raise OutputError where a file that is read would be written or removed."""
    aoi = [] if options.aoi is None else [options.aoi, options.aoi.rpartition(":")[0]]
    mask = [] if scene.mask is None else [scene.mask]
    models = [path for bundle in bundles for path in Path(bundle.path).iterdir()]
    names = {*_names(options, polygons), *own_files(folder)}
    refuse_inputs(folder, names, [*files_read([*scene.files, *mask]), *aoi, *models])


def _names(options: RunOptions, polygons: PolygonOptions | None) -> tuple[str, ...]:
    return target_names(options.rasters, polygons=polygons is not None)


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
    plan: Plan,
    work: JobFolder,
    outcome: Outcome,
    *,
    run: Circumstances,
    options: RunOptions,
    polygons: PolygonOptions | None,
    listen: Listener,
    each: "ParallelMap",
) -> Result:
    """Build the outputs and make them visible; the job folder goes, unless something in it is still wanted."""
    job, folder = plan.job, work.path.parent
    built, facts = build_outputs(job, work, outcome, polygons=polygons, listen=listen, each=each)
    refuse_if_source_changed(job)
    content = {**of_job(job), **facts, **of_run(plan, run)}
    kept = options.keep_parts or bool(outcome.failures)
    paths = publish(work, built, content, spent=not kept)
    if not kept:
        work.remove()
    return Result(folder, paths, content)


def load_models(model: Model | Sequence[Model]) -> tuple[ModelBundle, ...]:
    """Open one model or several; raises ModelError."""
    several = [model] if isinstance(model, ModelBundle | str | Path) else model
    return tuple(m if isinstance(m, ModelBundle) else load_model(m) for m in several)


def _files(scene: str | Path | Sequence[str | Path]) -> Sequence[str | Path]:
    return [scene] if isinstance(scene, str | Path) else scene


def _opened(scene: Input) -> Scene:
    return scene if isinstance(scene, Scene) else open_scene(scene)


__all__ = ["Plan", "predict"]
