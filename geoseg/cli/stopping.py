"""Being told to stop: SIGTERM lets the chunk that is under way finish, for as long as a scheduler's grace lasts."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from geoseg.errors import TryAgainError

if TYPE_CHECKING:
    from geoseg.engine.run import Stop

GRACE_S = 20.0  # Kubernetes kills 30 s after SIGTERM by default, SLURM too


@contextmanager
def stoppable() -> "Iterator[Stop]":
    """Yield a ``Stop`` that SIGTERM sets off: no more chunks are started, and after ``GRACE_S`` the run ends at once.

    Parts are written whole or not at all, so nothing is lost either way; the exit code is 75.
    """
    from geoseg.engine.run import Stop  # with all that runs a job: `geoseg --help` needs none of it

    stop = Stop()

    def ask(_signal: int, _frame: FrameType | None) -> None:
        if stop.asked.is_set():
            end(_signal, _frame)
        stop.asked.set()
        signal.setitimer(signal.ITIMER_REAL, GRACE_S)

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise TryAgainError("terminated; run the same command again, what is committed is kept")

    before = signal.signal(signal.SIGTERM, ask), signal.signal(signal.SIGALRM, end)
    try:
        yield stop
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGALRM, before[1])


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end a verb that keeps nothing, as an error on whose way everything is tidied up; exit code 75."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the tidying is not to be interrupted
        raise TryAgainError("terminated; nothing is kept, the same command starts over")

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
