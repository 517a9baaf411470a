"""A trial: one run in a process of its own, so that its peak memory is its own; reported as plain values."""

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from geoseg.errors import TryAgainError
from geoseg.executors.peak import peak_memory_bytes
from geoseg.jobs.predict import predict
from geoseg.jobs.run import Progress, Stop
from geoseg.options.polygons import PolygonOptions
from geoseg.options.run import RunOptions
from geoseg.scenes.scene import Scene

POLL_S = 0.1  # between looks at the processes of a run; what is asked for is their high-water mark, so little is missed


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is run. network: what it is called in reports; interrupted: stopped after its first chunk, then resumed.

    polygons: how they are drawn, None for rasters alone.
    """

    network: str
    models: tuple[str, ...]
    options: RunOptions
    polygons: PolygonOptions | None = None
    interrupted: bool = False

    @property
    def way(self) -> str:
        """How it is run, in words."""
        return self.options.engine + (", resumed" if self.interrupted else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What became of a trial. hashes: sha256 of every output by file name; peak_bytes: of its largest process, None
    where that runs on a foreign cluster; resumed: chunks that were there already when it went on; error: why it ended.
    """

    trial: Trial
    hashes: dict[str, str] = field(default_factory=dict)
    chunks: int = 0
    missing: tuple[str, ...] = ()
    resumed: int = 0
    peak_bytes: int | None = None
    planned_bytes: int = 0
    seconds: float = 0.0
    error: str | None = None


def run_apart(scene: Scene, trial: Trial, folder: Path) -> Ran:
    """Run a trial in a new process, which ends with this call; its outputs lie in ``folder`` afterwards."""
    context = multiprocessing.get_context("spawn")
    answers, end = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(end, run_here, scene, trial, folder))
    process.start()
    end.close()  # the process has its own: where it dies, there is none left to read from
    try:
        ran: Ran = answers.recv()
    except EOFError:
        ran = Ran(trial=trial, error="its process ended without an answer: killed, or out of memory")
    except BaseException:  # interrupted, or terminated
        process.terminate()
        raise
    finally:
        process.join()
    return ran


def _answer(
    end: Connection, call: Callable[[Scene, Trial, Path], Ran], scene: Scene, trial: Trial, folder: Path
) -> None:
    signal.signal(signal.SIGTERM, _leave)
    end.send(call(scene, trial, folder))


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit  # closes what is open on its way, as the cluster of the engine local


def run_here(scene: Scene, trial: Trial, folder: Path) -> Ran:
    """Run a trial in this process."""
    began = time.perf_counter()
    kept: list[int] = []  # how many chunks are done, as the run reports it

    def listen(progress: Progress) -> None:
        if progress.stage == "predict":
            kept.append(progress.done)

    try:
        with PeakWatch() as watch:
            if trial.interrupted:
                _stop_after_one(scene, trial, folder)
            result = predict(scene, trial.models, folder, options=trial.options, polygons=trial.polygons, listen=listen)
    except Exception as error:  # whatever a run ends with is what the trial has found
        return Ran(trial=trial, seconds=time.perf_counter() - began, error=f"{type(error).__name__}: {error}")
    run = result.run
    return Ran(
        trial=trial,
        hashes={name: facts["sha256"] for name, facts in run["outputs"].items()},
        chunks=run["plan"]["chunks"],
        missing=tuple(run["missing_chunks"]),
        resumed=kept[0],
        peak_bytes=None if trial.options.engine == "dask" else watch.peak_bytes,
        planned_bytes=run["plan"]["peak_memory_bytes"],
        seconds=round(time.perf_counter() - began, 3),
    )


def _stop_after_one(scene: Scene, trial: Trial, folder: Path) -> None:
    stop = Stop()

    def listen(progress: Progress) -> None:
        if progress.stage == "predict" and progress.done:
            stop.asked.set()

    try:
        predict(scene, trial.models, folder, options=trial.options, polygons=trial.polygons, listen=listen, stop=stop)
    except TryAgainError:
        return
    raise AssertionError("a run that was asked to stop went on")


class PeakWatch:
    """Watches the largest resident size that this process or one of those it starts ever has."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        import psutil

        own = psutil.Process()
        while True:
            over = self._over.wait(POLL_S)
            for process in (own, *own.children(recursive=True)):
                try:
                    self.peak_bytes = max(self.peak_bytes, peak_memory_bytes(process.pid))
                except psutil.Error:
                    continue  # it has just ended
            if over:
                return
