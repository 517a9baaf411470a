"""Flags that several verbs share, each spelled once: groups of them are frozen dataclasses, see ``spread``."""

import inspect
import warnings
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from geoseg.cli.progress import ProgressStyle, set_up_logging, shown
from geoseg.config.load import SceneInput, parse_config
from geoseg.options.parse import parse_bytes, parse_names, parse_seconds, parse_shard
from geoseg.options.polygons import Method, PolygonOptions, Split
from geoseg.options.run import ClusterOptions, EngineOptions, Engines, OnFailure, RunOptions
from geoseg.values.layers import RASTERS
from geoseg.values.resampling import Rule

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from geoseg.jobs.run import Listener
    from geoseg.scenes.scene import Scene

_RUN, _POLYGONS = RunOptions(), PolygonOptions()
SCENE_PANEL, RUN_PANEL, TALK_PANEL, CLUSTER_PANEL = "Scene", "Run", "Talk", "Cluster"


def named_path(text: str) -> Path:
    """Return a path that was named; an empty text, as of a variable that is not set, would mean the current folder."""
    if not text.strip():
        raise typer.BadParameter("is empty; name a file or folder")
    return Path(text)


Output = Annotated[
    Path,
    typer.Option(
        "-o", "--output", help="Folder for the outputs.", show_default=False, parser=named_path, metavar="PATH"
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there (default: refuse).")]
AllowFactory = Annotated[
    bool,
    typer.Option("--allow-factory", help="Let the config name code to import and call.", rich_help_panel=RUN_PANEL),
]
AllowNetwork = Annotated[
    bool,
    typer.Option(
        "--allow-network", help="Let the config name schedulers and files elsewhere.", rich_help_panel=RUN_PANEL
    ),
]
JsonOut = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

MaxRuntime = Annotated[
    str | None, typer.Option(help="Stop with exit code 75 after e.g. 55m, to go on later.", rich_help_panel=RUN_PANEL)
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Processes to start (default: one per core or GPU), or to wait for.", rich_help_panel=CLUSTER_PANEL
    ),
]
Address = Annotated[
    str | None, typer.Option(help="Dask scheduler to use, e.g. tcp://host:8786.", rich_help_panel=CLUSTER_PANEL)
]
SchedulerFile = Annotated[
    str | None, typer.Option(help="File that a Dask scheduler has written.", rich_help_panel=CLUSTER_PANEL)
]


@dataclass(frozen=True, slots=True)
class SceneFlags:
    """Which scene, and what its file does not say of itself."""

    files: Annotated[
        list[str], typer.Argument(metavar="SCENE...", help="A raster, or several single-band files of one grid.")
    ]
    bands: Annotated[
        str | None,
        typer.Option(
            help="Names of the file's bands in order, e.g. B02,B03,B04,B08; or numbers to pick, e.g. 3,2,1.",
            rich_help_panel=SCENE_PANEL,
        ),
    ] = None
    sensor: Annotated[
        str | None,
        typer.Option(help="Sensor that gives the bands wavelengths: sentinel-2, naip, …", rich_help_panel=SCENE_PANEL),
    ] = None
    nodata: Annotated[
        float | None, typer.Option(help="Nodata value, instead of the file's own.", rich_help_panel=SCENE_PANEL)
    ] = None
    mask: Annotated[
        str | None,
        typer.Option(
            help="Raster on the scene's grid; pixels where it is 0 or nodata are invalid.",
            rich_help_panel=SCENE_PANEL,
        ),
    ] = None
    assume_crs: Annotated[
        str | None, typer.Option(help="CRS of a file that has none, e.g. EPSG:32633.", rich_help_panel=SCENE_PANEL)
    ] = None
    resampling: Annotated[
        Rule | None,
        typer.Option(
            help="How files of other pixel sizes are brought to the grid of the first (default: refuse them).",
            rich_help_panel=SCENE_PANEL,
        ),
    ] = None
    warp_to: Annotated[
        str | None,
        typer.Option(
            help="CRS that a scene placed by ground control points, or in another CRS, is warped to, e.g. EPSG:32633.",
            rich_help_panel=SCENE_PANEL,
        ),
    ] = None
    local_only: Annotated[
        bool,
        typer.Option(
            "--local-only",
            help="Refuse URLs, VRTs and other formats that make GDAL read further files.",
            rich_help_panel=SCENE_PANEL,
        ),
    ] = False

    def as_config(self) -> dict[str, Any]:
        """Return the keys of a config that these flags are."""
        return {
            "scene": tuple(self.files),
            "bands": self.bands,
            "sensor": self.sensor,
            "nodata": self.nodata,
            "mask": self.mask,
            "assume_crs": self.assume_crs,
            "resampling": self.resampling,
            "warp_to": self.warp_to,
            "local_only": self.local_only,
        }

    def open(self) -> "Scene":
        """Open the scene."""
        return parse_config(SceneInput, self.as_config(), where="flags").open()


@dataclass(frozen=True, slots=True)
class EngineFlags:
    """Where work is done; the defaults are those of EngineOptions."""

    engine: Annotated[
        Engines | None,
        typer.Option(
            help="threads or sync in this process, local or cuda: worker processes here, dask: a cluster "
            "(default: threads, or dask where a cluster is named).",
            rich_help_panel=RUN_PANEL,
        ),
    ] = None
    memory: Annotated[
        str | None,
        typer.Option(help="Memory it may use, e.g. 4GB (default: 80 % of what is free).", rich_help_panel=RUN_PANEL),
    ] = None
    lanes: Annotated[
        int | None,
        typer.Option(help="Threads that run networks or draw (default: one per core).", rich_help_panel=RUN_PANEL),
    ] = _RUN.lanes
    workers: Workers = None
    address: Address = None
    scheduler_file: SchedulerFile = None
    factory: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION", help="Returns a Dask cluster or client.", rich_help_panel=CLUSTER_PANEL
        ),
    ] = None

    def engine_options(self) -> EngineOptions:
        """Return the options that all engines share; raises ConfigError."""
        return EngineOptions(**self.engine_values())

    def engine_values(self) -> dict[str, Any]:
        """Return the values of EngineOptions by name; raises ConfigError."""
        cluster = ClusterOptions(
            address=self.address, scheduler_file=self.scheduler_file, factory=self.factory, workers=self.workers
        )
        return {
            "engine": self.engine or ("dask" if cluster.ways else _RUN.engine),
            "cluster": cluster,
            "lanes": self.lanes,
            "memory_bytes": None if self.memory is None else parse_bytes(self.memory),
        }


