"""Speed: how fast a run goes, what is left of it, and what it waits for; counted from what an engine reports."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod

from geoseg.executors.base import ChunkProgress, ChunkRecord
from geoseg.executors.peak import peak_memory_bytes

MIN_S, HOUR_S, MB = 60, 3600, 10**6
LEAST_S = 1e-3  # since the run began; some clocks stand still as long


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How a run goes."""

    windows: int
    """Run so far; chunks that were there already are not counted."""
    skipped: int
    """Windows without a valid or wanted pixel."""
    windows_left: int
    """At most: as many to the pixel as so far, one at least while pixels are left."""
    mpx_per_s: float
    """Pixels of the scene that are done, skipped ones too, over the time since the first chunk was begun."""
    seconds_left: float | None
    """At most: none that is left is skipped, and each takes as long as one that was run. None before the first."""
    memory_bytes: int | None
    """The largest so far of this process; None where chunks are run by others."""
    planned_bytes: int | None
    """What the plan allows for."""
    waited_s: Mapping[str, float]
    """How long the run has waited for reading, networks and writing; the largest is the stage that holds it up."""

    @property
    def words(self) -> str:
        """What a line of progress says."""
        if self.seconds_left is None:
            return ""
        memory = ""
        if self.memory_bytes is not None and self.planned_bytes is not None:
            memory = f", {self.memory_bytes / MB:,.0f} of {self.planned_bytes / MB:,.0f} MB"
        return f"{self.windows:,} windows, {self.mpx_per_s:.2f} Mpx/s, at most {_time(self.seconds_left)} left{memory}"


def _time(seconds: float) -> str:
    """Return seconds in words.

    >>> _time(7.2), _time(90), _time(7000)
    ('7 s', '2 min', '1.9 h')
    """
    if seconds < MIN_S:
        return f"{seconds:.0f} s"
    return f"{seconds / MIN_S:.0f} min" if seconds < HOUR_S else f"{seconds / HOUR_S:.1f} h"


class Meter:
    """Counts windows and pixels of chunks as they are run; px: of all chunks that are to be run."""

    def __init__(self, px: int, planned_bytes: int | None) -> None:
        self._px, self._planned = px, planned_bytes
        self._began = time.perf_counter()
        self._windows = self._skipped = self._done_px = 0
        self._under_way: dict[str, ChunkProgress] = {}  # one that is through may be written while the next is run
        self._waited: Mapping[str, float] = {}

    def add(self, outcome: ChunkRecord | ChunkProgress) -> None:
        """Take what an engine reports."""
        if isinstance(outcome, ChunkProgress):
            self._under_way[outcome.id], self._waited = outcome, outcome.waited_s
            return
        self._under_way.pop(outcome.id, None)
        self._windows += outcome.windows
        self._skipped += outcome.skipped
        self._done_px += prod(outcome.box.shape)

    def speed(self) -> Speed:
        """Return how the run goes now."""
        seconds = max(time.perf_counter() - self._began, LEAST_S)
        inside = self._under_way.values()
        run = self._windows + sum(one.windows for one in inside)
        skipped = self._skipped + sum(one.skipped for one in inside)
        px = self._done_px + sum(one.share * one.px for one in inside)
        left = ceil(round((run + skipped) * max(0.0, self._px - px) / px, 6)) if px else 0
        return Speed(
            windows=run,
            skipped=skipped,
            windows_left=left,
            mpx_per_s=round(px / seconds / 1e6, 4),
            seconds_left=round(seconds / run * left, 1) if run else None,
            memory_bytes=peak_memory_bytes() if self._waited else None,
            planned_bytes=self._planned,
            waited_s={queue: round(spent, 2) for queue, spent in self._waited.items()},
        )
