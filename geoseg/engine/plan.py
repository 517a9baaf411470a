"""Plan: what a run will do and hold, decided and checked before its first pixel."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from geoseg.engine.engines import Site
from geoseg.engine.job import Job
from geoseg.engine.kernel import INTERIOR, probability_layer
from geoseg.engine.options import PolygonOptions, RunOptions
from geoseg.engine.views import VIEWS
from geoseg.errors import ConfigError, MemoryBudgetError
from geoseg.io.aoi import read_area
from geoseg.io.source import Scene
from geoseg.model.bundle import ModelBundle
from geoseg.model.spec import ModelSpec
from geoseg.tiling.memory import MIB, Load, MemoryPlan, largest_chunk_that_fits, projected_bytes
from geoseg.tiling.plan import WindowGrid, redundancy
from geoseg.tiling.resample import Resampling, source_box

# Windows of 768 px are run 1.68 times as often as there are in chunks of 2048 px, 1.32 times in 4096, 1.13 in 8192
# (``redundancy`` on 30,000 px square); larger chunks take more memory and resume in coarser steps.
DEFAULT_CHUNK_PX = 4096
SHARED = ("window_px", "margin_px", "ramp_px", "bands", "gsd_m", "channels", "classes", "polygon_class")


@dataclass(frozen=True, slots=True)
class Plan:
    """A job with its memory; lanes: threads of a process that run the network; notes: what the user should know."""

    job: Job
    lanes: int
    memory: MemoryPlan
    polygon_bytes: int
    notes: tuple[str, ...]

    @property
    def peak_bytes(self) -> int:
        """Projected peak memory of a process: chunks first, polygons after them."""
        return max(self.memory.total, self.polygon_bytes)

    @property
    def redundancy(self) -> float:
        """Windows run, as chunks repeat those at their borders, over windows that exist."""
        boxes = [source_box(self.job.resampling.to_scene(box)) for _, box in self.job.chunks()]
        return redundancy(self.job.windows, boxes)

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON values, for ``--dry-run`` and run.json."""
        job = self.job
        scene_px = int(np.prod(job.scene.grid.shape))
        return {
            "scene_px": list(job.scene.grid.shape),
            "working_px": list(job.resampling.working_shape),
            "window_px": list(job.windows.window_shape),
            "stride_px": [job.windows.rows.stride, job.windows.cols.stride],
            "windows": job.windows.count,
            "chunk_px": job.chunk_px,
            "chunks": sum(1 for _ in job.chunks()),
            "redundancy": round(self.redundancy, 4),
            "network_calls_per_window": len(VIEWS[job.tta]) * len(job.bundles),
            "lanes": self.lanes,
            "batch": job.batch,
            "tta": job.tta,
            "device": job.platform.device,
            "precision": job.platform.precision,
            "layers": list(job.layers),
            "memory_bytes": {**asdict(self.memory), "chunks_total": self.memory.total, "polygons": self.polygon_bytes},
            "peak_memory_bytes": self.peak_bytes,
            "disk_bytes_at_most": scene_px
            * len(job.layers)
            * 8
            // 3,  # parts and outputs, with overviews, incompressible
            "fingerprint": job.fingerprint,
            "notes": list(self.notes),
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
    the options leave it open. Raises InputError where the scene lacks the model's bands, ConfigError for options that
    make no sense, and MemoryBudgetError, naming the largest chunk that fits.
    """
    spec = _shared_spec(bundles)
    if polygons is not None and spec.polygon_class is None:
        raise ConfigError(f"model {spec.name!r} names no class to draw polygons of; use geoseg predict")
    threshold = spec.threshold if options.threshold is None else options.threshold
    if polygons is not None:
        polygons.rules(threshold)  # refuses what makes no sense before any work
    selected = scene.select(spec.band_set)
    resampling = Resampling.to_resolution(scene.grid, spec.gsd_m)
    windows = WindowGrid.fit(
        resampling.working_shape,
        window=spec.window_px,
        margin=spec.margin_px,
        ramp=spec.ramp_px,
        multiple=spec.multiple_px,
    )
    tta = options.tta or spec.tta
    layers = _layer_names(spec, options, polygons)
    load = Load(
        grid=windows,
        resampling=resampling,
        bands=len(spec.bands),
        itemsize=np.dtype(selected.dtype).itemsize,
        channels=len(spec.channels),
        classes=len(spec.classes),
        layers=len(layers),
        batch=options.batch,
        answers=len(VIEWS[tta]) * len(bundles),
        images=len({str(b.spec.normalisation) for b in bundles}),
        lanes=site.lanes,
        activation_bytes_per_px=0 if site.platform.device == "cuda" else activation_bytes_per_px(spec),
    )
    budget = site.budget_bytes(options.memory_bytes)
    chosen = _chunk_px(load, options.chunk_px, chunk_px, budget)
    polygon_bytes = 0
    if polygons is not None:
        from geoseg.engine.buildings import projected_polygon_bytes  # numba, shapely and OGR: a map needs none of them

        polygon_bytes = projected_polygon_bytes(
            scene.grid.shape,
            lanes=site.lanes,
            interior=INTERIOR in layers,
            max_component_px=polygons.max_component_px,
        )
    if polygon_bytes > budget:
        raise MemoryBudgetError(
            f"polygons of {scene.name} need {polygon_bytes / MIB:.0f} MiB, but {budget / MIB:.0f} MiB are allowed; "
            f"allow more with --memory, take fewer lanes, or run geoseg predict for the rasters alone"
        )
    job = Job(
        scene=selected,
        bundles=tuple(bundles),
        windows=windows,
        resampling=resampling,
        chunk_px=chosen,
        batch=options.batch,
        tta=tta,
        platform=site.platform,
        threshold=threshold,
        layers=layers,
        area=None if options.aoi is None else read_area(options.aoi, scene.grid),
    )
    notes = tuple(_notes(scene, spec, resampling))
    return Plan(job, load.lanes, projected_bytes(load, chosen), polygon_bytes, notes)


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


def _chunk_px(load: Load, asked: int | None, before: int | None, budget: int) -> int:
    """Return the chunk size: as asked, as in the run that is resumed, or the largest that fits up to the default."""
    largest = largest_chunk_that_fits(load, budget)
    chosen = asked or before or min(largest, DEFAULT_CHUNK_PX)
    needed = projected_bytes(load, chosen).total
    if needed > budget:
        way_out = "the unfinished job has them: allow more with --memory, or start over with --fresh"
        raise MemoryBudgetError(
            f"chunks of {chosen} px need {needed / MIB:.0f} MiB, but {budget / MIB:.0f} MiB are allowed; "
            f"{f'the largest that fit are {largest} px' if asked else way_out}"
        )
    return chosen


def _layer_names(spec: ModelSpec, options: RunOptions, polygons: PolygonOptions | None) -> tuple[str, ...]:
    wanted = [c.name for c in spec.classes if options.probabilities or (polygons and c.name == spec.polygon_class)]
    inner = [INTERIOR] if polygons and polygons.splits and INTERIOR in {c.name for c in spec.channels} else []
    return ("classes", "confidence", *(probability_layer(name) for name in wanted), *inner)


def _notes(scene: Scene, spec: ModelSpec, resampling: Resampling) -> list[str]:
    notes = []
    if not scene.named:
        notes.append(f"{scene.name}: bands have no names; taken in order as {', '.join(spec.band_set.names)}")
    if not resampling.is_identity:
        height_m, width_m = scene.grid.ground_resolution_m()
        notes.append(
            f"{scene.name}: pixels of {height_m:.3g} x {width_m:.3g} m, the model was trained at {spec.gsd_m:g} m: "
            f"it runs on {resampling.working_shape[0]} x {resampling.working_shape[1]} px of that size, "
            f"outputs come back on the scene's grid"
        )
    return notes


def activation_bytes_per_px(spec: ModelSpec) -> int:
    """Return what a network call holds per pixel of its window, beside input and answer, in bytes.

    The sum of all convolutions' outputs as fp32, found by running a small window through an untrained network: torch's
    meta device would not compute, and takes twice as long to load. Together with LANE_BYTES it is an upper bound, since
    inference frees what is used up.
    """
    import torch

    from geoseg.model.build import build_network

    size = 4 * spec.multiple_px
    total = 0

    def count(_module: object, _inputs: object, output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel() * 4

    with torch.inference_mode():
        network = build_network(spec.arch, in_channels=len(spec.bands), out_channels=len(spec.channels)).eval()
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_hook(count)
        network(torch.zeros(1, len(spec.bands), size, size))
    return total // size**2
