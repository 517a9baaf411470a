"""Dask: chunks are streamed to the workers of a cluster; pixels never pass through its scheduler.

Few chunks are under way at once: when a worker dies, every task that the scheduler had assigned to it counts as
suspicious, also those that never began, so a long queue dies with it (40 tasks submitted at once to a worker that was
killed four times: all failed, 39 had never started).
"""

import ast
import json
import logging
import pickle
import queue
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Future, KilledWorker, LocalCluster
from distributed.comm import CommClosedError

from geoseg.errors import ConfigError, GeosegError, PlanChangedError, TryAgainError
from geoseg.executors.base import TORCH, Backends, Cause, Chunk, ChunkFailure, ChunkRecord, Resources, Site, Task
from geoseg.executors.threads import usable_cpus
from geoseg.executors.worker import (
    INSTRUCTION_SET,
    Toolchain,
    execute,
    instruction_set,
    own_resources,
    own_site,
    perform,
    versions,
)
from geoseg.options.run import EngineOptions

log = logging.getLogger(__name__)

CHUNKS_PER_SLOT = 2  # one that runs and one that waits for it
POLL_S = 2.0  # between looks at the cluster's health while nothing comes back
PATIENCE_S = 600.0  # for the first worker, and for a new one when all are gone: nodes take minutes to boot
CONNECT_S = 30.0
LEAST_ALLOWED_FAILURES = 10
UNKNOWN = (ImportError, AttributeError, pickle.PickleError)  # what another geoseg says of our tasks
LOST = (KilledWorker, CancelledError, CommClosedError, TimeoutError, OSError)
# Settings of the clusters that geoseg starts. Workers hold no Dask data, so spilling could only hurt; a first call may
# hold the interpreter for minutes (libraries, GPU start-up) without being dead, and the worker that follows a dead one
# may take as long to start: a cluster that takes it for lost meanwhile closes its nanny, and none comes back.
SETTINGS = {
    "distributed.scheduler.allowed-failures": 20,
    "distributed.scheduler.worker-ttl": "10 minutes",
    "distributed.deploy.lost-worker-timeout": "10 minutes",
    "distributed.scheduler.work-stealing": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
}


