"""Heap: keeps the memory that one network call gives back for the next, instead of asking the system for it again.

By default glibc returns every large block at once, and the kernel clears each of its pages when the next one touches
them: 1.8 million page faults, a fifth of the CPU time of a run with the default model over 10.6 Mpx; 0.3 million with
these settings. All threads share one heap: what one of them frees another can use, so the peak does not rise.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

MIB = 2**20
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8  # of <malloc.h>
KEPT_BYTES = 1024 * MIB
KEPT_BYTES_BEFORE_2_35 = 32 * MIB  # the largest block that an older glibc agrees to take from its heap


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Let this process keep what it frees; afterwards the system gets it back. Does nothing without glibc."""
    keep_freed_memory()
    try:
        yield
    finally:
        libc = _glibc()
        if libc is not None:
            libc.malloc_trim(0)


def keep_freed_memory() -> None:
    """Let this process keep what it frees, for good; overrides what MALLOC_ variables say, which Dask sets."""
    libc = _glibc()
    if libc is None:
        return
    libc.mallopt(ARENA_MAX, 1)
    libc.mallopt(TRIM_THRESHOLD, KEPT_BYTES)
    libc.mallopt(MMAP_THRESHOLD, KEPT_BYTES) or libc.mallopt(MMAP_THRESHOLD, KEPT_BYTES_BEFORE_2_35)


def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "mallopt") else None  # musl has none
