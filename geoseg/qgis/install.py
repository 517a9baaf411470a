"""The plugin into a profile of QGIS, or into a zip as QGIS's plugin manager and repository take it."""

import os
import shutil
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from geoseg.disk.files import atomic
from geoseg.errors import ConfigError, OutputError

NAME = "geoseg_qgis"  # of the plugin's package in QGIS's Python, where geoseg itself may be too
PLUGIN = Path(__file__).parent / "plugin"
LICENCE = Path(__file__).parents[2] / "LICENSE"
FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # equal plugins give equal zips
COMMAND_FILE = "command.txt"  # of an installed plugin: the command that installed it


def profiles_folder() -> Path:
    """Return where QGIS 3 keeps its profiles, there or not; $QGIS_CUSTOM_CONFIG_PATH names another place."""
    if own := os.environ.get("QGIS_CUSTOM_CONFIG_PATH"):
        return Path(own) / "profiles"
    if sys.platform == "win32":
        return Path(os.environ["APPDATA"]) / "QGIS" / "QGIS3" / "profiles"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "QGIS" / "QGIS3" / "profiles"
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "QGIS" / "QGIS3" / "profiles"


def install(profile: str = "default") -> Path:
    """Copy the plugin into a profile, turn it on there, and return its folder.

    Raises ConfigError where the profile is not there, with those that are, and OutputError.
    """
    folder = profiles_folder()
    there = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    if profile not in there and (profile != "default" or there):
        raise ConfigError(f"no profile {profile!r} in {folder}; there are {', '.join(there) or 'none'}")
    target = folder / profile / "python" / "plugins" / NAME
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{NAME}.", dir=target.parent) as made:
            new = Path(made) / NAME
            for name, content in _files().items():
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                (new / name).write_bytes(content)
            (new / COMMAND_FILE).write_text(str(Path(sys.executable).with_name("geoseg")), encoding="utf-8")
            shutil.rmtree(target, ignore_errors=True)
            new.rename(target)
        _turn_on(folder / profile)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error}); close QGIS and try again") from error
    return target


def write_zip(path: Path) -> Path:
    """Write the plugin as a zip that QGIS installs; raises OutputError."""
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in sorted(_files().items()):
            file.writestr(zipfile.ZipInfo(f"{NAME}/{name}", FIXED_TIME), content, zipfile.ZIP_DEFLATED)
    return path


def _files() -> dict[str, bytes]:
    """Return the plugin's files, with the licence."""
    paths = [p for p in sorted(PLUGIN.rglob("*")) if p.is_file() and p.suffix in (".py", ".txt", ".svg")]
    files = {p.relative_to(PLUGIN).as_posix(): p.read_bytes() for p in paths}
    return files | {"LICENSE": (LICENCE if LICENCE.is_file() else PLUGIN / "LICENSE").read_bytes()}


def _turn_on(profile: Path) -> None:
    """Enable the plugin in the profile's settings; all else in them stays."""
    file = profile / "QGIS" / "QGIS3.ini"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    if "[PythonPlugins]" not in lines:
        lines += ["", "[PythonPlugins]"]
    at = lines.index("[PythonPlugins]") + 1
    if f"{NAME}=true" in lines[at:]:
        return
    lines = lines[:at] + [f"{NAME}=true"] + [line for line in lines[at:] if not line.startswith(f"{NAME}=")]
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic(file) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