class DaskEngine:
    """Runs chunks on the workers of a Dask cluster, a few per slot at a time.

    patience_s: how long to wait for a first worker, or for a new one when all are gone.
    """

    def __init__(self, client: Client, *, workers: int | None = None, patience_s: float = PATIENCE_S) -> None:
        self._client = client
        self._patience_s = patience_s
        self._seen: set[str] = set()  # addresses of the workers that were last there
        assert client.scheduler is not None  # a client is connected once it is made
        self._address = str(client.scheduler.address)
        try:
            client.wait_for_workers(workers or 1, timeout=patience_s)
        except TimeoutError as error:
            raise TryAgainError(
                f"{self._address}: fewer than {workers or 1} workers within {patience_s:.0f} s; "
                f"start them, then run the same command again"
            ) from error

    def resources(self) -> Resources:
        """See ``Engine.resources``; asked of a worker."""
        return next(self.map(own_resources, [self._workers_of_a_host()]))

    def site(self, device: str, backends: Backends = TORCH, precision: str = "auto") -> Site:
        """See ``Engine.site``; asked of a worker."""
        asked = partial(own_site, backends=backends, precision=precision, workers=self._workers_of_a_host())
        return next(self.map(asked, [device]))

    def run(self, task: Task, todo: Iterable[Chunk]) -> Iterator[ChunkRecord | ChunkFailure]:
        """See ``Engine.run``; raises TryAgainError where the scheduler or all workers are lost."""
        planned, payload, rest = self._planned, pickle.dumps(task), iter(todo)
        finished: queue.SimpleQueue[Future] = queue.SimpleQueue()
        pending: dict[Future, Chunk] = {}
        try:
            while True:
                for chunk in islice(rest, max(0, self._window() - len(pending))):
                    future = self._client.submit(
                        execute, planned, payload, chunk, key=_key(task, chunk), pure=False, retries=0
                    )
                    pending[future] = chunk
                    future.add_done_callback(finished.put)
                if not pending:
                    return
                future = self._next(finished)
                outcome = self._outcome(future, pending.pop(future))
                future.release()
                yield outcome
        finally:
            self._cancel(pending)

    def map[T, R](self, call: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """See ``Engine.map``; a call whose worker was lost is made again, up to the scheduler's patience.

        Raises PlanChangedError where a worker would not give the same bytes, and TryAgainError where the scheduler or
        all workers are lost.
        """
        planned, payload, rest = self._planned, pickle.dumps(call), iter(items)
        pending: deque[Future] = deque()
        try:
            while True:
                for item in islice(rest, max(0, self._window() - len(pending))):
                    pending.append(self._client.submit(perform, planned, payload, item, pure=False))
                if not pending:
                    return
                yield self._result(pending.popleft())
        finally:
            self._cancel(pending)

    def _result(self, future: Future) -> Any:
        """Return what a call has returned, or raise it; raises TryAgainError where the call was lost."""
        try:
            return self._fetched(future)
        except GeosegError:  # some of them are OSErrors as well
            raise
        except LOST as error:
            raise TryAgainError(f"{self._address}: a call was lost ({error}); run the same command again") from error
        except UNKNOWN as error:
            raise self._other_geoseg(error) from error

    @cached_property
    def _planned(self) -> Toolchain:
        """What every worker has to be: of the versions here, and with the processor of the first that is asked."""
        return {**versions(), INSTRUCTION_SET: self._result(self._client.submit(instruction_set, pure=False))}

    def _workers_of_a_host(self) -> int:
        """Return how many workers share a machine, where they are most."""
        hosts = [info["host"] for info in self._client.scheduler_info(n_workers=-1)["workers"].values()]
        return max(hosts.count(host) for host in hosts)

    def _cancel(self, pending: Iterable[Future]) -> None:
        if (left := list(pending)) and self._client.status == "running":
            self._client.cancel(left)

    def _other_geoseg(self, error: Exception) -> PlanChangedError:
        return PlanChangedError(
            f"{self._address}: a worker cannot run the job ({type(error).__name__}: {error}); "
            f"install the same geoseg on every worker"
        )

    def _window(self) -> int:
        """Return how many chunks may be under way: the cluster may have grown or shrunk."""
        return CHUNKS_PER_SLOT * max(1, sum(self._threads().values()))

    def _threads(self) -> dict[str, int]:
        """Return the threads of every worker; raises TryAgainError where the scheduler does not answer."""
        cause: Exception | None = None
        if self._client.status == "running":
            try:
                threads = dict(self._client.nthreads())
            except (OSError, TimeoutError, CommClosedError, CancelledError) as error:
                cause = error
            else:
                self._tell_of_the_lost(set(threads))
                return threads
        raise TryAgainError(
            f"{self._address}: the scheduler is lost; start one and run the same command again, "
            f"what is committed is kept"
        ) from cause

    def _tell_of_the_lost(self, workers: set[str]) -> None:
        """Warn once of each worker that has gone: the scheduler gives its chunks to others and says nothing."""
        if gone := self._seen - workers:
            log.warning("workers lost: %s; %d are left and take what they did", ", ".join(sorted(gone)), len(workers))
        self._seen = workers

    def _next(self, finished: "queue.SimpleQueue[Future]") -> Future:
        """Wait for a chunk; raises what ``_last_seen`` raises."""
        since = time.monotonic()
        while True:
            try:
                return finished.get(timeout=POLL_S)
            except queue.Empty:
                since = self._last_seen(since)

    def _fetched(self, future: Future) -> Any:
        """Wait for a result, also for one that is made again since its worker died with it; raises as ``_next``."""
        since = time.monotonic()
        while True:
            try:
                return future.result(timeout=POLL_S)
            except TimeoutError:
                if future.status == "error":  # the task's own
                    raise
                since = self._last_seen(since)

    def _last_seen(self, since: float) -> float:
        """Return when workers were last there, ``since`` where there are none.

        Raises TryAgainError where the scheduler is lost, or no worker has been there for too long.
        """
        if self._threads():
            return time.monotonic()
        if time.monotonic() - since > self._patience_s:
            raise TryAgainError(
                f"{self._address}: no worker has been there for {self._patience_s:.0f} s; start some and run "
                f"the same command again, what is committed is kept"
            )
        return since

    def _outcome(self, future: Future, chunk: Chunk) -> ChunkRecord | ChunkFailure:
        """Return what a finished task says, or what its loss means; raises what ends the whole job."""
        try:
            outcome: ChunkRecord | ChunkFailure = self._fetched(future)
        except GeosegError:
            raise
        except LOST as error:
            self._threads()  # a lost scheduler ends the run, a lost worker does not
            return ChunkFailure(*chunk, Cause.WORKER, error)
        except UNKNOWN as error:
            raise self._other_geoseg(error) from error
        except Exception as error:  # whatever else a worker says of one chunk: the run tries again, then reports it
            return ChunkFailure(*chunk, Cause.MEMORY if isinstance(error, MemoryError) else Cause.NETWORK, error)
        return outcome


def _key(task: Task, chunk: Chunk) -> str:
    """Return a key of one prefix for all chunks: the scheduler keeps statistics per prefix for ever."""
    return f"geoseg-{task.key}{chunk[0]}{time.monotonic_ns()}"


@contextmanager
def open_cluster(options: EngineOptions) -> Iterator[DaskEngine]:
    """Connect to, or start, the cluster that the options name; raises ConfigError and TryAgainError."""
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(SETTINGS))
        cluster = options.cluster
        if options.engine == "dask":
            client = stack.enter_context(_foreign(options))
            _advise(client)
            yield DaskEngine(client, workers=cluster.workers)
            return
        maker = _local_cluster if options.engine == "local" else _cuda_cluster
        made = stack.enter_context(maker(cluster.workers))
        client = stack.enter_context(Client(made))
        yield DaskEngine(client, workers=len(made.workers))


