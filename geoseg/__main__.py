"""The process of a command, ``geoseg`` or ``python -m geoseg``."""

import atexit
import os
import sys
from typing import NoReturn

from geoseg.cli import main

UNWRITTEN = 120  # Python's own code where what was printed cannot be written


def run() -> NoReturn:
    """Run the command line and end the process with its exit code.

    What was registered for the end is called and what was printed is written, but Python does not take its modules
    apart: with torch loaded that takes a second, and all that a command opens is closed when ``main`` returns.
    """
    code = main()
    atexit._run_exitfuncs()  # no public name calls them
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            code = code or UNWRITTEN
            if not isinstance(error, BrokenPipeError):  # with that one nobody reads on, as after ``| head``
                os.write(sys.stderr.fileno(), f"error: what was printed could not be written ({error})\n".encode())
    os._exit(code)


if __name__ == "__main__":
    run()
