"""Files that are sealed: one counts only where its sha256 fits its content and what it is said to be of."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from geoseg.disk.files import atomic
from geoseg.errors import OutputError

DIGEST_BYTES = 32  # of sha256, before the content


class Sealed(NamedTuple):
    """A sealed file that is there."""

    path: Path
    """Where it lies."""
    of: str
    """What it is of."""

    @classmethod
    def kept(cls, path: Path, of: str, make: Callable[[], bytes]) -> Self:
        """Return a file, made where no sound one is there; raises OutputError where it cannot be written."""
        if read_sealed(path, of) is None:
            write_sealed(path, of, make())
        return cls(path, of)

    def read(self) -> bytes:
        """Return the content; raises OutputError where it is gone or damaged."""
        content = read_sealed(self.path, self.of)
        if content is None:
            raise OutputError(f"{self.path}: is gone or damaged; run again, it will be made anew")
        return content


def read_sealed(path: Path, of: str) -> bytes | None:
    """Return the content of a file, None where there is none, or it is damaged or of something else."""
    with suppress(OSError):
        stored = path.read_bytes()
        if stored[:DIGEST_BYTES] == _digest(of, stored[DIGEST_BYTES:]):
            return stored[DIGEST_BYTES:]
    return None


def write_sealed(path: Path, of: str, content: bytes) -> None:
    """Write a file, and its folder where there is none; raises OutputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be written ({error}); name another folder") from error
    with atomic(path) as temporary:
        temporary.write_bytes(_digest(of, content) + content)


def _digest(of: str, content: bytes) -> bytes:
    return hashlib.sha256(of.encode() + content).digest()
