"""Embeddings of windows on disk: made when they are first asked for, then read by any process.

A file counts only where its digest fits its name and content: one that is damaged, or of another window, is made anew.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from geoseg.disk.sealed import read_sealed, write_sealed
from geoseg.values.box import Box

SUFFIX = ".embedding"  # a sealed safetensors file
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Where the embeddings of a job lie; picklable."""

    folder: Path
    """Of all jobs."""
    fingerprint: str
    """Of what decides their bits: scene, model, windows, platform."""
    most_bytes: int
    """What may lie in the folder; the least recently used leave."""

    def path(self, window: Box) -> Path:
        """Where the embedding of a window lies."""
        return self.folder / self.fingerprint[:16] / f"{window.row0}-{window.col0}{SUFFIX}"

    def of(self, window: Box, make: Callable[[], Arrays]) -> Arrays:
        """Return the embedding of a window, made where no sound one is there; raises OutputError for a full disk."""
        path, of = self.path(window), f"{self.fingerprint} {window}"
        stored = read_sealed(path, of)
        if stored is not None:
            with suppress(OSError):  # another process has removed it, or it is of another user
                os.utime(path)
            return load(stored)
        made = {name: np.ascontiguousarray(array) for name, array in make().items()}
        write_sealed(path, of, save(made))
        self._leave()
        return made

    def _leave(self) -> None:
        """Remove the least recently used of all jobs until the rest fits."""
        found = []
        for path in self.folder.glob(f"*/*{SUFFIX}"):
            with suppress(OSError):  # another process has removed it
                info = path.stat()
                found.append((info.st_mtime_ns, info.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self.most_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size
