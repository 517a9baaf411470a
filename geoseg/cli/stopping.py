"""Stopping: SIGTERM lets the chunk that is under way finish, for as long as a scheduler's grace lasts."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from geoseg.errors import TryAgainError

if TYPE_CHECKING:
    from geoseg.jobs.run import Stop

GRACE_S = 20.0  # Kubernetes kills 30 s after SIGTERM by default, SLURM too
HAS_TIMER = hasattr(signal, "setitimer")  # Windows has none


@contextmanager
def stoppable() -> "Iterator[Stop]":
    """Yield a ``Stop`` that SIGTERM sets off: no more chunks are started, and after ``GRACE_S`` the run ends at once.

    Windows has no such timer: there the chunk that is under way is waited for, and a second signal ends the run. Parts
    are written whole or not at all, so nothing is lost either way; the exit code is 75.
    """
    from geoseg.jobs.run import Stop  # with all that runs a job: `geoseg --help` needs none of it

    stop = Stop()

    def ask(_signal: int, _frame: FrameType | None) -> None:
        if stop.asked.is_set():
            end(_signal, _frame)
        stop.asked.set()
        if HAS_TIMER:
            signal.setitimer(signal.ITIMER_REAL, GRACE_S)

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise TryAgainError("terminated; run the same command again, what is committed is kept")

    handlers = {signal.SIGTERM: ask, **({signal.SIGALRM: end} if HAS_TIMER else {})}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield stop
    finally:
        if HAS_TIMER:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def terminable(what_then: str = "nothing is kept, the same command starts over") -> Iterator[None]:
    """Let SIGTERM end a verb at once, as an error on whose way everything is tidied up; exit code 75."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the tidying is not to be interrupted
        raise TryAgainError(f"terminated; {what_then}")

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
