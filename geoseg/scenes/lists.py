"""Lists of scenes: globs of rasters, CSV tables and STAC item collections on disk become names and files."""

import csv
import glob
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from geoseg.disk.files import refuse_special
from geoseg.disk.places import located, matching
from geoseg.errors import ConfigError, InputError
from geoseg.untrusted.text import fault_of_name

log = logging.getLogger(__name__)

SEPARATOR = ";"  # between the single-band files of one scene in a cell of a table
DELIMITERS = ",;\t"  # between columns; spreadsheets write semicolons where the comma is the decimal point
ITEM = "#"  # between a collection of STAC items and the id of one
SHOWN_ONLY = {"thumbnail", "overview", "metadata"}  # roles of STAC assets that are no data


@dataclass(frozen=True, slots=True)
class ListedScene:
    """A scene of a list: its name, which is that of its output folder, and its files.

    fault: what is wrong with its entry, "" where nothing is; such a scene fails when its turn comes, the others do not.
    """

    name: str
    files: tuple[str, ...]
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListKeys:
    """Where a list says what: columns of CSV tables, and the STAC assets that make a scene (None: its only raster)."""

    scene_column: str = "scene"
    name_column: str = "name"
    assets: tuple[str, ...] | None = None


def list_scenes(sources: Sequence[str], keys: ListKeys, *, reserved: Iterable[str] = ()) -> list[ListedScene]:
    """Return the scenes of all sources in order; those of a glob are sorted by path.

    sources: each a glob, a raster, a .csv with a header, or a .json or .geojson of STAC items. reserved: names that no
    scene may have. Raises InputError where a list cannot be read, holds nothing, or gives two scenes one name.
    """
    listed = [scene for source in sources for scene in _of_source(source, keys)]
    seen: dict[str, ListedScene] = {name: ListedScene(name, ("the batch itself",)) for name in reserved}
    for scene in listed:
        if fault_of_name(scene.name) or scene.name.startswith(".") or set(scene.name) & set("/\\"):
            raise InputError(f"{_first(scene)}: {scene.name!r} cannot name its output folder; give it another name")
        other = seen.setdefault(scene.name.casefold(), scene)
        if other is not scene:
            raise InputError(
                f"{_first(scene)}: would be written to {scene.name!r} as {_first(other)} is; "
                f"give them names in a CSV table with the columns {keys.scene_column} and {keys.name_column}"
            )
    return listed


def _of_source(source: str, keys: ListKeys) -> Iterator[ListedScene]:
    suffix = PurePosixPath(source).suffix.lower()
    if suffix == ".csv":
        return _of_table(Path(source), keys)
    if suffix in (".json", ".geojson"):
        return _of_stac(Path(source), keys)
    return _of_glob(source)


def _of_glob(source: str) -> Iterator[ListedScene]:
    """Yield the files that match, but for the outputs of runs, which may lie under the same pattern."""
    is_pattern = glob.has_magic(source) and not _is_elsewhere(source) and not Path(source).is_file()
    paths = [p for p in matching(source) if Path(p).is_file()] if is_pattern else [source]
    own = {path for path in paths if is_pattern and is_output(Path(path))}
    if own:
        log.info("%s: %d files that match are outputs of geoseg, and no scenes", source, len(own))
    paths = [path for path in paths if path not in own]
    if not paths:
        raise InputError(f"{source}: no file matches; check the pattern")
    for path in paths:
        yield ListedScene(_stem(path), (path,))


def is_output(path: Path) -> bool:
    """Whether the run.json beside a file lists it, or a job folder beside it has noted it as shown."""
    for notes, key in (("run.json", "outputs"), (".job/shown.json", None)):
        try:
            content = json.loads((path.parent / notes).read_text(encoding="utf-8"))
            if path.name in (content if key is None else content["software"] == "geoseg" and content[key]):
                return True
        except (OSError, ValueError, LookupError, TypeError):  # no such file, or one that is not geoseg's
            continue
    return False


def _of_table(path: Path, keys: ListKeys) -> Iterator[ListedScene]:
    lines = _text(path).splitlines()
    rows = list(csv.DictReader(lines, delimiter=_delimiter(lines)))
    if not rows:
        raise InputError(f"{path}: holds no scenes; write a header and one row per scene")
    if keys.scene_column not in rows[0]:
        raise ConfigError(
            f"{path}: has no column {keys.scene_column!r}; it has {', '.join(str(c) for c in rows[0])}. "
            f"Name the one with the paths as scene_column"
        )
    for number, row in enumerate(rows, 2):
        if None in row:  # what DictReader calls the cells that no column is for
            raise InputError(
                f"{path}: line {number} has more cells than the header; quote what holds the separator of columns"
            )
        files = tuple(_beside(path, f.strip()) for f in (row[keys.scene_column] or "").split(SEPARATOR) if f.strip())
        if not files:
            raise InputError(f"{path}: line {number} has no path in the column {keys.scene_column}")
        yield ListedScene((row.get(keys.name_column) or "").strip() or _stem(files[0]), files)


def _delimiter(lines: Sequence[str]) -> str:
    """Return what parts the columns: the header decides, since a cell may hold several files."""
    header = lines[0] if lines else ""
    return max(DELIMITERS, key=header.count)  # the first of them where there is none


def _of_stac(path: Path, keys: ListKeys) -> Iterator[ListedScene]:
    try:
        content = json.loads(_text(path))
        items = content["features"] if content["type"] == "FeatureCollection" else [content]
        named = [(str(item["id"]), dict(item["assets"])) for item in items]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a STAC item collection ({error!r}); save one with its items' assets") from error
    if not named:
        raise InputError(f"{path}: holds no items")
    for name, assets in named:
        wanted = raster_assets(assets) if keys.assets is None else keys.assets
        missing = [a for a in wanted if "href" not in assets.get(a, {})]
        if missing or not wanted:
            told = f"no asset {missing[0]}" if missing else "no raster"
            yield ListedScene(
                name, (), f"{path}: item {name} has {told} among {', '.join(assets) or 'none'}; see assets"
            )
            continue
        if keys.assets is None and len(wanted) > 1:  # its bands, as the item says them
            yield ListedScene(name, (f"{path}{ITEM}{name}",))
            continue
        yield ListedScene(name, tuple(_beside(path, assets[a]["href"]) for a in wanted))


def raster_assets(assets: dict[str, Any]) -> list[str]:
    """Return the keys of the assets that are rasters and not only for show; those with the role data where any has."""
    rasters = {
        key: set(asset.get("roles") or ())
        for key, asset in assets.items()
        if str(asset.get("type", "")).startswith(("image/tiff", "image/vnd.stac.geotiff"))
        or str(asset.get("href", "")).lower().endswith((".tif", ".tiff"))
    }
    rasters = {key: roles for key, roles in rasters.items() if not roles & SHOWN_ONLY}
    return [key for key, roles in rasters.items() if "data" in roles] or list(rasters)


def _text(path: Path) -> str:
    refuse_special(path)
    try:
        return path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of scenes ({error}); save it as UTF-8") from error


def _beside(path: Path, file: str) -> str:
    """Return a file of a list; a relative one starts at the list's folder."""
    file = file.removeprefix("file://")
    return located(file, path.parent)


def _is_elsewhere(file: str) -> bool:
    return "://" in file or file.startswith("/vsi")


def _stem(file: str) -> str:
    return PurePosixPath(urlsplit(file).path if "://" in file else file).stem


def _first(scene: ListedScene) -> str:
    return scene.files[0] if scene.files else scene.name
