"""Plan: what a run will do and hold, decided and checked before its first pixel."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from geoseg.errors import ConfigError, InputError, MemoryBudgetError
from geoseg.executors.base import Platform, Resources, Site
from geoseg.jobs.job import Job
from geoseg.jobs.networks import parity_notes
from geoseg.jobs.plan_memory import DEFAULT_CHUNK_PX, chunk_size, load_of, needed_bytes, spared
from geoseg.jobs.seams import most_seam_bytes
from geoseg.models.architectures import check_architecture
from geoseg.models.bundle import ModelBundle
from geoseg.models.fitness import BandFit, band_fits, doubts, refuse_unfit
from geoseg.models.spec import MANY_TIMES, ModelSpec
from geoseg.models.stretch import stretched
from geoseg.options.polygons import PolygonOptions
from geoseg.options.run import RunOptions
from geoseg.scenes.aoi import read_area
from geoseg.scenes.reads import files_read
from geoseg.scenes.reflectance import as_reflectance
from geoseg.scenes.sample import empty_areas, sample
from geoseg.scenes.scene import Scene
from geoseg.tasks import task_of
from geoseg.tasks.base import Wanted
from geoseg.tiling.memory import (
    COMPILING_BYTES,
    MIB,
    PLAIN_BASE_BYTES,
    MemoryPlan,
    finishing_bytes,
    projected_bytes,
)
from geoseg.tiling.resample import Resampling
from geoseg.tiling.taps import source_box
from geoseg.tiling.views import margin_for, views_of
from geoseg.tiling.windows import WindowGrid, overlapping, redundancy
from geoseg.values.grid import placeless

MOST_TIMES = 64  # finer or coarser than the model's: never meant
LONGEST_PX = 2**24  # along an axis: every row and column of chunks is looked at for the plan
SHARED = (
    "window_px", "margin_px", "ramp_px", "bands", "optional", "derived", "gsd_m", "gsd_range_m", "outputs", "classes",
    "polygon_class", "grouping", "objects",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """A job with its memory; lanes: threads of a process that run the network; notes: what the user should know.

    in_order: of how many processes each runs its chunks in order and hands windows on among them, a process every n-th
    chunk; None where chunks share nothing.
    stage_bytes: what each pass after the chunks takes, polygons among them.
    values: how far the scene's values are from the model's training, where the bundle says what that was; doubts: what
    that makes doubtful.
    """

    job: Job
    lanes: int
    memory: MemoryPlan
    stage_bytes: Mapping[str, int]
    notes: tuple[str, ...]
    values: tuple[BandFit, ...] = ()
    doubts: tuple[str, ...] = ()
    in_order: int | None = None

    def _repr_html_(self) -> str:
        """Return its numbers with a picture of the scene, for notebooks."""
        from geoseg.scenes.notebook import scene_html

        told = (f"  {key}: {value}" for key, value in self.as_json().items() if isinstance(value, str | int | float))
        return scene_html(self.job.scene, "\n".join(("", "Plan", *told)))

    @property
    def peak_bytes(self) -> int:
        """Projected peak memory of a process: chunks first, polygons after them."""
        return max(self.memory.total, *self.stage_bytes.values())

    @property
    def disk_bytes(self) -> int:
        """What parts, seams and outputs take at most, with overviews, where nothing can be compressed."""
        height, width = self.job.scene.grid.shape
        px = height * width if self.job.area is None else min(height * width, self.job.area.px)
        later = sum(layer.bytes_per_px for layer in self.job.task.later(self.job.spec))
        seams = 0 if self.in_order is None else most_seam_bytes(self.job)
        return px * (self.job.bytes_per_px + later) * 8 // 3 + seams

    @property
    def redundancy(self) -> float:
        """Windows run, as chunks repeat those at borders where none is handed on, over windows that exist."""
        if self.job.spec.detects_alone or self.in_order == 1:
            return 1.0
        boxes = [source_box(self.job.resampling.to_scene(box)) for _, box in self.job.chunks()]
        step = self.in_order or len(boxes)
        return redundancy(self.job.windows, (boxes[first::step] for first in range(step)))

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON values, for ``--dry-run`` and run.json."""
        job = self.job
        return {
            "scene_px": list(job.scene.grid.shape),
            "working_px": list(job.resampling.working_shape),
            "window_px": list(job.windows.window_shape),
            "stride_px": [job.windows.rows.stride, job.windows.cols.stride],
            "windows": job.windows.count,
            "chunk_px": job.chunk_px,
            "chunks": sum(1 for _ in job.chunks()),
            "redundancy": round(self.redundancy, 4),
            "network_calls_per_window": len(job.views) * len(job.bundles),
            "lanes": self.lanes,
            "batch": job.batch,
            "tta": job.tta,
            "device": job.platform.device,
            "backends": list(job.platform.backends),
            "precision": job.platform.precision,
            "layers": [layer.name for layer in job.layers],
            "memory_bytes": {
                **asdict(self.memory),
                "chunks_total": self.memory.total,
                "polygons": 0,
                **self.stage_bytes,
            },
            "peak_memory_bytes": self.peak_bytes,
            "disk_bytes_at_most": self.disk_bytes,
            "fingerprint": job.fingerprint,
            "values": [asdict(fit) for fit in self.values],
            "notes": [*self.notes, *self.doubts],
        }


