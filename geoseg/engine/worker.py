"""What a worker of a cluster runs: one chunk, after it has made sure that it is the worker the job was planned for."""

import pickle
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache

import rasterio

from geoseg import __version__
from geoseg.engine.engines import Chunk, ChunkFailure, Site, Task
from geoseg.engine.heap import keep_freed_memory
from geoseg.engine.job import Job, differences
from geoseg.engine.kernel import ChunkRecord
from geoseg.engine.local import AtOnce, local_site, run_chunks
from geoseg.errors import ConfigError, GeosegError, PlanChangedError
from geoseg.tiling.memory import GDAL_CACHE_BYTES


def execute(version: str, payload: bytes, chunk: Chunk) -> ChunkRecord | ChunkFailure:
    """Run one chunk of the pickled task; reads ahead and encodes behind, the network has one thread.

    version: of the geoseg that has planned; another one's task is not even unpickled. Raises PlanChangedError where
    this worker would not give the same bytes, and what ends a whole job.
    """
    if version != __version__:
        raise PlanChangedError(
            f"worker {platform.node()} runs geoseg {__version__}, the job was planned with {version}; "
            f"install the same version on every worker"
        )
    task: Task = pickle.loads(payload)
    refuse_if_different(task.job, _site)
    with (
        rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES),
        ThreadPoolExecutor(1, "reader") as reader,
        ThreadPoolExecutor(1, "encoder") as encoder,
    ):
        outcome = next(run_chunks(task, [chunk], reader=reader, lanes=AtOnce(), encoder=encoder, ahead=1))
    if isinstance(outcome, ChunkFailure) and not isinstance(outcome.error, GeosegError | MemoryError):
        return replace(outcome, error=RuntimeError(f"{type(outcome.error).__name__}: {outcome.error}"))  # picklable
    return outcome


def own_site(device: str, *, workers: int) -> Site:
    """Return this worker as a site; workers: how many share its machine."""
    from distributed import get_worker

    site = _site(device)
    worker = get_worker()
    free = site.free_bytes // workers
    limit = worker.memory_manager.memory_limit
    return replace(site, free_bytes=(min(free, limit) if limit else free) // max(1, worker.state.nthreads))


@lru_cache(maxsize=4)
def _site(device: str) -> Site:
    import torch

    torch.set_num_threads(1)  # for good: a worker's network calls have one thread each, whatever else it runs
    keep_freed_memory()
    return local_site(device, lanes=1)


def refuse_if_different(job: Job, site: Callable[[str], Site]) -> None:
    """Raise PlanChangedError where this process (as a ``site`` for a device) would not give the job's bytes."""
    try:
        here = replace(job, platform=site(job.platform.device).platform)
    except ConfigError as error:
        raise PlanChangedError(f"worker {platform.node()}: {error}") from error
    changed = differences(here.identity, job.identity)
    if changed:
        raise PlanChangedError(
            f"worker {platform.node()}: {', '.join(changed)} not as planned "
            f"({'; '.join(f'{here.identity[k]} instead of {job.identity[k]}' for k in changed[:1])}); "
            f"give every worker the same files, versions and kind of device"
        )
