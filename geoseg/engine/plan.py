"""Plan: what a run will do and hold, decided and checked before its first pixel."""

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from geoseg.engine.job import Job
from geoseg.engine.kernel import INTERIOR, needed_boxes, probability_layer
from geoseg.engine.options import PolygonOptions, RunOptions
from geoseg.engine.views import VIEWS
from geoseg.errors import ConfigError, MemoryBudgetError
from geoseg.io.source import Scene
from geoseg.model.bundle import ModelBundle
from geoseg.model.spec import ModelSpec
from geoseg.tiling.plan import (
    BASE_BYTES,
    MIB,
    Load,
    MemoryPlan,
    WindowGrid,
    largest_chunk_that_fits,
    projected_bytes,
    redundancy,
)
from geoseg.tiling.resample import Resampling

# Windows of 768 px are run 1.68 times as often as there are in chunks of 2048 px, 1.32 times in 4096, 1.13 in 8192
# (``redundancy`` on 30,000 px square); larger chunks take more memory and resume in coarser steps.
DEFAULT_CHUNK_PX = 4096
FREE_SHARE = 0.8  # of the memory that is free when the plan is made
POLYGON_BYTES_PER_PX = 24  # probability, component numbers and rings of the whole scene while polygons are drawn


@dataclass(frozen=True, slots=True)
class Plan:
    """A job with its memory; lanes: threads that run the network; notes: what the user should know before."""

    job: Job
    lanes: int
    memory: MemoryPlan
    polygon_bytes: int
    notes: tuple[str, ...]

    @property
    def peak_bytes(self) -> int:
        """Projected peak memory of the process: chunks first, polygons after them."""
        return max(self.memory.total, self.polygon_bytes)

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON values, for ``--dry-run`` and run.json."""
        job, boxes = self.job, [box for _, box in self.job.chunks()]
        scene_px = int(np.prod(job.scene.grid.shape))
        return {
            "scene_px": list(job.scene.grid.shape),
            "working_px": list(job.resampling.working_shape),
            "window_px": list(job.windows.window_shape),
            "stride_px": [job.windows.rows.stride, job.windows.cols.stride],
            "windows": job.windows.count,
            "chunk_px": job.chunk_px,
            "chunks": len(boxes),
            "redundancy": round(redundancy(job.windows, [needed_boxes(job, box)[2] for box in boxes]), 4),
            "lanes": self.lanes,
            "batch": job.batch,
            "tta": job.tta,
            "device": job.device,
            "precision": job.precision,
            "layers": list(job.layers),
            "memory_bytes": {**asdict(self.memory), "chunks_total": self.memory.total, "polygons": self.polygon_bytes},
            "peak_memory_bytes": self.peak_bytes,
            "disk_bytes_at_most": 2 * scene_px * len(job.layers),
            "fingerprint": job.fingerprint,
            "notes": list(self.notes),
        }


def make_plan(
    scene: Scene, bundle: ModelBundle, *, options: RunOptions, polygons: PolygonOptions | None = None
) -> Plan:
    """Decide how a run is done and check that it fits its memory.

    Raises InputError where the scene lacks the model's bands, ConfigError for options that make no sense, and
    MemoryBudgetError, naming the largest chunk that fits.
    """
    from geoseg.model.backends import choose_device, choose_precision, describe_device

    spec = bundle.spec
    if polygons is not None and spec.polygon_class is None:
        raise ConfigError(f"model {spec.name!r} names no class to draw polygons of; use geoseg predict")
    threshold = spec.threshold if options.threshold is None else options.threshold
    if polygons is not None:
        polygons.rules(threshold)  # refuses what makes no sense before any work
    device = choose_device(options.device)
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
    lanes = options.lanes or (1 if device == "cuda" else usable_cpus())
    load = Load(
        grid=windows,
        resampling=resampling,
        bands=len(spec.bands),
        itemsize=np.dtype(selected.dtype).itemsize,
        channels=len(spec.channels),
        classes=len(spec.classes),
        batch=options.batch,
        views=len(VIEWS[tta]),
        lanes=lanes if options.engine == "threads" else 1,
        activation_bytes_per_px=0 if device == "cuda" else activation_bytes_per_px(spec),
    )
    chunk_px, budget = _chunk(load, options)
    polygon_bytes = 0 if polygons is None else BASE_BYTES + POLYGON_BYTES_PER_PX * int(np.prod(scene.grid.shape))
    if polygon_bytes > budget:
        raise MemoryBudgetError(
            f"polygons of {scene.name} need {polygon_bytes / MIB:.0f} MiB, but {budget / MIB:.0f} MiB are allowed; "
            f"allow more with --memory, or run geoseg predict for the rasters alone"
        )
    job = Job(
        scene=selected,
        bundle=bundle,
        windows=windows,
        resampling=resampling,
        chunk_px=chunk_px,
        batch=options.batch,
        tta=tta,
        device=device,
        precision=choose_precision(device),
        platform=describe_device(device),
        threshold=threshold,
        layers=_layer_names(spec, options, polygons),
    )
    notes = tuple(_notes(scene, spec, resampling))
    return Plan(job, load.lanes, projected_bytes(load, chunk_px), polygon_bytes, notes)


def _chunk(load: Load, options: RunOptions) -> tuple[int, int]:
    """Return the chunk size and the budget it was checked against."""
    import psutil

    budget = options.memory_bytes or int(FREE_SHARE * psutil.virtual_memory().available)
    largest = largest_chunk_that_fits(load, budget)
    if options.chunk_px is None:
        return min(largest, DEFAULT_CHUNK_PX), budget
    needed = projected_bytes(load, options.chunk_px).total
    if needed > budget:
        raise MemoryBudgetError(
            f"chunks of {options.chunk_px} px need {needed / MIB:.0f} MiB, but {budget / MIB:.0f} MiB are allowed; "
            f"the largest that fit are {largest} px"
        )
    return options.chunk_px, budget


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


def usable_cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: what this process is pinned to
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def activation_bytes_per_px(spec: ModelSpec) -> int:
    """Return what a network call holds per pixel of its window, beside input and answer, in bytes.

    The sum of all convolutions' outputs as fp32, found on torch's meta device without computing. Together with the
    plan's LANE_BYTES it is an upper bound, since inference frees what is used up.
    """
    import torch

    from geoseg.model.build import build_network

    size = 4 * spec.multiple_px
    total = 0

    def count(_module: object, _inputs: object, output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel() * 4

    with torch.device("meta"), torch.inference_mode():
        network = build_network(spec.arch, in_channels=len(spec.bands), out_channels=len(spec.channels)).eval()
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_hook(count)
        network(torch.zeros(1, len(spec.bands), size, size))
    return total // size**2
