"""Job: everything that decides the bytes of a run, as one frozen value; small enough to send to a worker."""

import hashlib
import json
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from math import prod
from pathlib import Path
from typing import Any

from geoseg import __version__
from geoseg.errors import ConfigError, IncompleteError, PlanChangedError
from geoseg.executors.base import Platform, SiteOf
from geoseg.models.architectures import check_architecture
from geoseg.models.bundle import ModelBundle
from geoseg.models.exports.cache import is_exported, origin
from geoseg.models.spec import ModelSpec
from geoseg.scenes.aoi import Area
from geoseg.scenes.reads import Stamp, changed, stamps
from geoseg.scenes.scene import BandSource, Scene
from geoseg.tasks import task_of
from geoseg.tasks.base import Task
from geoseg.tiling.resample import Resampling
from geoseg.tiling.views import View, views_of
from geoseg.tiling.windows import WindowGrid, chunks
from geoseg.values.box import Box
from geoseg.values.layers import Layer, Pixels


@dataclass(frozen=True)
class Job:
    """A scene, one or more models, and how they are run over it.

    scene: reduced to the models' bands; bundles: the members of an ensemble, often one, of which the first describes
    all; chunk_px: side of a chunk on the scene's grid; batch: windows per network call, fixed; tta: views averaged per
    window; threshold: for the model's polygon class; layers: what parts hold; area: where
    outputs are wanted, None for everywhere; reads: every file that GDAL reads for the scene and its mask, see
    ``files_read``.
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
    layers: tuple[Layer, ...]
    reads: tuple[str, ...]
    area: Area | None = None

    @cached_property
    def spec(self) -> ModelSpec:
        """What all members share: input, channels, classes; a mean of several is calibrated as none of them is."""
        alone = len(self.bundles) == 1
        own = self.bundles[0].spec
        return own if alone else own.model_copy(update={"calibration": None, "thresholds": {}})

    @property
    def model_digest(self) -> str:
        """One name for all weights: the bundle's digest, or the digest of several."""
        if len(self.bundles) == 1:
            return self.bundles[0].digest
        return hashlib.sha256("".join(b.digest for b in self.bundles).encode()).hexdigest()

    @property
    def task(self) -> Task:
        """What the channels become."""
        return task_of(self.spec)

    @cached_property
    def views(self) -> tuple[View, ...]:
        """What is run of every window, and averaged."""
        least = check_architecture(self.spec.arch).least_px
        return views_of(self.tta, self.windows.window_shape, multiple=self.spec.multiple_px, least=least)

    @property
    def seen_shapes(self) -> list[tuple[int, int]]:
        """(height, width) of all views of a window as networks see them, the largest first."""
        plain = [(view.shape_of(self.windows.window_shape), view.quarters % 2) for view in self.views]
        seen = {(w, h) if turned else (h, w) for (h, w), turned in plain}
        return sorted(seen, key=lambda shape: (-prod(shape), shape))

    @property
    def bytes_per_px(self) -> int:
        """What a pixel of all layers takes."""
        return sum(layer.bytes_per_px for layer in self.layers)

    @property
    def class_layer(self) -> Layer | None:
        """The layer whose ids are counted: the first one of classes; None of a model of quantities alone."""
        return next((layer for layer in self.layers if layer.classes is not None), None)

    @property
    def counted(self) -> int:
        """How many counts a row of a chunk has: pixels of each class; without classes, pixels that are known."""
        return 1 if self.class_layer is None else len(self.spec.classes)

    def blank(self, shape: tuple[int, int]) -> dict[str, Pixels]:
        """Return (h, w) pixels of nodata of every layer, by name."""
        return {layer.name: layer.blank(shape) for layer in self.layers}

    def chunks(self) -> Iterator[tuple[str, Box]]:
        """Yield (id, box) of every chunk on the scene's grid, row by row."""
        return chunks(self.scene.grid.shape, self.chunk_px)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the fingerprint covers, in words; a difference is reported by its key."""
        platform = self.platform
        exports = [
            origin(bundle, platform.precision)
            for bundle in self.bundles
            if is_exported(bundle, platform.backend_of(bundle.backend), platform.precision)
        ]
        return {
            "geoseg": __version__,
            **scene_identity(self.scene, self.reads),
            "model": [bundle.digest for bundle in self.bundles],
            "windows": repr(self.windows),
            "working grid": list(self.resampling.working_shape),
            "chunk_px": self.chunk_px,
            "batch": self.batch,
            "tta": self.tta,
            "platform": [self.platform.device, self.platform.precision, self.platform.libraries],
            "threshold": self.threshold,
            **({"exports": exports} if exports else {}),
            **({"extras": extras} if (extras := self.extras()) else {}),
            "layers": [layer.name for layer in self.layers],
            "area": None if self.area is None else self.area.digest,
        }

    def extras(self) -> dict[str, str]:
        """Return the versions here of the extras that the networks are built of, each called like its library."""
        return {name: _version(name) for b in self.bundles if (name := check_architecture(b.spec.arch).extra)}

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 over the identity: parts of another fingerprint are never mixed in."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def source_stamps(self) -> list[Stamp]:
        """Return the stamps of the files that GDAL reads for the scene, as they are now."""
        return stamps(self.reads)


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "none"


def scene_identity(scene: Scene, reads: Sequence[str]) -> dict[str, Any]:
    """Return what is known of a scene, in words; reads: every file that GDAL reads for it."""
    return {
        "source": stamps(reads, seen=True),
        "bands": [
            *map(_named, scene.sources),
            *(repr(more) for more in (scene.tiles, scene.quality) if more is not None),
        ],
        "grid": [scene.grid.crs.to_wkt(), list(scene.grid.transform)[:6], list(scene.grid.shape)],
    }


def _named(source: BandSource) -> list[object]:
    """Return what a job knows of a band: its file's name, not where that lies."""
    plain = [source.file.rsplit("/", 1)[-1], source.index, source.scale, source.offset, repr(source.nodata)]
    more = [repr(more) for more in (source.placing, source.limits) if more is not None]
    return [*plain, *more]


