"""What a verb says on stderr: log lines, and progress as a bar, as plain lines or as JSON lines."""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geoseg.jobs.run import Listener, Progress

PLAIN_SHARE = 0.05  # of a stage between two plain lines


class ProgressStyle(StrEnum):
    """How progress is shown; auto is a bar on a terminal and plain lines elsewhere."""

    AUTO = "auto"
    PLAIN = "plain"
    JSON = "json"


def set_up_logging(*, quiet: bool, verbose: bool, style: ProgressStyle) -> None:
    """Send geoseg's log to stderr, as text or as JSON lines."""
    log = logging.getLogger("geoseg")
    log.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)
    handler = _ToStderr()
    handler.setFormatter(_JsonLine() if style is ProgressStyle.JSON else _TextLine())
    log.handlers[:] = [handler]


def tell(text: str) -> None:
    """Print on stdout what a verb does on the way to its result; nothing with --quiet."""
    if logging.getLogger("geoseg").isEnabledFor(logging.INFO):
        print(text, flush=True)


class _ToStderr(logging.Handler):
    """Writes to what stderr is at that moment: a bar on the terminal takes its place and moves out of the way."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


class _TextLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = super().format(record)
        return message if record.levelno == logging.INFO else f"{record.levelname.lower()}: {message}"


class _JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json_line(level=record.levelname.lower(), message=super().format(record))


def json_line(**fields: object) -> str:
    """Return a line of JSON that says when it is, in UTC, before its fields."""
    return json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **fields})


@contextmanager
def shown(*, quiet: bool, style: ProgressStyle) -> "Iterator[Listener]":
    """Yield a listener that shows progress on stderr for as long as the context lasts."""
    if style is ProgressStyle.JSON:
        yield _json_line
    elif quiet:
        yield _nothing
    elif style is ProgressStyle.AUTO and sys.stderr.isatty():
        yield from _bar()
    else:
        yield _PlainLines()


def _nothing(_progress: "Progress") -> None:
    pass


def _json_line(progress: "Progress") -> None:
    print(json_line(**asdict(progress)), file=sys.stderr, flush=True)


class _PlainLines:
    """Prints a stage's beginning, about every twentieth of it, and its end."""

    def __init__(self) -> None:
        self.stage, self.shown = "", 0.0

    def __call__(self, progress: "Progress") -> None:
        share = (progress.done + progress.within) / max(progress.total, 1)
        if progress.stage == self.stage and share < min(1.0, self.shown + PLAIN_SHARE):
            return
        self.stage, self.shown = progress.stage, share
        detail = f"  {progress.detail}" if progress.detail else ""
        print(f"{progress.stage} {progress.done}/{progress.total} ({share:.0%}){detail}", file=sys.stderr, flush=True)


def _bar() -> "Iterator[Listener]":
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("{task.description:<10}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TimeRemainingColumn(),
        bars.TextColumn("[dim]{task.fields[detail]}"),
    )
    with bars.Progress(*columns, console=Console(stderr=True)) as display:
        tasks: dict[str, bars.TaskID] = {}

        def listen(progress: "Progress") -> None:
            if progress.stage not in tasks:
                tasks[progress.stage] = display.add_task(progress.stage, detail="")
            task = tasks[progress.stage]
            display.update(
                task, completed=progress.done + progress.within, total=progress.total, detail=progress.detail
            )

        yield listen
