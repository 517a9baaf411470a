"""Engines in this process: reading ahead, networks on several lanes, encoding behind; or one thing after the other."""

import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from math import prod
from typing import Any

import numpy as np
import rasterio

from geoseg.errors import GeosegError, OutputError, TryAgainError
from geoseg.executors.base import (
    TORCH,
    Backends,
    Cause,
    Chunk,
    ChunkFailure,
    ChunkProgress,
    ChunkRecord,
    Forward,
    Outcome,
    Pass,
    Platform,
    Resources,
    Sink,
    Site,
    Task,
    Walk,
)
from geoseg.models.backends import choose, library, one_thread_per_network
from geoseg.models.backends.base import Answer, Windows
from geoseg.tasks.base import Rows
from geoseg.tiling.memory import WAITING_CALLS
from geoseg.tiling.strips import Strip

# Calls under way beside one in each lane. A GPU is only asked, so that a lane is free at once: some of the next strip's
# are asked for while this one's bytes come down.
CALLS_AHEAD = {"cpu": WAITING_CALLS, "cuda": 4}
READ_AHEAD = 1  # strips read beside the two whose windows are under way; the memory plan counts them


class SyncEngine:
    """One thing after the other in the calling thread."""

    def __init__(self) -> None:
        self._backends: Backends = TORCH  # of the site that was asked for last

    def resources(self) -> Resources:
        """See ``Engine.resources``."""
        return local_resources(lanes=1)

    def site(self, device: str, backends: Backends = TORCH, precision: str = "auto") -> Site:
        """See ``Engine.site``."""
        self._backends = backends
        return replace(local_site(device, backends, precision, lanes=1), here=True)

    def run(self, task: Task, todo: Iterable[Chunk]) -> Iterator[Outcome]:
        """See ``Engine.run``."""
        at_once = AtOnce()
        with one_thread_per_network(self._backends):
            yield from run_chunks(task, todo, reader=at_once, lanes=at_once, encoder=at_once, ahead=1)

    def map[T, R](self, call: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """See ``Engine.map``."""
        return map(call, items)


class ThreadsEngine:
    """A reader thread ahead, ``lanes`` threads that run the network, an encoder thread behind.

    lanes: None means one per GPU, or one per core. They share the windows of a strip and, at its end, of the next one,
    so chunks can be large and few; sums are integers, so which lane ran a window, and when, changes no byte.
    """

    def __init__(self, *, lanes: int | None = None) -> None:
        self._asked = lanes
        self.lanes = lanes or usable_cpus()
        self._waiting = WAITING_CALLS
        self._backends: Backends = TORCH  # of the site that was asked for last

    def resources(self) -> Resources:
        """See ``Engine.resources``."""
        return local_resources(lanes=self.lanes)

    def site(self, device: str, backends: Backends = TORCH, precision: str = "auto") -> Site:
        """See ``Engine.site``."""
        own = local_site(device, backends, precision, lanes=self._asked)
        self.lanes, self._backends, self._waiting = own.lanes, backends, CALLS_AHEAD[own.platform.device]
        return replace(own, here=True)

    def run(self, task: Task, todo: Iterable[Chunk]) -> Iterator[Outcome]:
        """See ``Engine.run``."""
        with one_thread_per_network(self._backends), ExitStack() as pools:
            reader, lanes, encoder = (
                pools.enter_context(ThreadPoolExecutor(count, name))
                for count, name in ((1, "reader"), (self.lanes, "lane"), (1, "encoder"))
            )
            ahead = self.lanes + self._waiting
            yield from run_chunks(task, todo, reader=reader, lanes=lanes, encoder=encoder, ahead=ahead)

    def map[T, R](self, call: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """See ``Engine.map``."""
        with ThreadPoolExecutor(self.lanes, "lane") as pool:
            yield from _ahead(items, lambda item: pool.submit(call, item), keep=self.lanes)


def local_resources(*, lanes: int) -> Resources:
    """Return what this process has."""
    import psutil

    return Resources(lanes, psutil.virtual_memory().available)


def local_site(device: str, backends: Backends = TORCH, precision: str = "auto", *, lanes: int | None = None) -> Site:
    """Return this process as a site; the arguments and what is raised are those of ``Engine.site``."""
    chosen, precision, identity = choose(device, backends, precision)
    lanes = lanes or (len(library(backends[0]).devices(chosen)) if chosen == "cuda" else usable_cpus())
    others = f"numpy {np.__version__}, GDAL {rasterio.__gdal_version__}, zlib {zlib.ZLIB_RUNTIME_VERSION}"
    platform = Platform(chosen, precision, f"{identity}, {others}", tuple(backends))
    return Site(lanes, local_resources(lanes=lanes).free_bytes, platform)


def usable_cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: what this process is pinned to
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_chunks(
    task: Task, todo: Iterable[Chunk], *, reader: Executor, lanes: Executor, encoder: Executor, ahead: int
) -> Iterator[Outcome]:
    """Run chunks strip by strip through three pools; ``ahead``: network calls under way beside the one in use.

    Raises what ends the whole job: OutputError where the disk fails, and whatever ``task.forward`` raises.
    """
    waits = _Waits()
    flow = _Flow(task.forward(), lanes, keep=ahead, waits=waits)
    failed: set[str] = set()
    behind = _Behind(encoder, waits)
    sink: Sink | None = None
    reads = _ahead(_strips(task, todo), lambda item: reader.submit(_try_read, *item), keep=READ_AHEAD)
    passes = (_try_begin(*item) for item in waits.each("read", reads) if item[0].id not in failed)
    now, upcoming = None, next(passes, None)
    try:
        while upcoming is not None:
            now = upcoming
            flow.feed(now)
            upcoming = next(passes, None)  # begins while the lanes are busy
            if now.walk.id in failed:
                now.drop()
                continue
            if now.strip is now.walk.strips[0]:
                sink = task.sink(now.walk)
            assert sink is not None  # every walk begins with its first strip
            rows = _try_finish(now, flow.answers(now, upcoming))
            if isinstance(rows, ChunkFailure):
                now.drop()
                failed.add(now.walk.id)
                now.walk.give_up()
                if upcoming is not None and upcoming.walk is not now.walk:
                    upcoming = upcoming.anew()
                yield rows
                continue
            if rows:
                yield from behind.submit(sink.add, rows)
            share = round((now.walk.strips.index(now.strip) + 1) / len(now.walk.strips), 3)
            yield ChunkProgress(now.walk.id, share, prod(now.walk.box.shape), *now.walk.windows, {**waits.seconds})
            if now.strip is now.walk.strips[-1]:
                task.refuse_if_changed()  # else pixels that were read since the change would count as done
                yield from behind.submit(sink.commit, now.walk.record())
        yield from behind.wait()
    finally:
        for strip in (now, upcoming):
            if strip is not None:
                strip.drop()


class _Waits:
    """How long the thread that walks has waited for each of its queues."""

    def __init__(self) -> None:
        self.seconds = {"read": 0.0, "network": 0.0, "write": 0.0}

    @contextmanager
    def on(self, queue: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[queue] += time.perf_counter() - began

    def each[T](self, queue: str, items: Iterator[T]) -> Iterator[T]:
        while True:
            with self.on(queue):
                item = next(items, None)
            if item is None:
                return
            yield item


def _strips(task: Task, todo: Iterable[Chunk]) -> Iterator[tuple[Walk, Strip]]:
    for chunk in todo:
        task.refuse_if_changed()
        walk = task.walk(chunk)
        yield from ((walk, strip) for strip in walk.strips)


def _try_read(walk: Walk, strip: Strip) -> tuple[Walk, Strip, Any]:
    try:
        return walk, strip, walk.read(strip)
    except (GeosegError, MemoryError) as error:
        return walk, strip, _failure(walk, error, Cause.READING)


@dataclass(slots=True, eq=False)
class _Begun:
    """A strip that has begun, with its network calls that are under way; failure: why there is none."""

    walk: Walk
    strip: Strip
    pixels: Any
    begun: Pass | None = None
    failure: ChunkFailure | None = None
    calls: Iterator[tuple[int, Windows]] = field(default_factory=lambda: iter(()))
    under_way: deque["Future[Answer]"] = field(default_factory=deque)

    def drop(self) -> None:
        """Ask for nothing more."""
        self.calls = iter(())
        while self.under_way:
            self.under_way.popleft().cancel()

    def anew(self) -> "_Begun":
        """Return the strip as it begins once more."""
        self.drop()
        return _try_begin(self.walk, self.strip, self.pixels)


def _try_begin(walk: Walk, strip: Strip, pixels: Any) -> _Begun:
    if isinstance(pixels, ChunkFailure):
        return _Begun(walk, strip, pixels, failure=pixels)
    try:
        begun = walk.begin(strip, pixels)
    except TryAgainError:  # a signal's handler has raised it, here by chance
        raise
    except Exception as error:  # one chunk's, as in ``_try_finish``
        return _Begun(walk, strip, pixels, failure=_failure(walk, error, Cause.NETWORK))
    return _Begun(walk, strip, pixels, begun, calls=begun.calls)


def _try_finish(now: _Begun, answers: Iterator[Answer]) -> Rows | ChunkFailure:
    if now.failure is not None:
        return now.failure
    try:
        return now.walk.finish(now.begun, answers)
    except (TryAgainError, OutputError):  # the latter: a disk that fails, for all chunks
        raise
    except Exception as error:  # whatever a network does to one chunk, the others go on; the run reports it
        return _failure(now.walk, error, Cause.NETWORK)


class _Flow:
    """Keeps ``keep`` network calls under way beside the one in use, those of the next strip once this one's are out."""

    def __init__(self, forward: Forward, lanes: Executor, *, keep: int, waits: _Waits) -> None:
        self._forward, self._lanes, self._keep, self._waits = forward, lanes, keep, waits

    def feed(self, *strips: _Begun) -> None:
        """Submit calls of the strips, in order, as far as there is room."""
        room = self._keep - sum(len(strip.under_way) for strip in strips)
        for strip in strips:
            while room > 0 and (future := self._next(strip)) is not None:
                strip.under_way.append(future)
                room -= 1

    def answers(self, now: _Begun, upcoming: _Begun | None) -> Iterator[Answer]:
        """Yield the answers to a strip's calls in order."""
        strips = (now,) if upcoming is None else (now, upcoming)
        with self._waits.on("network"):
            self.feed(*strips)
        while now.under_way:
            with self._waits.on("network"):
                answer = now.under_way.popleft().result()
                self.feed(*strips)
            yield answer

    def _next(self, strip: _Begun) -> "Future[Answer] | None":
        """Submit a strip's next call; what cutting its windows raises is its own answer."""
        try:
            call = next(strip.calls, None)
        except TryAgainError:
            raise
        except Exception as error:
            failed: Future[Answer] = Future()
            failed.set_exception(error)
            return failed
        return None if call is None else self._lanes.submit(self._forward, *call)


def _failure(walk: Walk, error: Exception, cause: Cause) -> ChunkFailure:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, not imported here
        cause = Cause.MEMORY
    return ChunkFailure(walk.id, walk.box, cause, error)


class _Behind:
    """Runs calls in an encoder, one at a time, one waiting result at most; gives back the records that come."""

    def __init__(self, encoder: Executor, waits: _Waits) -> None:
        self._encoder, self._waits = encoder, waits
        self._running: Future[ChunkRecord | None] | None = None

    def submit[A](self, call: Callable[[A], ChunkRecord | None], argument: A) -> Iterator[ChunkRecord]:
        yield from self.wait()
        with self._waits.on("write"):
            self._running = self._encoder.submit(call, argument)

    def wait(self) -> Iterator[ChunkRecord]:
        running, self._running = self._running, None
        with self._waits.on("write"):
            done = running.result() if running is not None else None
        if done is not None:
            yield done


class AtOnce(Executor):
    """Runs a call when it is submitted."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """Run the call and return its future, done."""
        future: Future[object] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # the future's reader gets it
            future.set_exception(error)
        return future


def _ahead[T, R](items: Iterable[T], submit: Callable[[T], "Future[R]"], *, keep: int) -> Iterator[R]:
    """Yield the results of ``submit(item)`` in order, ``keep`` more of them under way while one is used."""
    rest = iter(items)
    pending = [submit(item) for item in islice(rest, keep)]
    try:
        while pending:
            done = pending.pop(0).result()
            for item in islice(rest, 1):
                pending.append(submit(item))
            yield done
    finally:
        for future in pending:
            future.cancel()