def _local_cluster(workers: int | None) -> LocalCluster:
    refuse_unguarded_script("local")
    return LocalCluster(
        n_workers=workers or usable_cpus(),
        threads_per_worker=1,
        memory_limit=0,
        dashboard_address=None,
        silence_logs=logging.ERROR,  # a worker that takes long to leave is no news
    )


def refuse_unguarded_script(engine: str) -> None:
    """Raise ConfigError where a script calls geoseg outside of its main guard.

    Each process that is started imports the script again, calls would start processes of their own, and none works.
    """
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    frame = sys._getframe()
    while frame.f_back is not None and not (frame.f_globals is vars(main) and frame.f_code.co_name == "<module>"):
        frame = frame.f_back
    if file is None or frame.f_globals is not vars(main) or not Path(file).is_file():
        return  # a notebook, a prompt, or a thread
    for statement in ast.parse(Path(file).read_bytes()).body:
        here = statement.lineno <= frame.f_lineno <= (statement.end_lineno or statement.lineno)
        if here and "__name__" not in ast.dump(statement):
            raise ConfigError(
                f"engine {engine}: {file} line {frame.f_lineno} starts processes that import the script again; put "
                f'the call under  if __name__ == "__main__":  or use engine="threads"'
            )


def _cuda_cluster(workers: int | None) -> Any:
    try:
        from dask_cuda import LocalCUDACluster
    except ImportError as error:
        raise ConfigError("engine cuda: dask-cuda is not installed; pip install dask-cuda, or use threads") from error
    refuse_unguarded_script("cuda")
    return LocalCUDACluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)


def _foreign(options: EngineOptions) -> Client:
    cluster = options.cluster
    try:
        if cluster.factory is not None:
            made = _made_by(cluster.factory)
            return made if isinstance(made, Client) else Client(made, timeout=CONNECT_S)
        if cluster.scheduler_file is not None:
            _refuse_if_no_scheduler_file(Path(cluster.scheduler_file))
            return Client(scheduler_file=cluster.scheduler_file, timeout=CONNECT_S)
        return Client(cluster.address, timeout=CONNECT_S)
    except (OSError, TimeoutError) as error:
        where = getattr(cluster, cluster.ways[0])
        raise TryAgainError(f"{where}: no Dask scheduler answers there ({error}); start it, then run again") from error
    except ValueError as error:
        raise ConfigError(f"{getattr(cluster, cluster.ways[0])}: not the address of a scheduler ({error})") from error


def _refuse_if_no_scheduler_file(path: Path) -> None:
    """Wait for a file that a scheduler writes when it starts; raises FileNotFoundError in the end, and ConfigError.

    Dask itself would wait for ever.
    """
    deadline = time.monotonic() + CONNECT_S
    while not (path.is_file() and path.stat().st_size):
        if time.monotonic() >= deadline:
            raise FileNotFoundError(f"there is no such file after {CONNECT_S:.0f} s")
        time.sleep(0.2)
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{path}: was not written by a Dask scheduler ({error})") from error
    if not (isinstance(content, dict) and isinstance(content.get("address"), str)):
        raise ConfigError(f"{path}: was not written by a Dask scheduler (it holds no address)")


def _made_by(factory: str) -> Any:
    module, _, function = factory.partition(":")
    try:
        return getattr(import_module(module), function)()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"factory {factory}: cannot be called ({error})") from error


def _advise(client: Client) -> None:
    allowed = client.run_on_scheduler(_allowed_failures)
    if allowed < LEAST_ALLOWED_FAILURES:
        log.warning(
            "the scheduler gives a task up after %d lost workers; for workers that come and go, start it with "
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES=20",
            allowed,
        )


def _allowed_failures(dask_scheduler: Any) -> int:
    return int(dask_scheduler.allowed_failures)
