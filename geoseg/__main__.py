"""The process of a command, ``geoseg`` or ``python -m geoseg``."""

import atexit
import os
import sys
from contextlib import suppress
from typing import NoReturn

from geoseg.cli import main


def run() -> NoReturn:
    """Run the command line and end the process with its exit code.

    What was registered for the end is called and what was printed is written, but Python does not take its modules
    apart: with torch loaded that takes a second, and all that a command opens is closed when ``main`` returns.
    """
    code = main()
    atexit._run_exitfuncs()  # no public name calls them
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # main has told it
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
