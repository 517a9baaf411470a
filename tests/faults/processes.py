"""Real processes to be killed and stopped: geoseg's command line, and Dask's scheduler and workers.

Each is forked from a server that has imported everything (``faults.preloaded``), and calls what its executable calls.
Patches, calls without arguments, are made in the process before that.
"""

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

TESTS = str(Path(__file__).parent.parent)
PATIENCE_S = 600.0  # for what takes a second or two on an idle machine
POLL_S = 0.01
Patch = Callable[[], object]


def wait_for[T](sought: Callable[[], T], *, while_running: "Running | None" = None) -> T:
    """Return what ``sought`` gives as soon as that is true; fails where the process ends before."""
    end = time.monotonic() + PATIENCE_S
    while True:
        running = while_running is None or while_running.is_running
        if found := sought():
            return found
        assert running, f"ended too early:\n{while_running.log if while_running else ''}"
        assert time.monotonic() < end, f"nothing within {PATIENCE_S} s"
        time.sleep(POLL_S)


@dataclass(frozen=True)
class Running:
    """A process under way, and what it says on stdout and stderr."""

    process: multiprocessing.process.BaseProcess
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    @property
    def is_running(self) -> bool:
        return self.process.is_alive()

    def send(self, sign: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, sign)

    def kill(self) -> int:
        self.send(signal.SIGKILL)
        return self.exit_code()

    def exit_code(self) -> int:
        """Wait for the end; negative where a signal was the end."""
        self.process.join(PATIENCE_S)
        assert self.process.exitcode is not None, f"still running:\n{self.log}"
        return self.process.exitcode

    def progress(self, stage: str = "predict") -> list[int]:
        """Return how many steps of a stage were done, message by message, of a run with --progress json."""
        told = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [message["done"] for message in told if message.get("stage") == stage]

    @property
    def resumed(self) -> int:
        """How many chunks a run found done."""
        return self.progress()[0]

    @property
    def chunks_run(self) -> int:
        """How many chunks a run that came to its end has run."""
        return self.progress()[-1] - self.progress()[0]


class Stage:
    """Starts processes, and ends those that are left."""

    def __init__(self, folder: Path, *patches: Patch) -> None:
        self._folder, self._patches = folder, patches
        # Before Python 3.14 the server has not our sys.path, and skips in silence what it cannot import.
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [TESTS, os.environ.get("PYTHONPATH")]))
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["faults.preloaded", "faults.patches"])
        self._started: list[Running] = []
        self._number = count()

    def geoseg(self, *arguments: object, patches: Sequence[Patch] = ()) -> Running:
        """Start the command line."""
        return self._start(_geoseg, [str(a) for a in arguments], patches)

    def scheduler(self, patches: Sequence[Patch] = ()) -> tuple[Running, str]:
        """Start ``dask scheduler`` on a free port of this machine; returns it and its address."""
        told = self._folder / f"scheduler{next(self._number)}.json"
        flags = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(told)]
        running = self._start(_dask, ["scheduler", *flags], patches)
        wait_for(told.exists, while_running=running)
        return running, wait_for(partial(_address, told), while_running=running)

    def worker(self, address: str, patches: Sequence[Patch] = ()) -> Running:
        """Start ``dask worker`` with one thread."""
        flags = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1", "--memory-limit", "0"]
        return self._start(_dask, ["worker", address, *flags, "--local-directory", str(self._folder)], patches)

    def end(self) -> None:
        """Kill what still runs."""
        for running in self._started:
            if running.is_running:
                running.send(signal.SIGKILL)
            running.process.join(PATIENCE_S)

    def _start(self, entry: Callable[[list[str]], int], arguments: list[str], patches: Sequence[Patch]) -> Running:
        log = self._folder / f"log{next(self._number)}.txt"
        log.touch()
        process = self._context.Process(target=_main, args=(entry, arguments, log, (*self._patches, *patches)))
        process.start()
        self._started.append(Running(process, log))
        return self._started[-1]


def _main(entry: Callable[[list[str]], int], arguments: list[str], log: Path, patches: Sequence[Patch]) -> None:
    assert "faults.preloaded" in sys.modules
    handle = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(handle, stream)
    for patch in patches:
        patch()
    sys.exit(entry(arguments))


def _geoseg(arguments: list[str]) -> int:
    from geoseg.cli import main

    return main(arguments)


def _dask(arguments: list[str]) -> int:
    from dask.__main__ import main

    sys.argv = ["dask", *arguments]
    main()
    return 0


def _address(told: Path) -> str | None:
    try:
        return str(json.loads(told.read_text(encoding="utf-8"))["address"])
    except ValueError:  # not yet written whole
        return None
