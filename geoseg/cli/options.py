"""Flags that several verbs share; those of options are made of what geoseg/options/ declares, see ``spread``."""

import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from geoseg.cli.progress import ProgressStyle, set_up_logging, shown
from geoseg.disk.places import fault_of_target
from geoseg.errors import ConfigError
from geoseg.options.option import Declared, declared
from geoseg.options.scene import SceneOptions

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from geoseg.jobs.run import Listener
    from geoseg.scenes.scene import Scene

RUN_PANEL, TALK_PANEL = "Run", "Talk"


def named_path(text: str) -> Path:
    """Return a path that was named; an empty text, as of a variable that is not set, would mean the current folder."""
    if not text.strip():
        raise typer.BadParameter("is empty; name a file or folder")
    return Path(text)


def named_target(text: str) -> Path:
    """Return the path of an output that was named; raises BadParameter for a name that no output can bear."""
    path = named_path(text)
    if fault := fault_of_target(path):
        raise typer.BadParameter(fault)
    return path


def target(text: str, *, flag: str = "--output") -> Any:
    """Return the flag ``-o`` of what a verb writes, which its help calls ``text``."""
    return typer.Option("-o", flag, parser=named_target, metavar="PATH", help=text, show_default=False)


Output = Annotated[Path, target("Folder for the outputs.")]
VECTOR_FILE = "File to write: .gpkg, .parquet, .fgb, .geojson, .shp or .shz."
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
TrainingConfig = Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file with job: train.")]
DataFolder = Annotated[
    Path | None, typer.Option("--data", help="Folder where the config's data paths start (default: data_folder).")
]
DryRun = Annotated[
    bool, typer.Option("-n", "--dry-run", help="Print the plan, memory with it, as JSON, and do nothing.")
]
JsonOut = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@dataclass(frozen=True, kw_only=True)
class SceneFlags(SceneOptions):
    """Which scene, and what its file does not say of itself."""

    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SCENE...",
            help="A raster, several single-band files of one place, a folder or pattern of tiles, or a product.",
        ),
    ] = None
    date: Annotated[
        list[str] | None,
        typer.Option(
            "--date",
            metavar="DATE=FILE",
            help="A date of the place, e.g. 2024-05-03=may.tif, once for each; or datetime=stac_items.json.",
            rich_help_panel="Scene",
        ),
    ] = None

    def as_config(self) -> dict[str, Any]:
        """Return the keys of a config that these flags are."""
        keys = asdict(self)
        return {"scene": (*(keys.pop("files") or ()), *(keys.pop("date") or ())), **keys}

    def before(self, files: Sequence[str], usage: str) -> dict[str, Any]:
        """Return the keys of a scene whose ``files`` stand before those of something else.

        Raises ConfigError, with what is to be typed, where no flag names a scene either.
        """
        keys = self.as_config()
        if not (given := (*files, *keys["scene"])):
            raise ConfigError(usage)
        return {**keys, "scene": given}

    def open(self) -> "Scene":
        """Open the scene."""
        from geoseg.config.parse import parse_config
        from geoseg.config.scene import SceneInput

        return parse_config(SceneInput, self.as_config(), where="flags").open()


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

    typer reads signatures: a group of options is spread into each signature that names it, less those that the verb
    declares itself. A verb that wants to show progress takes ``talk: TalkFlags``; every verb has those flags.
    """
    hints = get_type_hints(verb, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(verb).parameters.items():
        if name in groups:
            parameters += [flag for flag in _flags_of(groups[name]) if flag.name not in hints]
        else:
            parameters.append(parameter.replace(annotation=hints[name]))
    if "talk" not in groups:
        parameters += _flags_of(TalkFlags)

    @wraps(verb)
    def command(**given: Any) -> None:
        talk = _gather(TalkFlags, given)
        set_up_logging(quiet=talk.quiet, verbose=talk.verbose, style=talk.progress)
        own = {name: value for name, value in given.items() if name in hints}
        of_groups = {name: value for name, value in given.items() if name not in hints}
        with warnings.catch_warnings():
            if not talk.verbose:
                warnings.simplefilter("ignore")  # libraries' remarks to programmers
            verb(**{name: _gather(kind, of_groups) for name, kind in groups.items()}, **own)

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _flags_of(group: type) -> Iterator[inspect.Parameter]:
    """Yield the flags of a group of options and of the groups within it, in the order of their declaration."""
    hints, options = get_type_hints(group, include_extras=True), {one.name: one for one in declared(group)}
    for field in fields(group):
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        if is_dataclass(hints[field.name]):
            yield from _flags_of(hints[field.name])
        elif field.name in options:
            yield _flag(options[field.name], topic=group.TOPIC)  # type: ignore[attr-defined]
        else:
            yield _parameter(field.name, hints[field.name], default)


def _flag(option: Declared, *, topic: str) -> inspect.Parameter:
    said, default = option.said, option.default
    kind = option.kind if said.text is None else str | None if default is None else str
    unset = f" (default: {said.unset})." if said.unset else "."
    flag = typer.Option(
        f"--{option.flag}",
        help=said.help.removesuffix(".") + unset,
        metavar=said.text.metavar if said.text else said.metavar,
        rich_help_panel=(topic if said.topic is None else said.topic) or None,
    )
    shown_default = ",".join(default) if isinstance(default, tuple) else default
    start = inspect.Parameter.empty if default is MISSING else shown_default
    return _parameter(option.name, Annotated[kind | None if default is None else kind, flag], start)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _gather[T](group: type[T], given: dict[str, Any]) -> T:
    """Return a group with the values that its flags were given."""
    hints, options = get_type_hints(group), {one.name: one for one in declared(group)}  # type: ignore[arg-type]
    within = {f.name: _gather(hints[f.name], given) for f in fields(group) if is_dataclass(hints[f.name])}  # type: ignore[arg-type]
    own = {f.name: given[f.name] for f in fields(group) if f.name in given}  # type: ignore[arg-type]
    return group(**within, **{name: options[name].read(v) if name in options else v for name, v in own.items()})
