"""Job: everything that decides the bytes of a run, as one frozen value; small enough to send to a worker."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from geoseg import __version__
from geoseg.grid import Box
from geoseg.io.source import Scene
from geoseg.model.bundle import ModelBundle
from geoseg.tiling.plan import WindowGrid, chunks
from geoseg.tiling.resample import Resampling


@dataclass(frozen=True)
class Job:
    """A scene, a model, and how the one is run over the other.

    scene: reduced to the model's bands; chunk_px: side of a chunk on the scene's grid; batch: windows per network call,
    fixed; tta: views averaged per window; device, precision, platform: what else decides
    bits; threshold: for the model's polygon class;
    layers: names of the raster layers that parts hold.
    """

    scene: Scene
    bundle: ModelBundle
    windows: WindowGrid
    resampling: Resampling
    chunk_px: int
    batch: int
    tta: str
    device: str
    precision: str
    platform: str
    threshold: float
    layers: tuple[str, ...]

    def chunks(self) -> Iterator[tuple[str, Box]]:
        """Yield (id, box) of every chunk on the scene's grid, row by row."""
        return chunks(self.scene.grid.shape, self.chunk_px)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the fingerprint covers, in words; a difference is reported by its key."""
        scene = self.scene
        return {
            "geoseg": __version__,
            "source": [_stamp(file) for file in scene.files],
            "bands": [[s.file.rsplit("/", 1)[-1], s.index, s.scale, s.offset, repr(s.nodata)] for s in scene.sources],
            "grid": [scene.grid.crs.to_wkt(), list(scene.grid.transform)[:6], list(scene.grid.shape)],
            "model": self.bundle.digest,
            "windows": repr(self.windows),
            "working grid": list(self.resampling.working_shape),
            "chunk_px": self.chunk_px,
            "batch": self.batch,
            "tta": self.tta,
            "platform": [self.device, self.precision, self.platform],
            "threshold": self.threshold,
            "layers": list(self.layers),
        }

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 over the identity: parts of another fingerprint are never mixed in."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()


def _stamp(file: str) -> list[object]:
    """Return [name, bytes, mtime in ns]; a remote file is known by its name alone."""
    path = Path(file)
    if not path.exists():
        return [file]
    info = path.stat()
    return [path.name, info.st_size, info.st_mtime_ns]
