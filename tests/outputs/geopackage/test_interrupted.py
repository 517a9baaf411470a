"""A writer that is killed, or whose disk is full, leaves the file that was there, or the new one: nothing between."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import largest_file
from test_formats import SUFFIXES, roofs, write, write_rows

from geoseg.disk.places import written_beside
from geoseg.errors import OutputError

KILLS, FEATURES = 20, 10_000
WRITER = """
import os, sys; sys.path[:0] = sys.argv[2].split(":")
from pathlib import Path
from test_formats import roofs, write_rows
made = roofs(int(sys.argv[1]))
print("ready", flush=True)
while target := sys.stdin.readline().strip():
    if not (child := os.fork()):
        write_rows(Path(target), made)
        os._exit(0)
    print(child, flush=True)
    sys.stdin.readline()  # it was killed, so that its number is nobody else's
    print(os.WIFSIGNALED(os.waitpid(child, 0)[1]), flush=True)
"""


def digests(path: Path) -> dict[str, str]:
    """Return the digest of each file of a layer that is there, but for its style."""
    parts = [path, *(p for p in written_beside(path) if p.suffix != ".qml")]
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in parts if p.exists()}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, suffix: str) -> None:
    write(path := tmp_path / f"roofs{suffix}", 3)
    before = digests(path)
    with largest_file(40_000), pytest.raises(OutputError, match="roofs"):
        write(path, 2000)
    assert digests(path) == before
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@pytest.mark.nightly
@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != ".shp"])  # five files in no one step
def test_a_kill_at_any_moment_leaves_the_old_or_the_new(tmp_path: Path, suffix: str) -> None:
    names = {}
    for name, made in (("old", roofs(5)), ("new", roofs(FEATURES))):
        (tmp_path / name).mkdir()
        started = time.monotonic()
        write_rows(tmp_path / name / f"roofs{suffix}", made)
        names[name], took_s = digests(tmp_path / name / f"roofs{suffix}"), time.monotonic() - started
    path, rng, in_time = tmp_path / f"roofs{suffix}", random.Random(suffix), 0
    here = Path(__file__).parent
    command = [sys.executable, "-c", WRITER, str(FEATURES), f"{here}:{here.parent.parent}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:

        def told(line: str = "") -> str:
            assert parent.stdin is not None
            assert parent.stdout is not None
            if line:
                parent.stdin.write(f"{line}\n")
                parent.stdin.flush()
            return parent.stdout.readline().strip()

        assert told() == "ready"
        for _ in range(KILLS):
            write(path, 5)
            child = int(told(str(path)))
            time.sleep(rng.uniform(0, 1.5 * took_s))
            os.kill(child, signal.SIGKILL)
            in_time += told("killed") == "True"
            assert digests(path) in names.values()
        parent.terminate()
    assert in_time > KILLS / 4
    write(path, 5)  # what a kill has left in hidden folders is in nobody's way
    assert digests(path) == names["old"]
