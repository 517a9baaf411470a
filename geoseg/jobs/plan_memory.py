"""Memory of a plan: what its chunks and the stages after them hold, and how large chunks may be."""

import sys
from collections.abc import Sequence
from math import prod

import numpy as np

from geoseg.errors import MemoryBudgetError
from geoseg.executors.base import TORCH
from geoseg.jobs.job import Job
from geoseg.jobs.networks import call_bytes
from geoseg.models.architectures import check_architecture
from geoseg.options.polygons import PolygonOptions
from geoseg.tasks.buildings import drawn_layers
from geoseg.tiling.memory import (
    DETECTION_BYTES,
    FAMILY_BYTES,
    MASK_BYTES,
    MIB,
    VECTOR_BYTES,
    Load,
    largest_chunk_that_fits,
    projected_bytes,
)
from geoseg.tiling.windows import cuts

# Windows of 768 px are run 1.68 times as often as there are in chunks of 2048 px, 1.32 times in 4096, 1.13 in 8192
# (``redundancy`` on 30,000 px square); larger chunks take more memory and resume in coarser steps. So they are larger
# than the default only where more than a quarter of the windows would be run again, as chunks share nothing.
DEFAULT_CHUNK_PX = 4096
FAMILIES = ("segmentation_models_pytorch", "torchvision", "timm", "transformers", "onnxruntime", "openvino")
OF_VECTORS = ("pandas", "geopandas", "pyogrio", "matplotlib", "pyarrow", "distributed")
MOST_REPEATED = 1.25
# Of more channels nothing is spared: with 250 of them 3,264 MiB were measured where 3,182 were planned.
MOST_SPARED_CHANNELS = 32


def load_of(job: Job, *, lanes: int, spared_bytes: int = 0) -> Load:
    """Return what running the chunks of a job holds, whatever their size; spared_bytes: see ``spared``."""
    spec = job.spec
    reducing, leaving = job.task.bytes_per_px(spec)
    masks = 0 if spec.objects is None else spec.objects.per_window * prod(job.seen_shapes[0]) * job.batch
    return Load(
        grid=job.windows,
        resampling=job.resampling,
        bands=len(spec.source_bands) + len(spec.derived),
        itemsize=np.dtype(job.scene.dtype).itemsize,
        channels=spec.blended,
        reducing_bytes=reducing,
        leaving_bytes=leaving,
        layer_bytes=job.bytes_per_px,
        batch=job.batch,
        answers=len(job.views) * len(job.bundles),
        seen_px=prod(job.seen_shapes[0]),
        images=len({str(b.spec.normalisation) for b in job.bundles}),
        lanes=lanes,
        weights_bytes=weights_bytes([b.weights.bytes for b in job.bundles])
        + max(check_architecture(b.spec.arch).dropped_bytes for b in job.bundles),
        call_bytes=call_bytes(job) + masks,
        table_bytes=0 if spec.objects is None else DETECTION_BYTES + MASK_BYTES // 8,
        spared_bytes=spared_bytes,
    )


def spared(job: Job, *, polygons: bool) -> int:
    """Return what BASE_BYTES counts of libraries that a run in this process does without, unless it holds them already.

    Workers hold their cluster's libraries instead, and notebooks those of lazy maps: nothing is spared in them.
    """
    if job.spec.blended > MOST_SPARED_CHANNELS:
        return 0
    own = job.platform.backends == TORCH and not any(check_architecture(b.spec.arch).libraries for b in job.bundles)
    plain = not polygons and job.area is None and not job.spec.things
    return FAMILY_BYTES * (own and _none_loaded(FAMILIES)) + VECTOR_BYTES * (plain and _none_loaded(OF_VECTORS))


def _none_loaded(names: Sequence[str]) -> bool:
    return not any(name in sys.modules for name in names)


def chunk_size(load: Load, asked: int | None, before: int | None, budget: int, *, once: bool) -> int:
    """Return the chunk size: as asked, as in the run that is resumed, or the default, of what fits.

    once: no window is run by two chunks.
    """
    largest = largest_chunk_that_fits(load, budget)
    chosen = asked or before or _default(load, largest, once=once)
    needed = projected_bytes(load, chosen).total
    if needed > budget:
        way_out = "the unfinished job has them: allow more with --memory, or start over with --fresh"
        raise MemoryBudgetError(
            f"chunks of {chosen} px need {needed / MIB:.0f} MiB, but {budget / MIB:.0f} MiB are allowed; "
            f"{f'the largest that fit are {largest} px' if asked else way_out}"
        )
    return chosen


def _default(load: Load, largest: int, *, once: bool) -> int:
    """Return DEFAULT_CHUNK_PX, or more where windows would be run more than MOST_REPEATED times, up to ``largest``."""
    chunk_px = min(largest, DEFAULT_CHUNK_PX)
    while chunk_px < largest and not once and _repeated(load, chunk_px) > MOST_REPEATED:
        chunk_px *= 2
    return chunk_px


def _repeated(load: Load, chunk_px: int) -> float:
    """Return how often each window is run, to a pixel at the borders of resampled chunks; see ``Plan.redundancy``."""
    grid, run = load.grid, 1
    for axis, scene, working in zip(
        (grid.rows, grid.cols), load.resampling.scene_shape, load.resampling.working_shape, strict=True
    ):
        spans = [(lo * working // scene, -(-hi * working // scene)) for lo, hi in cuts(scene, chunk_px)]
        run *= sum(len(axis.touching(lo, hi)) for lo, hi in spans)
    return run / grid.count


def needed_bytes(job: Job, polygons: PolygonOptions | None, *, lanes: int, budget: int, base: int) -> dict[str, int]:
    """Return what the passes after the chunks take in a process of ``base`` bytes; raises MemoryBudgetError."""
    needed: dict[str, int] = {"polygons": 0}
    if polygons is not None:
        from geoseg.vector.tiles.draw import projected_polygon_bytes  # numba, shapely and OGR: a map needs none of them

        needed["polygons"] = projected_polygon_bytes(
            job.scene.grid.shape,
            lanes=lanes,
            interior=drawn_layers(job)[1] is not None,
            max_component_px=polygons.max_component_px,
            base_bytes=base,
        )
    if job.spec.things:
        from geoseg.jobs.objects import stage_bytes

        needed |= stage_bytes(job, lanes=lanes, base_bytes=base)
    for stage, total in needed.items():
        if total > budget:
            what, hint = f"objects, in stage {stage},", "or take fewer lanes"
            if stage == "polygons":
                what, hint = stage, "take fewer lanes, or run geoseg predict for the rasters alone"
            raise MemoryBudgetError(
                f"{what} of {job.scene.name} need {total / MIB:.0f} MiB, but {budget / MIB:.0f} MiB are allowed; "
                f"allow more with --memory, {hint}"
            )
    return needed


def weights_bytes(stored: Sequence[int]) -> int:
    """Return what the weights of an ensemble hold at most while they are loaded; ``stored``: bytes of each file.

    All of them as fp32, stored as fp16; beside the largest what its file held, as bytes and as tensors, and its tensors
    as fp32 once more. Measured with resnet34 (24 M parameters): 272 MiB with one, 96 with each other one.
    """
    return 2 * sum(stored) + 4 * max(stored)