@dataclass(frozen=True, slots=True)
class RunFlags(EngineFlags):
    """How a prediction is run; the defaults are those of RunOptions."""

    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=RUN_PANEL)] = _RUN.device
    chunk_px: Annotated[
        int | None, typer.Option(help="Side of a chunk, 512 x 2^n (default: by the memory).", rich_help_panel=RUN_PANEL)
    ] = _RUN.chunk_px
    batch: Annotated[int, typer.Option(help="Windows per network call.", rich_help_panel=RUN_PANEL)] = _RUN.batch
    tta: Annotated[
        str | None,
        typer.Option(
            help="Average turned views of each window: none, rotate (4) or d4 (8) (default: the model's).",
            rich_help_panel=RUN_PANEL,
        ),
    ] = _RUN.tta
    threshold: Annotated[
        float | None, typer.Option(help="Probability from which a pixel is building (default: the model's).")
    ] = _RUN.threshold
    layers: Annotated[
        str, typer.Option(metavar="NAMES", help=f"Rasters to write: classes, and any others of {', '.join(RASTERS)}.")
    ] = ",".join(_RUN.layers)
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write the probability of every class, beside the other layers.")
    ] = _RUN.probabilities
    aoi: Annotated[
        str | None,
        typer.Option(
            metavar="FILE[:LAYER]",
            help="Polygons of the area of interest; nothing outside is computed.",
            rich_help_panel=SCENE_PANEL,
        ),
    ] = _RUN.aoi
    any_scale: Annotated[
        bool,
        typer.Option(
            "--any-scale",
            help="Take a scene whose pixels differ more than 64 times from the model's.",
            rich_help_panel=SCENE_PANEL,
        ),
    ] = _RUN.any_scale
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Run the I-th of N shares of the chunks, 1/N … N/N; geoseg finish writes the outputs after all.",
            rich_help_panel=CLUSTER_PANEL,
        ),
    ] = None
    max_runtime: MaxRuntime = None
    on_failure: Annotated[
        OnFailure,
        typer.Option(
            help="stop: chunks that fail leave no outputs; fill: they become nodata, told in the outputs' tags.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = _RUN.on_failure
    keep_parts: Annotated[
        bool, typer.Option("--keep-parts", help="Keep the job folder OUT/.job.", rich_help_panel=RUN_PANEL)
    ] = _RUN.keep_parts
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Throw away an unfinished job and start over.", rich_help_panel=RUN_PANEL)
    ] = _RUN.fresh
    overwrite: Overwrite = _RUN.overwrite

    def options(self) -> RunOptions:
        """Return the options; raises ConfigError."""
        return RunOptions(
            device=self.device,
            batch=self.batch,
            chunk_px=self.chunk_px,
            tta=self.tta,
            threshold=self.threshold,
            layers=parse_names(self.layers),
            probabilities=self.probabilities,
            aoi=self.aoi,
            any_scale=self.any_scale,
            shard=None if self.shard is None else parse_shard(self.shard),
            on_failure=self.on_failure,
            keep_parts=self.keep_parts,
            max_runtime_s=None if self.max_runtime is None else parse_seconds(self.max_runtime),
            overwrite=self.overwrite,
            fresh=self.fresh,
            **self.engine_values(),
        )


@dataclass(frozen=True, slots=True)
class PolygonFlags:
    """What becomes a polygon; the defaults are those of PolygonOptions."""

    min_area_m2: Annotated[float, typer.Option(help="Smaller buildings are left out.")] = _POLYGONS.min_area_m2
    min_hole_m2: Annotated[float, typer.Option(help="Smaller holes are filled.")] = _POLYGONS.min_hole_m2
    tolerance_m: Annotated[
        float | None,
        typer.Option(help="How far a wall may stray from the contour (default: by the pixel size)."),
    ] = _POLYGONS.tolerance_m
    method: Annotated[
        Method, typer.Option(help="regular: straight walls and right corners; contour: the pixels' edges.")
    ] = _POLYGONS.method
    diagonal_penalty: Annotated[
        float | None,
        typer.Option(help="How many corners a wall off the main direction must save; 0 squares nothing (default: 4)."),
    ] = _POLYGONS.diagonal_penalty

    def options(self, *, split: Split = "none") -> PolygonOptions:
        """Return the options; raises ConfigError."""
        return PolygonOptions(
            min_area_m2=self.min_area_m2,
            min_hole_m2=self.min_hole_m2,
            tolerance_m=self.tolerance_m,
            method=self.method,
            diagonal_penalty=self.diagonal_penalty,
            split=split,
        )


@dataclass(frozen=True, slots=True)
class TalkFlags:
    """What is said on stderr while a verb runs."""

    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Only warnings and errors.", rich_help_panel=TALK_PANEL)
    ] = False
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say more.", rich_help_panel=TALK_PANEL)] = False
    progress: Annotated[
        ProgressStyle, typer.Option(help="A bar, plain lines or JSON lines.", rich_help_panel=TALK_PANEL)
    ] = ProgressStyle.AUTO
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=TALK_PANEL)
    ] = False

    def listener(self) -> "AbstractContextManager[Listener]":
        """Return a context whose listener shows progress as these flags say."""
        return shown(quiet=self.quiet, style=self.progress)


