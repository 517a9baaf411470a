"""Job: everything that decides the bytes of a run, as one frozen value; small enough to send to a worker."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from geoseg import __version__
from geoseg.errors import PlanChangedError
from geoseg.grid import Box
from geoseg.io.aoi import Area
from geoseg.io.source import Scene
from geoseg.model.bundle import ModelBundle
from geoseg.model.spec import ModelSpec
from geoseg.tiling.plan import WindowGrid, chunks
from geoseg.tiling.resample import Resampling


@dataclass(frozen=True, slots=True)
class Platform:
    """What besides the job decides the bits of a result; two workers of one run must agree on it.

    device: "cpu" or "cuda"; precision: "fp32" or "bf16"; libraries: device kind, instruction set, versions.
    """

    device: str
    precision: str
    libraries: str


@dataclass(frozen=True)
class Job:
    """A scene, one or more models, and how they are run over it.

    scene: reduced to the models' bands; bundles: the members of an ensemble, often one, of which the first describes
    all; chunk_px: side of a chunk on the scene's grid; batch: windows per network call, fixed; tta: views averaged per
    window; threshold: for the model's polygon class; layers: names of the raster layers that parts hold; area: where
    outputs are wanted, None for everywhere.
    """

    scene: Scene
    bundles: tuple[ModelBundle, ...]
    windows: WindowGrid
    resampling: Resampling
    chunk_px: int
    batch: int
    tta: str
    platform: Platform
    threshold: float
    layers: tuple[str, ...]
    area: Area | None = None

    @property
    def spec(self) -> ModelSpec:
        """What all members share: input, channels, classes."""
        return self.bundles[0].spec

    @property
    def model_digest(self) -> str:
        """One name for all weights: the bundle's digest, or the digest of several."""
        if len(self.bundles) == 1:
            return self.bundles[0].digest
        return hashlib.sha256("".join(b.digest for b in self.bundles).encode()).hexdigest()

    def chunks(self) -> Iterator[tuple[str, Box]]:
        """Yield (id, box) of every chunk on the scene's grid, row by row."""
        return chunks(self.scene.grid.shape, self.chunk_px)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the fingerprint covers, in words; a difference is reported by its key."""
        scene = self.scene
        return {
            "geoseg": __version__,
            "source": self.source_stamps(),
            "bands": [[s.file.rsplit("/", 1)[-1], s.index, s.scale, s.offset, repr(s.nodata)] for s in scene.sources],
            "grid": [scene.grid.crs.to_wkt(), list(scene.grid.transform)[:6], list(scene.grid.shape)],
            "model": [bundle.digest for bundle in self.bundles],
            "windows": repr(self.windows),
            "working grid": list(self.resampling.working_shape),
            "chunk_px": self.chunk_px,
            "batch": self.batch,
            "tta": self.tta,
            "platform": [self.platform.device, self.platform.precision, self.platform.libraries],
            "threshold": self.threshold,
            "layers": list(self.layers),
            "area": None if self.area is None else self.area.digest,
        }

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 over the identity: parts of another fingerprint are never mixed in."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def source_stamps(self) -> list[list[object]]:
        """Return [name, bytes, mtime in ns] of the scene's files as they are now; a remote file is its name alone."""
        mask = () if self.scene.mask is None else (self.scene.mask,)
        return [_stamp(file) for file in (*self.scene.files, *mask)]


def refuse_if_source_changed(job: Job) -> None:
    """Raise PlanChangedError where a file of the scene is no longer what the job was planned with."""
    if job.source_stamps() != job.identity["source"]:
        raise PlanChangedError(
            f"{job.scene.name}: was changed while the run went on; what is done belongs to the scene as it was. "
            f"Start over with --fresh"
        )


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return the keys in which two identities differ; either may have been read from JSON."""
    plain, other = json.loads(json.dumps(wanted)), json.loads(json.dumps(found))
    return [key for key in plain if other.get(key) != plain[key]]


def _stamp(file: str) -> list[object]:
    path = Path(file)
    if not path.exists():
        return [file]
    info = path.stat()
    return [path.name, info.st_size, info.st_mtime_ns]
