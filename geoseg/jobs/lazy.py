"""The notebook's view: a map as a lazy xarray.DataArray, each chunk computed when somebody looks at it."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import starmap
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio

from geoseg.errors import ConfigError
from geoseg.executors.threads import local_site, usable_cpus
from geoseg.jobs.chunk import rows_of
from geoseg.jobs.job import Job, refuse_if_different
from geoseg.jobs.networks import load_networks
from geoseg.jobs.plan import make_plan
from geoseg.models.backends import asked, library
from geoseg.models.bundle import ModelBundle
from geoseg.options.run import RunOptions
from geoseg.scenes.scene import Scene
from geoseg.scenes.xarray_view import georeferenced
from geoseg.tasks.base import Rows
from geoseg.tasks.groups import groups_of
from geoseg.tiling.memory import BASE_BYTES, GDAL_CACHE_BYTES
from geoseg.values.box import Box
from geoseg.values.layers import RASTERS, Pixels

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr

log = logging.getLogger(__name__)


def lazy_map(
    scene: Scene, bundles: Sequence[ModelBundle], *, options: RunOptions, layer: str = "classes"
) -> "xr.DataArray":
    """Return a raster that a run would write, NAME.tif of ``layer``, computed by chunks; equal to it byte for byte.

    (y, x), or (band, y, x) for "probabilities". All views of one job share their chunks: computed together, the network
    runs once. Dask's scheduler says where chunks run; of the options those count that decide bytes, chunks and memory.
    Raises what ``make_plan`` raises, and ConfigError for a layer that no run writes.
    """
    if bundles and bundles[0].spec.objects is not None:
        raise ConfigError("objects are merged over a whole run: name a folder for its outputs")
    options = replace(options, layers=(*options.layers, *({layer} & {*RASTERS})))
    site = local_site(*asked(bundles, options), lanes=1)
    share = _share_of_a_task(site.budget_bytes(options.memory_bytes))
    plan = make_plan(scene, bundles, site=site, options=replace(options, memory_bytes=share))
    for note in plan.notes:
        log.info(note)
    for doubt in plan.doubts:
        log.warning(doubt)
    job = plan.job
    found = [i for i, each in enumerate(job.layers) if each.file == f"{layer}.tif"]
    if not found:
        known = (*(RASTERS if job.spec.classes else ()), *(group.name for group in groups_of(job.spec)))
        raise ConfigError(f"layer {layer!r}: choose {', '.join(known)}")
    first, pixels, grid = job.layers[found[0]], _layers(job), job.scene.grid
    pixels = pixels[found[0] : found[-1] + 1].astype(first.dtype)  # the bands of a file follow each other
    if len(found) == 1:
        array = georeferenced(pixels[0], grid, name=layer, nodata=first.nodata)
    else:
        names = [job.layers[i].name for i in found]
        array = georeferenced(pixels, grid, name=layer, bands=names, nodata=first.nodata)
    scaled = (first.scale, first.offset) != (1, 0)
    return array.assign_attrs({"scale_factor": first.scale, "add_offset": first.offset} if scaled else {})


def _share_of_a_task(budget_bytes: int) -> int:
    """Return what one of the chunks that Dask runs at once in a process may count on: the base is there only once."""
    return min(budget_bytes, BASE_BYTES + max(0, budget_bytes - BASE_BYTES) // usable_cpus())


def _layers(job: Job) -> "da.Array":
    """Return all layers of a job, (L, H, W), in a type that holds them all; equal jobs have equal keys.

    Nothing is loaded to build it.
    """
    import dask.array as da
    from dask.array.core import normalize_chunks

    common = np.result_type(*(layer.dtype for layer in job.layers))
    return da.map_blocks(
        _block,
        job=job,
        chunks=normalize_chunks(
            (-1, job.chunk_px, job.chunk_px), shape=(len(job.layers), *job.scene.grid.shape), dtype=common
        ),
        dtype=common,
        meta=np.empty((0, 0, 0), common),
        name=f"geoseg-{job.fingerprint}",
    )


def _block(*, job: Job, block_info: dict[None, dict[str, Any]]) -> Pixels:
    (row0, row1), (col0, col1) = block_info[None]["array-location"][1:]
    layers = compute_chunk(job, Box(row0, col0, row1, col1))
    return np.stack([layers[layer.name] for layer in job.layers])


def compute_chunk(job: Job, box: Box) -> Rows:
    """Return the layers (h, w) of one chunk; the network has one thread, in whatever thread or process this runs.

    Raises PlanChangedError where the scene was changed, or this machine would give other bytes than planned.
    """
    refuse_if_different(job, local_site)
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES), library().one_thread_per_network():
        return rows_of(job, box, partial(starmap, load_networks(job)))
