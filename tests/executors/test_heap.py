"""The heap: what is freed is used again without asking the system, and given back when the engine closes."""

import os
import subprocess
import sys

import pytest

BLOCK_BYTES, TIMES = 64 * 2**20, 10
PAGES = BLOCK_BYTES // 4096
COUNT = f"""
import resource, sys
from contextlib import nullcontext
from geoseg.executors.heap import freed_memory_kept

def of(field):
    with open("/proc/self/statm") as file:
        return int(file.read().split()[field])

with freed_memory_kept() if sys.argv[1] == "kept" else nullcontext():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range({TIMES}):
        b"x" * {BLOCK_BYTES}
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    held = of(1)
print(faults, held - of(1))
"""
pytestmark = pytest.mark.skipif(
    "CS_GNU_LIBC_VERSION" not in os.confstr_names or not os.confstr("CS_GNU_LIBC_VERSION"), reason="needs glibc"
)


def counted(way):
    """Return page faults while a block is made ten times, and the pages given back afterwards."""
    # Dask starts its workers with this, which makes glibc return every block at once.
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", COUNT, way], env=environment, capture_output=True, text=True, check=True
    )
    return [int(word) for word in done.stdout.split()]


def test_a_block_that_was_freed_is_used_again_and_given_back_in_the_end():
    faults, given_back = counted("kept")
    assert faults < 2 * PAGES
    assert given_back > 0.9 * PAGES


def test_without_it_every_block_is_asked_of_the_system():
    faults, _ = counted("left alone")
    assert faults > 0.9 * TIMES * PAGES