def make_plan(
    scene: Scene,
    bundles: Sequence[ModelBundle],
    *,
    site: Site,
    options: RunOptions,
    polygons: PolygonOptions | None = None,
    chunk_px: int | None = None,
) -> Plan:
    """Decide how a run is done and check that it fits its memory.

    bundles: the model, or several whose probabilities are averaged; chunk_px: that of an unfinished run, taken where
    the options leave it open. Raises MemoryBudgetError, naming the largest chunk that fits, InputError where the
    scene's values are not a model's, and what ``make_job`` does.
    """
    job = make_job(
        scene, bundles, platform=site.platform, chunk_px=DEFAULT_CHUNK_PX, options=options, polygons=polygons
    )
    seen = sample(job.scene)
    for bundle in bundles:
        refuse_unfit(job.scene, bundle.spec, seen)
    fits = band_fits(job.scene, job.spec, seen)
    spared_bytes = spared(job, polygons=polygons is not None) if site.here else 0
    load = load_of(job, lanes=site.lanes, spared_bytes=spared_bytes)
    budget = site.budget_bytes(options.memory_bytes)
    in_order = _in_order(job, site, options)
    once = job.spec.objects is not None or in_order == 1
    chosen = chunk_size(load, options.chunk_px, chunk_px, budget, once=once)
    job = replace(job, chunk_px=chosen)
    return Plan(
        job,
        site.lanes,
        projected_bytes(load, chosen),
        needed_bytes(job, polygons, lanes=site.lanes, budget=budget, base=load.base_bytes + COMPILING_BYTES),
        (*_notes(scene, job), *empty_areas(job.scene, seen), *parity_notes(job)),
        fits,
        tuple(doubts(job.scene, job.spec, fits)),
        in_order,
    )


def _in_order(job: Job, site: Site, options: RunOptions) -> int | None:
    """Return how many processes run chunks in order and hand windows on: see ``Plan``."""
    if not site.here or job.spec.objects is not None:
        return None
    return 1 if options.shard is None else options.shard[1]


def plan_finish(
    scene: Scene, job: Job, *, resources: Resources, options: RunOptions, polygons: PolygonOptions | None = None
) -> Plan:
    """Return the plan of putting a job's parts together and drawing its polygons, for which no network is loaded.

    Raises MemoryBudgetError.
    """
    memory = finishing_bytes(
        scene.grid.shape,
        chunk_px=job.chunk_px,
        layer_bytes=job.bytes_per_px,
        classes=job.counted,
    )
    budget = resources.budget_bytes(options.memory_bytes)
    if memory.total > budget:
        raise MemoryBudgetError(
            f"the outputs of {scene.name} need {memory.total / MIB:.0f} MiB, but {budget / MIB:.0f} MiB are allowed; "
            f"allow more with --memory"
        )
    later = needed_bytes(job, polygons, lanes=resources.lanes, budget=budget, base=PLAIN_BASE_BYTES)
    notes = (*_notes(scene, job), *empty_areas(job.scene, sample(job.scene)))
    return Plan(job, resources.lanes, memory, later, notes)


def make_job(
    scene: Scene,
    bundles: Sequence[ModelBundle],
    *,
    platform: Platform,
    chunk_px: int,
    options: RunOptions,
    polygons: PolygonOptions | None = None,
) -> Job:
    """Return what decides the bytes of a run on ``platform`` in chunks of ``chunk_px``; nothing is planned for it.

    Raises InputError where the scene lacks the model's bands, and ConfigError for options that make no sense.
    """
    spec = _shared_spec(bundles)
    if max(scene.grid.shape) > LONGEST_PX:
        raise InputError(
            f"{scene.name}: {scene.grid.height} x {scene.grid.width} px, and at most {LONGEST_PX} along an axis are "
            f"planned; map parts of it (gdal_translate -srcwin)"
        )
    if polygons is not None and spec.polygon_class is None:
        raise ConfigError(f"model {spec.name!r} names no class to draw polygons of; use geoseg predict")
    if spec.objects is not None and (len(bundles) > 1 or (options.tta or spec.tta) != "none"):
        raise ConfigError(f"model {spec.name!r} gives objects, which are not averaged: take one model, and no --tta")
    scene = sized(scene, spec)
    threshold, tta = spec.threshold if options.threshold is None else options.threshold, options.tta or spec.tta
    resampling = Resampling.to_resolution(scene.grid, spec.reading_gsd_m(scene.grid))
    if spec.times_off(scene.grid) > MOST_TIMES and not options.any_scale:
        raise InputError(f"{_far(scene, spec)}; take a model for such pixels, or pass --any-scale")
    return Job(
        scene=in_range(scene.select(spec.source_bands, optional=spec.optional), spec, options.stretch),
        bundles=tuple(bundles),
        windows=_windows(bundles, resampling.working_shape, tta, options.window_overlap),
        resampling=resampling,
        chunk_px=chunk_px,
        batch=options.batch,
        tta=tta,
        platform=platform,
        threshold=threshold,
        layers=task_of(spec).layers(spec, _wanted(options, polygons)),
        reads=files_read(scene.inputs, lone=scene.lone),
        area=None if options.aoi is None else read_area(options.aoi, scene.grid),
    )


