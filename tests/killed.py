"""Runs of the command line in processes of their own, killed with all that they have started when so much is done."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

PROGRAM = """
import importlib, json, sys
from geoseg.cli import main

def change(place, value):
    module, _, name = place.partition(":")
    setattr(importlib.import_module(module), name, value)

def dying(place, after):
    import os, signal
    module, _, name = place.partition(":")
    made = getattr(importlib.import_module(module), name)

    def counted(*given):
        for number, row in enumerate(made(*given)):
            if number == after:
                os.kill(os.getpid(), signal.SIGKILL)
            yield row

    change(place, counted)

for place, value in json.loads(sys.argv[1]).items():
    change(place, value)
for place, after in json.loads(sys.argv[2]).items():
    dying(place, after)
sys.exit(main(sys.argv[3:]))
"""

ALWAYS = ("--progress", "json", "--memory", "4GB")  # whatever else the machine does


def geoseg(
    command: Sequence[str],
    *,
    half_of: str | None = None,
    dies: Mapping[str, int] | None = None,
    sides: Mapping[str, int] | None = None,
) -> None:
    """Run a command line, to its end or until it is killed.

    half_of: a stage; it is killed, with its workers, when it says that half of that is done. dies: by the place of a
    generator, module:name, the rows after which it kills its process. sides: other values of constants, by place.
    """
    told = [sys.executable, "-c", PROGRAM, json.dumps(dict(sides or {})), json.dumps(dict(dies or {}))]
    started = subprocess.Popen(
        [*told, *command, *ALWAYS], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert started.stderr is not None
    said = []
    for line in started.stderr:
        said.append(line)
        step = json.loads(line) if line.startswith("{") else {}
        if half_of is not None and step.get("stage") == half_of and 2 * step["done"] >= step["total"]:
            os.killpg(started.pid, signal.SIGKILL)
            break
    is_killed = half_of is not None or bool(dies)
    assert started.wait() == (-signal.SIGKILL if is_killed else 0), "".join(said[-20:])
