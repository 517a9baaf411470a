"""Opening the engine that the options name; what it has started ends with the context."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from geoseg.engine.engines import Engine
from geoseg.engine.heap import freed_memory_kept
from geoseg.engine.local import SyncEngine, ThreadsEngine
from geoseg.engine.options import RunOptions


@contextmanager
def open_engine(options: RunOptions) -> Iterator[Engine]:
    """Yield the engine; raises ConfigError where a GPU or a factory is not there, TryAgainError for a cluster."""
    with freed_memory_kept(), _OPENERS[options.engine](options) as engine:
        yield engine


@contextmanager
def _sync(_options: RunOptions) -> Iterator[Engine]:
    from geoseg.model.backends import one_thread_per_network

    with one_thread_per_network():
        yield SyncEngine()


@contextmanager
def _threads(options: RunOptions) -> Iterator[Engine]:
    from geoseg.model.backends import one_thread_per_network

    with one_thread_per_network():
        yield ThreadsEngine(lanes=options.lanes)


@contextmanager
def _dask(options: RunOptions) -> Iterator[Engine]:
    from geoseg.engine.cluster import open_cluster

    with open_cluster(options) as engine:
        yield engine


_OPENERS: dict[str, Callable[[RunOptions], AbstractContextManager[Engine]]] = {
    "sync": _sync,
    "threads": _threads,
    "local": _dask,
    "cuda": _dask,
    "dask": _dask,
}
