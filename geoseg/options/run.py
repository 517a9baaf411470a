"""How a run is done, as its user chooses it: frozen values with the defaults of the command line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from math import inf
from typing import Literal, Self, get_args

from geoseg.options.checked import Checked
from geoseg.values.layers import RASTERS

Engines = Literal["threads", "sync", "local", "cuda", "dask"]
OnFailure = Literal["stop", "fill"]
Views = Literal["none", "rotate", "d4"]  # keys of ``geoseg.tiling.views.VIEWS``


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions(Checked):
    """Where the engine ``dask`` finds its workers, and how many the engines ``local`` and ``cuda`` start.

    address: of a scheduler, e.g. tcp://host:8786; scheduler_file: written by one; factory: "module:function" that
    returns a Dask cluster or client; workers: processes to start or, of a foreign cluster, to wait for (None: one per
    core or GPU; any). Of address, scheduler_file and factory at most one is given.
    """

    address: str | None = None
    scheduler_file: str | None = None
    factory: str | None = None
    workers: int | None = None

    def _faults(self) -> Iterator[str]:
        if self.workers is not None and self.workers < 1:
            yield f"workers {self.workers}: at least 1 is needed"
        if len(self.ways) > 1:
            yield f"{' and '.join(self.ways)}: give one of them, they all name a Dask cluster"
        if self.factory is not None and not re.fullmatch(r"[\w.]+:\w+", self.factory):
            yield f"factory {self.factory!r}: write module:function"

    @property
    def ways(self) -> list[str]:
        """Names of the options given that say where a cluster is."""
        return [name for name in ("address", "scheduler_file", "factory") if getattr(self, name) is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions(Checked):
    """Where work is done, and with how much.

    engine: threads or sync in this process, local or cuda for worker processes on this machine, dask for a cluster that
    is there; lanes: CPU threads of this process that run networks or draw polygons (None: one per core; one per GPU);
    memory_bytes: budget of each process (None: 80 % of what is free).
    """

    engine: Engines = "threads"
    cluster: ClusterOptions = ClusterOptions()
    lanes: int | None = None
    memory_bytes: int | None = None

    def _faults(self) -> Iterator[str]:
        if self.engine not in get_args(Engines):
            yield f"engine {self.engine!r}: choose {', '.join(get_args(Engines))}"
        if self.engine == "dask" and not self.cluster.ways:
            yield "engine dask: say where with address, scheduler_file or factory"
        if self.engine != "dask" and self.cluster.ways:
            yield f"{self.cluster.ways[0]} is for the engine dask, not for {self.engine}"
        if self.lanes is not None and self.lanes < 1:
            yield f"lanes {self.lanes}: at least 1 is needed"
        if self.memory_bytes is not None and self.memory_bytes < 1:
            yield f"memory {self.memory_bytes}: write a size above 0, or leave it out for 80 % of what is free"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(EngineOptions):
    """Options of a prediction, beside where it is done.

    device: auto, cpu or cuda; batch: windows per network call; chunk_px: side of a chunk, 512 x 2^n (None: chosen by
    the budget); tta: test-time augmentation, a key of ``geoseg.tiling.views.VIEWS`` (None: the model's own); threshold:
    for the model's polygon class (None: the model's own); layers: names of the rasters that are written, of
    ``geoseg.values.layers.RASTERS``, classes among them; probabilities: short for that name among them; aoi: "FILE"
    or "FILE:layer" of polygons outside of which nothing is computed; any_scale: take scenes whose pixels differ more
    than 64 times from the model's; shard: (i, n), the i-th of n, counted from 1: run every n-th chunk from the i-th on,
    and leave the outputs to ``finish``; on_failure: "fill" writes chunks that failed as nodata and says so in the
    outputs, "stop" makes none; keep_parts: leave the job folder in place; max_runtime_s: stop after so many seconds, to
    go on later; overwrite: replace a run's outputs; fresh: throw away an unfinished job.
    """

    device: str = "auto"
    batch: int = 1
    chunk_px: int | None = None
    tta: str | None = None
    threshold: float | None = None
    layers: tuple[str, ...] = ("classes", "confidence")
    probabilities: bool = False
    aoi: str | None = None
    any_scale: bool = False
    shard: tuple[int, int] | None = None
    on_failure: OnFailure = "stop"
    keep_parts: bool = False
    max_runtime_s: float | None = None
    overwrite: bool = False
    fresh: bool = False

    def _faults(self) -> Iterator[str]:
        yield from EngineOptions._faults(self)  # super() does not know a class with slots before Python 3.14
        if self.batch < 1:
            yield f"batch {self.batch}: at least 1 is needed"
        if self.aoi is not None and not self.aoi.strip():
            yield "aoi: is empty; name a file, or leave it out"
        if self.tta is not None and self.tta not in get_args(Views):
            yield f"tta {self.tta!r}: choose {', '.join(get_args(Views))}"
        if self.threshold is not None and not 0 < self.threshold < 1:
            yield f"threshold {self.threshold}: it lies between 0 and 1"
        unknown = [name for name in self.layers if name not in RASTERS]
        if unknown:
            yield f"layers {', '.join(unknown)}: no such layer; choose of {', '.join(RASTERS)}"
        counted = [name for name, kind in RASTERS.items() if kind == "category"]
        if not {*counted} & {*self.layers}:
            yield f"layers {','.join(self.layers)}: add {counted[0]}, of which pixels are counted"
        if self.chunk_px is not None and (self.chunk_px < 512 or self.chunk_px & (self.chunk_px - 1)):
            yield f"chunk-px {self.chunk_px}: choose 512, 1024, 2048, … (512 x 2^n)"
        if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1]:
            last = max(1, self.shard[1])
            yield f"shard {self.shard[0]}/{self.shard[1]}: shards count from 1: 1/{last} … {last}/{last}"
        if self.shard is not None and self.fresh:
            yield "fresh: every shard would throw away the others' chunks; remove the job folder instead"
        if self.on_failure not in get_args(OnFailure):
            yield f"on-failure {self.on_failure!r}: choose {', '.join(get_args(OnFailure))}"
        if self.max_runtime_s is not None and not 0 < self.max_runtime_s < inf:
            yield f"max-runtime {self.max_runtime_s}: give seconds above 0"

    @property
    def rasters(self) -> tuple[str, ...]:
        """Names of the rasters that are written, in the order of ``geoseg.values.layers.RASTERS``."""
        asked = {*self.layers, *(("probabilities",) if self.probabilities else ())}
        return tuple(name for name in RASTERS if name in asked)

    def at(self, where: EngineOptions) -> Self:
        """Return the same run done elsewhere, or with more or less."""
        return replace(self, **{f.name: getattr(where, f.name) for f in fields(EngineOptions)})
