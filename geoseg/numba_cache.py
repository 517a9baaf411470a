"""A place for compiled code where numba finds none and would refuse to load geoseg: nothing there can be written."""

import os
import tempfile
from pathlib import Path


def ensure_numba_cache() -> None:
    """Name a folder of the user's among the temporary files in NUMBA_CACHE_DIR, unless numba finds a place by itself.

    It takes that variable, __pycache__ beside a module, or the user's cache folder. To be called before it is loaded.
    """
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    beside = Path(__file__).parent / "vector" / "__pycache__"
    if "NUMBA_CACHE_DIR" in os.environ or _may_write(beside) or _may_write(user_cache):
        return
    os.environ["NUMBA_CACHE_DIR"] = str(_own_folder())


def _own_folder() -> Path:
    """Return a folder that nobody else can have written to: a cache is code."""
    temporary = Path(tempfile.gettempdir())
    if not hasattr(os, "getuid"):  # Windows, where each user has a place for temporary files
        return temporary / "geoseg"
    folder = temporary / f"geoseg-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    about = folder.lstat()
    if about.st_uid != os.getuid() or about.st_mode & 0o077:
        return Path(tempfile.mkdtemp(prefix="geoseg-"))
    return folder


def _may_write(folder: Path) -> bool:
    """Whether a folder can be written, or made."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return os.access(there, os.W_OK | os.X_OK)