def spread(verb: Callable[..., None]) -> Callable[..., None]:
    """Return ``verb`` with the fields of its dataclass parameters as flags of their own, and with ``TalkFlags``.

    typer reads signatures: a group of flags written once as a dataclass is spread into each signature that names it. A
    verb that wants to show progress takes ``talk: TalkFlags``; every verb has those flags.
    """
    hints = get_type_hints(verb, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(verb).parameters.items():
        parameters += _of_group(groups[name]) if name in groups else [parameter.replace(annotation=hints[name])]
    if "talk" not in groups:
        parameters += _of_group(TalkFlags)

    @wraps(verb)
    def command(**given: Any) -> None:
        talk = _gather(TalkFlags, given)
        set_up_logging(quiet=talk.quiet, verbose=talk.verbose, style=talk.progress)
        values = {name: _gather(kind, given) for name, kind in groups.items()}
        with warnings.catch_warnings():
            if not talk.verbose:
                warnings.simplefilter("ignore")  # libraries' remarks to programmers
            verb(**values, **{k: v for k, v in given.items() if k in hints})

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _of_group(kind: type) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            f.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=hints[f.name],
            default=inspect.Parameter.empty if f.default is MISSING else f.default,
        )
        for f in fields(kind)
    ]


def _gather[T](kind: type[T], given: dict[str, Any]) -> T:
    return kind(**{f.name: given[f.name] for f in fields(kind)})  # type: ignore[arg-type]
