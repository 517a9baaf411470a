"""How a run is done, as its user chooses it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Annotated, Literal, Self

from geoseg.options.option import NAMED, Checked, Limit, Option, above, at_least, inside, span
from geoseg.options.parse import DURATION, NAMES, PERCENTILES, SHARD, SIZE, VIEWS, are_views
from geoseg.values.layers import RASTERS

Engines = Literal["threads", "sync", "local", "cuda", "dask"]
OnFailure = Literal["stop", "fill"]
Backend = Literal["auto", "torch", "openvino", "onnx"]
Precision = Literal["fp32", "bf16", "int8"]

_SIDE = Limit("512 x 2^n", "choose 512, 1024, 2048, … (512 x 2^n)", lambda side: side >= 512 and not side & (side - 1))
MEMORY_LIMIT = Limit(
    "above 0", "write a size above 0, or leave it out for 80 % of what is free", lambda memory_bytes: memory_bytes > 0
)
_MAX_RUNTIME = Option("Stop with exit code 75 after e.g. 55m, to go on later.", limit=above(0), text=DURATION)
_OVERWRITE = Option("Replace what is there.", unset="refuse", topic="")
_PERCENTILES = Limit(
    "0 to 100", "write two percentiles, the lower one first, e.g. 2,98", lambda two: 0 <= two[0] < two[1] <= 100
)
_VIEWS = Limit("none, flip, rotate, d4, @SCALES", f"write {VIEWS.form}", are_views)
_CALL = Limit("module:function", "write module:function", lambda name: re.fullmatch(r"[\w.]+:\w+", name) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions(Checked):
    """Where the engine ``dask`` finds its workers, and how many the engines ``local`` and ``cuda`` start."""

    TOPIC = "Cluster"

    address: Annotated[str | None, Option("Dask scheduler to use, e.g. tcp://host:8786.")] = None
    scheduler_file: Annotated[str | None, Option("File that a Dask scheduler has written.", metavar="FILE")] = None
    factory: Annotated[
        str | None, Option("Returns a Dask cluster or client.", limit=_CALL, metavar="MODULE:FUNCTION")
    ] = None
    workers: Annotated[
        int | None, Option("Processes to start, or to wait for.", unset="one per core or GPU; any", limit=at_least(1))
    ] = None

    def _faults(self) -> Iterator[str]:
        if len(self.ways) > 1:
            yield f"{' and '.join(self.ways)}: give one of them, they all name a Dask cluster"

    @property
    def ways(self) -> list[str]:
        """Names of the options given that say where a cluster is."""
        return [name for name in ("address", "scheduler_file", "factory") if getattr(self, name) is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions(Checked):
    """Where work is done, and with how much."""

    TOPIC = "Run"

    engine: Annotated[
        Engines,
        Option(
            "threads or sync in this process, local or cuda: worker processes here, dask: a cluster.",
            unset="threads, or dask where a cluster is named",
        ),
    ] = None  # type: ignore[assignment]  # __post_init__ chooses
    cluster: ClusterOptions = ClusterOptions()
    lanes: Annotated[
        int | None, Option("Threads that run networks or draw.", unset="one per core", limit=at_least(1))
    ] = None
    memory_bytes: Annotated[
        int | None,
        Option(
            "Memory that each process may use, e.g. 4GB.", unset="80 % of what is free", limit=MEMORY_LIMIT, text=SIZE
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.engine is None:
            object.__setattr__(self, "engine", "dask" if self.cluster.ways else "threads")
        self.check()

    def _faults(self) -> Iterator[str]:
        if self.engine == "dask" and not self.cluster.ways:
            yield "engine dask: say where with address, scheduler_file or factory"
        if self.engine != "dask" and self.cluster.ways:
            yield f"{self.cluster.ways[0]} is for the engine dask, not for {self.engine}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsOptions(EngineOptions):
    """Options of what is done in parts that stay: how many of them now, and what becomes of those that are there."""

    shard: Annotated[
        tuple[int, int] | None,
        Option(
            "Run the I-th of N shares of the parts, 1/N … N/N; geoseg finish writes the outputs after all.",
            text=SHARD,
            topic="Cluster",
        ),
    ] = None
    max_runtime_s: Annotated[float | None, _MAX_RUNTIME] = None
    overwrite: Annotated[bool, _OVERWRITE] = False
    fresh: Annotated[bool, Option("Throw away an unfinished job and start over.")] = False

    def _faults(self) -> Iterator[str]:
        yield from EngineOptions._faults(self)  # super() does not know a class with slots before Python 3.14
        if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1]:
            last = max(1, self.shard[1])
            yield f"shard {self.shard[0]}/{self.shard[1]}: shards count from 1: 1/{last} … {last}/{last}"
        if self.shard is not None and self.fresh:
            yield "fresh: every shard would throw away the others' parts; remove the job folder instead"

    @property
    def to_repeat(self) -> Self:
        """The same without what is said of one time: a share, and the permission to overwrite or to start over."""
        return replace(self, overwrite=False, fresh=False, shard=None)

    def at(self, where: EngineOptions) -> Self:
        """Return the same done elsewhere, or with more or less."""
        return replace(self, **{f.name: getattr(where, f.name) for f in fields(EngineOptions)})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(PartsOptions):
    """Options of a prediction, beside where it is done."""

    device: Annotated[str, Option("auto, cpu or cuda.")] = "auto"
    backend: Annotated[
        Backend | None,
        Option(
            "Library that runs the networks; auto: the fastest here that gives the network's own classes.",
            unset="the model's",
        ),
    ] = None
    precision: Annotated[
        Precision | None, Option("What networks compute in.", unset="bf16 where the device computes in it, else fp32")
    ] = None
    batch: Annotated[int, Option("Windows per network call.", limit=at_least(1))] = 1
    chunk_px: Annotated[int | None, Option("Side of a chunk, 512 x 2^n.", unset="by the memory", limit=_SIDE)] = None
    window_overlap: Annotated[
        float | None,
        Option(
            "Share of a window's side that lies in the next one, too: more of it costs more.",
            unset="by the model's margin and ramp",
            limit=span(0.1, 0.6),
        ),
    ] = None
    tta: Annotated[
        str | None,
        Option(
            "Average views of each window: none, flip (4), rotate (4), d4 (8), at scales: flip@0.75,1,1.25.",
            unset="the model's",
            limit=_VIEWS,
            text=VIEWS,
        ),
    ] = None
    threshold: Annotated[
        float | None,
        Option(
            "Probability from which a pixel is of the model's polygon class, e.g. building.",
            unset="the model's",
            limit=inside(0, 1),
            topic="",
        ),
    ] = None
    layers: Annotated[
        tuple[str, ...],
        Option(f"Rasters to write: classes, and any others of {', '.join(RASTERS)}.", text=NAMES, topic=""),
    ] = ("classes", "confidence")
    probabilities: Annotated[
        bool, Option("Write the probability of every class, beside the other layers.", topic="")
    ] = False
    aoi: Annotated[
        str | None,
        Option(
            "Polygons of the area of interest; nothing outside is computed.",
            limit=NAMED,
            topic="Scene",
            metavar="FILE[:LAYER]",
        ),
    ] = None
    mask_clouds: Annotated[
        str | None,
        Option(
            "Model of clouds that runs first; what it does not call clear is masked, e.g. clouds.",
            limit=NAMED,
            topic="Scene",
            metavar="MODEL",
        ),
    ] = None
    stretch: Annotated[
        tuple[float, float] | None,
        Option(
            "Bring two percentiles of the whole scene to those of the model's training, e.g. 2,98.",
            text=PERCENTILES,
            limit=_PERCENTILES,
            topic="Scene",
        ),
    ] = None
    any_scale: Annotated[
        bool, Option("Take a scene whose pixels differ more than 64 times from the model's.", topic="Scene")
    ] = False
    any_disk: Annotated[
        bool, Option("Run even where parts and outputs, if nothing in them can be compressed, exceed the free disk.")
    ] = False
    on_failure: Annotated[
        OnFailure,
        Option("stop: chunks that fail leave no outputs; fill: they become nodata, and the outputs' tags say so."),
    ] = "stop"
    report: Annotated[
        bool,
        Option("Write report.html, run.qgz, item.json and SHA256SUMS beside the outputs, as geoseg report.", topic=""),
    ] = False
    keep_parts: Annotated[bool, Option("Keep the job folder OUT/.job.")] = False

    def _faults(self) -> Iterator[str]:
        yield from PartsOptions._faults(self)
        unknown = [name for name in self.layers if name not in RASTERS]
        if unknown:
            yield f"layers {', '.join(unknown)}: no such layer; choose of {', '.join(RASTERS)}"
        counted = [name for name, kind in RASTERS.items() if kind == "category"]
        if not {*counted} & {*self.layers}:
            yield f"layers {','.join(self.layers)}: add {counted[0]}, of which pixels are counted"
        if self.shard is not None and self.mask_clouds is not None:
            yield "mask-clouds: every shard would make the mask; run one job first, and give its mask with mask"

    @property
    def rasters(self) -> tuple[str, ...]:
        """Names of the rasters that are written, in the order of ``geoseg.values.layers.RASTERS``."""
        asked = {*self.layers, *(("probabilities",) if self.probabilities else ())}
        return tuple(name for name in RASTERS if name in asked)


@dataclass(frozen=True, kw_only=True)
class BatchLimits(Checked):
    """When a batch stops. Without slots: the keys of configs inherit its defaults."""

    TOPIC = "Run"

    max_failures: Annotated[
        int | None,
        Option("Leave the rest alone when more scenes than this have failed.", unset="never", limit=at_least(0)),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions(BatchLimits):
    """What a command line says of a batch, instead of its config."""

    max_runtime_s: Annotated[float | None, _MAX_RUNTIME] = None
    overwrite: Annotated[bool, _OVERWRITE] = False
    cluster: ClusterOptions = ClusterOptions()
