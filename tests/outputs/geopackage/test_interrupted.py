"""A writer that is killed, or whose disk is full, leaves the file that was there, or the new one: nothing between."""

import hashlib
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import largest_file
from test_formats import SUFFIXES, write

from geoseg.disk.places import written_beside
from geoseg.errors import OutputError

KILLS, FEATURES = 4, 30_000
WRITER = """
import sys; sys.path[:0] = sys.argv[3].split(":")
from pathlib import Path
from test_formats import write
print("ready", flush=True); sys.stdin.readline()
write(Path(sys.argv[1]), int(sys.argv[2]))
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
    for name, count in (("old", 5), ("new", FEATURES)):
        (tmp_path / name).mkdir()
        started = time.monotonic()
        write(tmp_path / name / f"roofs{suffix}", count)
        names[name], took_s = digests(tmp_path / name / f"roofs{suffix}"), time.monotonic() - started
    path, rng = tmp_path / f"roofs{suffix}", random.Random(suffix)
    here = Path(__file__).parent
    for _ in range(KILLS):
        write(path, 5)
        command = [sys.executable, "-c", WRITER, str(path), str(FEATURES), f"{here}:{here.parent.parent}"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
            time.sleep(rng.uniform(0, 1.5 * took_s))
            child.kill()
        assert digests(path) in names.values()
    write(path, 5)  # what a kill has left in hidden folders is in nobody's way
    assert digests(path) == names["old"]
