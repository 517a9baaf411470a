"""Opening the engine that the options name; what it has started ends with the context."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from geoseg.executors.base import Engine
from geoseg.executors.heap import freed_memory_kept
from geoseg.executors.threads import SyncEngine, ThreadsEngine
from geoseg.options.run import EngineOptions


@contextmanager
def open_engine(options: EngineOptions) -> Iterator[Engine]:
    """Yield the engine; raises ConfigError where a GPU or a factory is not there, TryAgainError for a cluster."""
    with freed_memory_kept(), _OPENERS[options.engine](options) as engine:
        yield engine


def _sync(_options: EngineOptions) -> AbstractContextManager[Engine]:
    return nullcontext(SyncEngine())


def _threads(options: EngineOptions) -> AbstractContextManager[Engine]:
    return nullcontext(ThreadsEngine(lanes=options.lanes))


def _dask(options: EngineOptions) -> AbstractContextManager[Engine]:
    from geoseg.executors.dask import open_cluster

    return open_cluster(options)


_OPENERS: dict[str, Callable[[EngineOptions], AbstractContextManager[Engine]]] = {
    "sync": _sync,
    "threads": _threads,
    "local": _dask,
    "cuda": _dask,
    "dask": _dask,
}
