"""What a worker of a cluster runs: a chunk or a call, after it has made sure that its bytes are those planned for."""

import pickle
import platform
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import rasterio

from geoseg import __version__
from geoseg.errors import GeosegError, PlanChangedError
from geoseg.executors.base import Backends, Chunk, ChunkFailure, ChunkProgress, ChunkRecord, Resources, Site, Task
from geoseg.executors.heap import keep_freed_memory
from geoseg.executors.threads import AtOnce, local_resources, local_site, run_chunks
from geoseg.models.backends import library
from geoseg.tiling.memory import GDAL_CACHE_BYTES

Toolchain = dict[str, str]
INSTRUCTION_SET = "instruction set"
_for_good = ExitStack()  # contexts that last as long as the process
LIBRARIES = ("numpy", "numba", "shapely", "pyproj", "rasterio")


def execute(planned: Toolchain, payload: bytes, chunk: Chunk) -> ChunkRecord | ChunkFailure:
    """Run one chunk of the pickled task; reads ahead and encodes behind, the network has one thread.

    planned: what the geoseg that has planned is made of; another one's task is not even unpickled. Raises
    PlanChangedError where this worker would not give the same bytes, and what ends a whole job.
    """
    _refuse_other_tools(planned)
    task: Task = pickle.loads(payload)
    task.refuse_if_different(_site)
    with (
        rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES),
        ThreadPoolExecutor(1, "reader") as reader,
        ThreadPoolExecutor(1, "encoder") as encoder,
    ):
        said = run_chunks(task, [chunk], reader=reader, lanes=AtOnce(), encoder=encoder, ahead=1)
        outcome = next(one for one in said if not isinstance(one, ChunkProgress))
    if isinstance(outcome, ChunkFailure) and not isinstance(outcome.error, GeosegError | MemoryError):
        return replace(outcome, error=RuntimeError(f"{type(outcome.error).__name__}: {outcome.error}"))  # picklable
    return outcome


def perform(planned: Toolchain, payload: bytes, item: Any) -> Any:
    """Make the pickled call with ``item``; planned: as for ``execute``. Raises PlanChangedError, and what it raises."""
    _refuse_other_tools(planned)
    keep_freed_memory()
    return pickle.loads(payload)(item)


def versions() -> Toolchain:
    """Return what besides the processor decides the bits of all that is not the network's."""
    return {"geoseg": __version__, **_libraries()}


@lru_cache(maxsize=1)
def _libraries() -> Toolchain:
    return {name: version(name) for name in LIBRARIES}


@lru_cache(maxsize=1)
def instruction_set() -> str:
    """Return the widest vectors of this processor: BLAS, numpy and numba choose their code by them."""
    from llvmlite.binding import get_host_cpu_features

    features = get_host_cpu_features()
    return next((name for name in ("avx512f", "avx2", "sve", "neon") if features.get(name)), platform.machine())


def _refuse_other_tools(planned: Toolchain) -> None:
    here = {**versions(), INSTRUCTION_SET: instruction_set()}
    for name, wanted in planned.items():
        if here[name] != wanted:
            raise PlanChangedError(
                f"worker {platform.node()} runs {name} {here[name]}, the job was planned with {wanted}; "
                f"give every worker the same versions and kind of processor"
            )


def own_resources(workers: int) -> Resources:
    """Return what this worker has; workers: how many share its machine."""
    return _shared(local_resources(lanes=1), workers)


def own_site(device: str, *, backends: Backends, precision: str, workers: int) -> Site:
    """Return this worker as a site; workers: how many share its machine."""
    return _shared(_site(device, backends, precision), workers)


def _shared[R: Resources](resources: R, workers: int) -> R:
    """Return the resources of one thread of this worker, whose machine has been taken for its own."""
    from distributed import get_worker

    worker = get_worker()
    free = resources.free_bytes // workers
    limit = worker.memory_manager.memory_limit
    return replace(resources, free_bytes=(min(free, limit) if limit else free) // max(1, worker.state.nthreads))


@lru_cache(maxsize=4)
def _site(device: str, backends: Backends, precision: str) -> Site:
    _for_good.enter_context(library().one_thread_per_network())  # whatever else this worker runs
    keep_freed_memory()
    return local_site(device, backends, precision, lanes=1)