def refuse_if_source_changed(job: Job) -> None:
    """Raise PlanChangedError where a file that is read for the scene is no longer what the job was planned with.

    Inodes are left to the fingerprint, which is compared when a job is planned, resumed, joined or finished: a worker
    may see the same file through a file system that numbers them by machine. All files are looked at, none is opened.
    """
    files = source_changes(job)
    if files:
        raise PlanChangedError(
            f"{job.scene.name}: {listed(files)} changed while the run went on; what is done belongs to the scene as it "
            f"was. Start over with --fresh"
        )


def refuse_if_different(job: Job, site: SiteOf) -> None:
    """Raise PlanChangedError where this process (as a ``site`` for a device) would not give the job's bytes."""
    try:
        own = job.platform
        here = replace(job, platform=site(own.device, own.backends, own.precision).platform, reads=()).identity
    except ConfigError as error:
        raise PlanChangedError(f"worker {platform.node()}: {error}") from error
    here["source"] = job.identity["source"]  # compared below, where this machine's inodes do not count
    changed = [f"{key} ({here[key]} instead of {job.identity[key]})" for key in differences(here, job.identity)]
    changed += [f"source {name}" for name in source_changes(job)]
    if changed:
        raise PlanChangedError(
            f"worker {platform.node()}: {listed(changed)} not as planned; "
            f"give every worker the same files, versions and kind of device"
        )


def source_changes(job: Job) -> list[str]:
    """Return the names of the scene's files that are not as planned, seen from this machine."""
    return changed(job.source_stamps(), job.identity["source"], inodes=False)


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return the keys in which two identities differ, the source with its files; either may be read from JSON."""
    plain, other = json.loads(json.dumps(wanted)), json.loads(json.dumps(found))
    return [_worded(key, other.get(key), plain[key]) for key in plain if other.get(key) != plain[key]]


def _worded(key: str, found: Any, wanted: Any) -> str:
    if key == "source" and isinstance(found, list):
        return f"source {listed(changed(found, wanted))}"
    return key


def listed(names: Iterable[str]) -> str:
    """Return names in order, the first five of many."""
    every = sorted(names)
    return ", ".join(every[:5]) + (", …" if len(every) > 5 else "")


def refuse_missing(out: str | Path, missing: Sequence[str], total: int, kind: str) -> None:
    """Raise IncompleteError where some of the parts are missing that shards should have made; kind: what they are."""
    if missing:
        said = f"{len(missing)} of {total} {kind} are missing ({listed(missing)})"
        raise IncompleteError(f"{out}: {said}; run their shards again, then finish")