def _windows(bundles: Sequence[ModelBundle], shape: tuple[int, int], tta: str, share: float | None) -> WindowGrid:
    """Return the windows over a working grid; raises ConfigError where a view of them is not what a network takes.

    share: of a window's side, which lies in the next one, too; None: as the model says.
    """
    spec, networks = bundles[0].spec, [check_architecture(bundle.spec.arch) for bundle in bundles]
    window, multiple, least = spec.window_px, spec.multiple_px, networks[0].least_px
    own = spec.margin_px, spec.ramp_px
    margin, ramp = own if share is None else overlapping(window, share, multiple=multiple)
    margin = margin_for(tta, margin, multiple=multiple)
    try:
        grid = WindowGrid.fit(shape, window=window, margin=margin, ramp=ramp, multiple=multiple, least=least)
    except ConfigError as error:
        raise ConfigError(f"tta {tta}: {error}; take scales nearer to 1") from error
    for view in views_of(tta, grid.window_shape, multiple=spec.multiple_px, least=least):
        for network, side in product(networks, view.shape_of(grid.window_shape)):
            if fault := view.sizes and network.fault_of_window(side):
                raise ConfigError(f"tta {tta}: {fault}")
    return grid


def sized(scene: Scene, spec: ModelSpec) -> Scene:
    """Return a scene whose pixels, where nobody knows how large they are, are as large as the model was trained at."""
    if scene.grid.has_size or spec.span_m is None:
        return scene
    low, high = spec.span_m
    size_m = float(f"{(low * high) ** 0.5:.3g}")
    note = f"{scene.name}: its pixels are taken as {size_m:g} m wide, as the model was trained; else say --pixel-m"
    return replace(scene, grid=replace(scene.grid, crs=placeless(size_m)), notes=(*scene.notes, note))


def in_range(scene: Scene, spec: ModelSpec, percentiles: tuple[float, float] | None) -> Scene:
    """Return a scene with the scales and offsets by which its numbers are the model's."""
    if percentiles is not None:
        return stretched(scene, spec, sample(scene), percentiles)
    return as_reflectance(scene, sample(scene)) if spec.quantity == "reflectance" else scene


def _wanted(options: RunOptions, polygons: PolygonOptions | None) -> Wanted:
    return Wanted(options.rasters, polygons=polygons is not None, borders=polygons is not None and polygons.splits)


def _shared_spec(bundles: Sequence[ModelBundle]) -> ModelSpec:
    """Return what the members of an ensemble share; raises ConfigError where they do not."""
    if not bundles:
        raise ConfigError("no model given")
    first = bundles[0].spec
    for bundle in bundles[1:]:
        for name in SHARED:
            own, other = getattr(first, name), getattr(bundle.spec, name)
            if own != other:
                raise ConfigError(
                    f"{bundle.path}: {name} {other!r} differs from {own!r} of {bundles[0].path}; the models of an "
                    f"ensemble share windows, bands and classes"
                )
    return first


def _far(scene: Scene, spec: ModelSpec) -> str:
    height_m, width_m = scene.grid.ground_resolution_m()
    return (
        f"{scene.name}: pixels of {height_m:.3g} x {width_m:.3g} m differ {spec.times_off(scene.grid):,.1f} times from "
        f"the {spec.trained_m} of the model"
    )


def _notes(scene: Scene, job: Job) -> list[str]:
    spec, resampling, notes = job.spec, job.resampling, list(job.scene.notes)
    if spec.times_off(job.scene.grid) > MANY_TIMES:
        notes.append(f"{_far(job.scene, spec)}; what it was trained to see may not be there")
    if not scene.named:
        bands = ", ".join(job.scene.bands.names)
        grey = len(scene.bands) < len(job.scene.bands)
        notes.append(
            f"{scene.name}: its one band without a name is taken as grey, for each of {bands}"
            if grey
            else f"{scene.name}: bands have no names; taken in order as {bands}"
        )
    if lacking := [b.name for b in spec.source_bands if b not in job.scene.bands]:
        notes.append(
            f"{scene.name}: no {', '.join(lacking)} among {', '.join(scene.bands.names)}; model {spec.name!r} does "
            f"without, less well; name the file's bands in order with --bands where it has them"
        )
    if not resampling.is_identity:
        read_m = spec.reading_gsd_m(job.scene.grid)
        height_m, width_m = job.scene.grid.ground_resolution_m()
        notes.append(
            f"{scene.name}: pixels of {height_m:.3g} x {width_m:.3g} m, the model was trained at {spec.trained_m}: "
            f"it runs on {resampling.working_shape[0]} x {resampling.working_shape[1]} px of {read_m:.3g} m, "
            f"outputs come back on the scene's grid"
        )
    return notes
