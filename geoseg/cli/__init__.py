"""The command line: one small file per verb; the one that is called is loaded, and imports what it needs."""

import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Annotated

import typer

from geoseg import __version__
from geoseg.cli.progress import json_line
from geoseg.cli.verbs import SETTINGS, Verbs
from geoseg.executors.heap import keep_freed_memory
from geoseg.failures import as_geoseg_error

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]  # ClickException: of click, or of the copy inside typer
INTERRUPTED = 130

app = typer.Typer(
    cls=Verbs,
    help="Exact, memory-planned segmentation of satellite and aerial scenes into class maps and building polygons.",
    context_settings=SETTINGS,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"geoseg {__version__}")
        raise typer.Exit


@app.callback()
def _geoseg(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code; an error becomes one line on stderr."""
    keep_freed_memory()  # here, before libraries start threads with heaps of their own
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    try:
        code = app(arguments, prog_name="geoseg", standalone_mode=False) or 0
        with suppress(BrokenPipeError):  # nobody reads on, as after ``| head``
            sys.stdout.flush()
    except Exception as error:  # the last stop: whatever it is becomes one line and an exit code
        if "--debug" in arguments:
            traceback.print_exc()
        message, code = _message(error, step=arguments[0])
        _say(message, code, arguments)
    if code == INTERRUPTED:
        _say("interrupted; a run goes on where it stopped when it is started again", code, arguments)
    return int(code)


def _message(error: Exception, *, step: str) -> tuple[str, int]:
    """Return what to say of an error, and the exit code; step: the verb that ran."""
    known = as_geoseg_error(error, step=step)
    if known is not None:
        return str(known), known.exit_code
    if isinstance(error, USAGE_ERROR):
        context = getattr(error, "ctx", None)
        verb = context.command_path if context else "geoseg"
        return f"{error.format_message().rstrip('.')}; see {verb} --help", 2  # type: ignore[attr-defined]
    return f"unexpected {type(error).__name__}: {error}. --debug shows where", 1


def _say(message: str, code: int, arguments: Sequence[str]) -> None:
    line = " ".join(message.split())
    as_json = "--progress=json" in arguments or ("--progress", "json") in pairwise(arguments)
    print(json_line(level="error", message=line, exit_code=code) if as_json else f"error: {line}", file=sys.stderr)
