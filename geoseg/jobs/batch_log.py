"""BatchLog: what became of the scenes of a batch, as its log, its summary and its exit code say it."""

import json
import logging
import os
import platform
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from geoseg import __version__
from geoseg.disk.files import append_json_line, write_json
from geoseg.errors import DiskFullError, FaultFoundError, GeosegError, IncompleteError, OutputError, TryAgainError
from geoseg.failures import as_geoseg_error

log = logging.getLogger(__name__)

LOG_FILE, SUMMARY_FILE = "batch.log.jsonl", "summary.json"
INTERRUPTED = 130


class State(StrEnum):
    """What became of a scene."""

    DONE = "done"
    SKIPPED = "skipped"  # it was complete before
    INCOMPLETE = "incomplete"  # it has outputs, with nodata where chunks failed
    FAILED = "failed"
    STOPPED = "stopped"  # it was begun, the same command goes on
    NOT_TRIED = "not tried"


BAD = (State.FAILED, State.INCOMPLETE)


@dataclass(frozen=True, slots=True)
class SceneOutcome:
    """What became of a scene, as the log and the summary say it; code: as an exit code; told: why it failed.

    drift: what of it is beyond the bounds that the batch watches.
    """

    scene: str
    state: State
    seconds: float = 0.0
    code: int = 0
    told: str = ""
    polygons: int | None = None
    drift: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """How a batch ended; stopped: why it did before its end, None where it did not."""

    folder: Path
    outcomes: tuple[SceneOutcome, ...]
    seconds: float
    stopped: TryAgainError | DiskFullError | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Number of scenes in each state that occurs."""
        found = Counter(o.state for o in self.outcomes)
        return {str(state): found[state] for state in State if found[state]}

    @property
    def words(self) -> str:
        """The counts in one line."""
        return f"{len(self.outcomes)} scenes: " + ", ".join(f"{n} {state}" for state, n in self.counts.items())

    def error(self) -> GeosegError | None:
        """Return what the batch should end with: what stopped it, missing scenes, scenes that drift, or None."""
        if self.stopped is not None:
            return self.stopped
        bad = [o.scene for o in self.outcomes if o.state not in (State.DONE, State.SKIPPED)]
        if bad:
            return IncompleteError(
                f"{self.folder}: {self.words} ({_some(bad)}); the same command tries only these again"
            )
        far = [o.scene for o in self.outcomes if o.drift]
        count = f"{len(far)} of {len(self.outcomes)} scenes are beyond the bounds of monitor"
        return FaultFoundError(f"{self.folder}: {count} ({_some(far)})") if far else None

    def as_json(self) -> dict[str, Any]:
        """Return the content of summary.json."""
        error = self.error()
        return {
            "code": 0 if error is None else error.exit_code,
            "seconds": round(self.seconds, 3),
            "counts": self.counts,
            "scenes": [asdict(o) for o in self.outcomes],
        }


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


class BatchLog:
    """What became of the scenes so far; every event goes to the log as it happens."""

    def __init__(self, folder: Path, names: Sequence[str], *, max_failures: int | None) -> None:
        self.folder, self._names, self._max_failures = folder, names, max_failures
        self._began = time.monotonic()
        self._outcomes: dict[str, SceneOutcome] = {}
        self.stopped: TryAgainError | DiskFullError | None = None

    def record(self, event: str, **facts: Any) -> None:
        """Append an event to the log."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        append_json_line(self.folder / LOG_FILE, {"time": now, "event": event, **facts})

    def add(self, outcome: SceneOutcome, **more: Any) -> None:
        """Take what became of a scene; ``more`` goes to the log alone."""
        self._outcomes[outcome.scene] = outcome
        self.record("scene", **asdict(outcome), **more)
        if outcome.state in BAD:
            log.warning("%s %s: %s", outcome.scene, outcome.state, outcome.told)
        if outcome.drift:
            log.warning("%s drifts: %s", outcome.scene, outcome.drift)

    def add_failure(self, scene: str, error: Exception, seconds: float = 0.0) -> None:
        """Take an error that a scene ended with; of one that geoseg did not foresee, the log keeps the traceback."""
        known = as_geoseg_error(error, step=scene)
        if known is not None:
            self.add(SceneOutcome(scene, State.FAILED, seconds, known.exit_code, str(known)))
            return
        message = f"unexpected {type(error).__name__}: {error}"
        self.add(SceneOutcome(scene, State.FAILED, seconds, 1, message), traceback=traceback.format_exception(error))

    @property
    def used_up(self) -> bool:
        """Whether more scenes have failed than may."""
        bad = sum(o.state in BAD for o in self._outcomes.values())
        return self._max_failures is not None and bad > self._max_failures

    def report(self) -> Report:
        """Return how things stand."""
        outcomes = tuple(self._outcomes.get(name) or SceneOutcome(name, State.NOT_TRIED) for name in self._names)
        return Report(self.folder, outcomes, time.monotonic() - self._began, self.stopped)


def refuse_foreign_log(folder: Path) -> None:
    """Raise OutputError where ``folder`` has a log or a summary that no batch has written."""
    for name, key in ((LOG_FILE, "event"), (SUMMARY_FILE, "counts")):
        path = folder / name
        if not path.exists():
            continue
        try:
            text = path.read_text(encoding="utf-8")
            is_own = key in json.loads(text if name == SUMMARY_FILE else text.partition("\n")[0])
        except (OSError, ValueError, TypeError):
            is_own = False
        if not is_own:
            raise OutputError(f"{path}: is not of a batch of geoseg; move it away or choose another folder")


@contextmanager
def kept(batch_log: BatchLog, **facts: Any) -> Iterator[BatchLog]:
    """Log the start of a batch and, however it ends, its end; then its summary is written."""
    batch_log.record("batch started", software=f"geoseg {__version__}", host=platform.node(), pid=os.getpid(), **facts)
    code: int | None = None
    try:
        yield batch_log
    except BaseException as error:
        code = _code(error)
        raise
    finally:
        content = batch_log.report().as_json()
        content["code"] = content["code"] if code is None else code
        write_json(batch_log.folder / SUMMARY_FILE, content)
        batch_log.record("batch ended", **{key: content[key] for key in ("code", "seconds", "counts")})


def _code(error: BaseException) -> int:
    known = as_geoseg_error(error, step="batch")
    return known.exit_code if known else INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
