"""Kernels that numba compiles, and the place where it keeps their code: a run never depends on such a place."""

import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

log = logging.getLogger(__name__)
FAILURES = OSError, EOFError, UnpicklingError  # of the disk, and what torn files raise
_TOLD: list[str] = []  # what was warned of, one at most


def njit[F: Callable[..., Any]](*, cache: bool, **options: Any) -> Callable[[F], F]:
    """Return numba's decorator of that name, which keeps no code where there is no place for it.

    cache: keep the code on disk. What cannot be written or read there is compiled in memory, and told once a process.
    """
    import numba

    def compiled(function: F) -> F:
        kernel: Any = numba.njit(**options)(function)
        if cache and hasattr(kernel, "enable_caching"):  # with NUMBA_DISABLE_JIT it is the function itself
            try:
                kernel.enable_caching()
                kernel._cache = _Store(kernel._cache)  # numba has no public name for it
            except (RuntimeError, OSError) as error:
                _tell(str(error))
        return cast(F, kernel)

    return compiled


class _Store:
    """Numba's store of a kernel's code, of which no failure reaches the kernel."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def load_overload(self, *args: Any) -> Any:
        """Return the code for a signature, None where there is none that can be read."""
        try:
            return self._store.load_overload(*args)
        except FAILURES as error:
            _tell(f"{self._store.cache_path}: {error}")
            return None

    def save_overload(self, *args: Any) -> None:
        """Keep the code for a signature where that can be."""
        try:
            self._store.save_overload(*args)
        except FAILURES as error:
            _tell(f"{self._store.cache_path}: {error}")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def _tell(fault: str) -> None:
    """Warn once a process that kernels are compiled in memory."""
    if not _TOLD:
        _TOLD.append(fault)
        log.warning(
            "compiled code is not kept (%s): each run compiles anew; NUMBA_CACHE_DIR names another folder", fault
        )


def ensure_numba_cache() -> None:
    """Name a folder of the user's among the temporary files in NUMBA_CACHE_DIR, unless numba finds a place by itself.

    It takes that variable, __pycache__ beside a module, or the user's cache folder. To be called before it is loaded.
    Where nothing at all can be written, none is named.
    """
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    beside = Path(__file__).parent / "vector" / "__pycache__"
    if "NUMBA_CACHE_DIR" in os.environ or _may_write(beside) or _may_write(user_cache):
        return
    with suppress(OSError):
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
