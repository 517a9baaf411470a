"""Configs: YAML files and run.json, read and validated."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoseg.config.jobs import CONFIGS, Config
from geoseg.config.parse import parse_config
from geoseg.config.permissions import NOTHING, Allowed, refuse_what_is_not_allowed
from geoseg.config.scene import SceneInput
from geoseg.errors import ConfigError, InputError, OutputError
from geoseg.untrusted.strict_yaml import parse_yaml
from geoseg.untrusted.text import one_line, parse_json, read_text_file, shown

if TYPE_CHECKING:
    from geoseg.scenes.scene import Scene

OWN_FILES = ("run.json", "plan.json")  # geoseg writes them: they hold a config beside other things
LARGEST_CONFIG, LARGEST_RECORD = 4 * 2**20, 256 * 2**20  # bytes of a config, and of a file that geoseg wrote


def shipped_configs() -> dict[str, Path]:
    """Return the configs that come with geoseg, by name."""
    folder = Path(str(resources.files("geoseg.configs")))
    return {p.stem: p for p in sorted(folder.glob("*.yaml"))}


def load_config(source: str | Path, *, changes: Mapping[str, Any] | None = None, allowed: Allowed = NOTHING) -> Config:
    """Read a config: a YAML file, a run.json, or the name of one that comes with geoseg.

    Relative paths start at the config's own folder; in one that comes with geoseg, at the current folder. changes: keys
    that replace the file's (from the command line, so their paths start at the current folder). allowed: what the file
    may ask for beyond local files. Raises InputError where there is no such file, OutputError for a damaged run.json,
    and ConfigError that names file and key.
    """
    shipped = shipped_configs()
    named = str(source) in shipped and not Path(source).is_file()
    path = shipped[str(source)] if named else Path(source)
    if not path.is_file():
        raise InputError(f"{source}: no such config; those that come with geoseg: {', '.join(shipped) or 'none'}")
    content = _content(path)
    kind = _kind(path, content)
    config = parse_config(kind, {**content, **(changes or {})}, where=str(source))
    asked = config.model_dump(exclude=set(changes or {}))
    refuse_what_is_not_allowed(asked, allowed, where=str(source))
    based = config.based_on(Path.cwd() if named else path.parent)
    own = {key: getattr(config, key) for key in changes or {}}
    return based.model_copy(update=own)


def _content(path: Path) -> dict[str, Any]:
    if path.name in OWN_FILES:
        return _recorded(path)
    as_json = path.suffix == ".json"
    text = _bytes_of(path, at_most=LARGEST_CONFIG)
    try:
        content = parse_json(text) if as_json else parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"{path}: cannot be read as {'JSON' if as_json else 'YAML'} ({one_line(error)})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds no keys; a config starts with job: {' | '.join(CONFIGS)}")
    return content


def _bytes_of(path: Path, *, at_most: int) -> bytes:
    try:
        return read_text_file(path, at_most=at_most)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}, too many for a config; list scenes in a CSV table") from error


def _recorded(path: Path) -> dict[str, Any]:
    """Return the config in a file of geoseg's own."""
    try:
        config = parse_json(_bytes_of(path, at_most=LARGEST_RECORD), finite=False)["config"]
        keys = None if config is None else dict(config)
    except (InputError, ConfigError):
        raise
    except (ValueError, LookupError, TypeError) as error:
        raise OutputError(
            f"{path}: is no {path.name} of geoseg, or damaged ({error!r}); run the job's own command or config again"
        ) from error
    if keys is None:
        raise ConfigError(f"{path}: its scene came opened from Python, which alone can run it again")
    return keys


def _kind(path: Path, content: Mapping[str, Any]) -> type[Config]:
    job = content.get("job")
    if not isinstance(job, str) or job not in CONFIGS:
        fault = "missing" if job is None else f"{shown(job)} is not known"
        raise ConfigError(f"{path}: job: {fault}; choose {', '.join(CONFIGS)}")
    return CONFIGS[job]


def scene_of_run(folder: Path) -> "Scene":
    """Open the scene of a finished run, as its run.json has it; raises InputError where it has none."""
    config = load_config(folder / OWN_FILES[0])
    if not isinstance(config, SceneInput):
        raise InputError(f"{folder}: no run over a scene")
    return config.open()
