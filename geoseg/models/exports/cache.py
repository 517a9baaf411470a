"""Exports of bundles' networks in the user's cache folder: made where they are not there, measured, and bounded.

Each is two files: KEY.onnx, and KEY.json with what was measured of it, which is written last. What is not the network's
like has the second alone, so that it is measured once.
"""

import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from geoseg import __version__
from geoseg.disk.files import atomic, locked, sha256_of, write_json
from geoseg.disk.places import networks_folder
from geoseg.errors import ModelError
from geoseg.models import calibration
from geoseg.models.bundle import ModelBundle
from geoseg.models.exports.parity import Parity

log = logging.getLogger(__name__)
MOST_BYTES = 4 * 2**30  # in the folder; the least recently used leave
NETWORK_FILE, MEASURED_FILE = "network.onnx", "measured.json"  # what ``exports.prepare`` writes


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """A network of one shape of windows, as a library runs it in one precision."""

    file: Path
    sha256: str
    """Of the file; empty where it is not the network's like and was not kept."""
    parity: Parity
    """How near it comes to the network itself in fp32, on the bundle's calibration windows."""
    held_bytes: int
    """What opening it and a call hold."""

    @property
    def note(self) -> str:
        """What was measured, in a line."""
        return (
            f"{self.parity.runtime}: {self.parity.equal_classes:.3%} of the pixels of {self.parity.windows} "
            f"calibration windows have the network's own class in fp32, and probabilities differ by "
            f"{self.parity.largest_probability_error:.2g} at most"
        )

    @property
    def is_sound(self) -> bool:
        """Whether the file is there, as it was measured."""
        with suppress(OSError):
            return not self.sha256 or sha256_of(self.file) == self.sha256
        return False

    def content(self) -> bytes:
        """Return the ONNX file's bytes."""
        return self.file.read_bytes()


def is_exported(bundle: ModelBundle, backend: str, precision: str) -> bool:
    """Whether a backend runs an export of a bundle's network, as all do but its own, which does so in int8."""
    return bundle.backend != backend or precision == "int8"


def origin(bundle: ModelBundle, precision: str) -> list[str]:
    """Return what besides bundle and backend decides an export: what writes it, and what gives the ranges of 8 bits."""
    ranges = [f"ranges of {calibration.digest(bundle.path)}"] if precision == "int8" else []
    return [*(f"{name} {version(name)}" for name in ("torch", "onnx")), *ranges]


def cached(bundle: ModelBundle, *, backend: str, precision: str, shape: tuple[int, int]) -> Cached:
    """Return a bundle's network for windows (h, w) as ``backend`` runs it; raises ModelError as ``measured`` does, and
    where it is not the network's like.
    """
    found = measured(bundle, backend=backend, precision=precision, shape=shape)
    if not found.parity.holds:
        raise ModelError(
            f"{bundle.path}: not run by {found.note}; {found.parity.least_equal_classes:.1%} is the least. "
            f"Take another --backend or --precision"
        )
    return found


def measured(bundle: ModelBundle, *, backend: str, precision: str, shape: tuple[int, int]) -> Cached:
    """Return a bundle's network and what was measured of it, made in other processes where it is not there.

    Raises ModelError where it cannot be exported or measured, OutputError where the cache folder cannot be written.
    """
    if precision == "int8" and (fault := calibration.fault_in_8_bits(bundle.path)):
        raise ModelError(f"{bundle.path}: {fault}; take another --precision, or geoseg export --int8 --calibrate SCENE")
    folder = networks_folder()
    key = _key(bundle, backend=backend, precision=precision, shape=shape)
    found = _found(folder, key)
    if found is None:
        with locked(folder / ".lock", of=folder, wait=True):
            found = _found(folder, key)  # another process has made it meanwhile
            if found is None:
                log.info("%s: is exported for %s in %s, once", bundle.spec.name, backend, precision)
                asked = {"bundle": bundle.path, "backend": backend, "precision": precision, "shape": shape}
                found = _made(folder, key, asked)
                _leave(folder)
    return found


def _key(bundle: ModelBundle, **asked: Any) -> str:
    from geoseg.models.backends import library

    told = [
        __version__, bundle.digest, calibration.digest(bundle.path), *asked.values(),
        origin(bundle, asked["precision"]), library(asked["backend"]).identity("cpu"),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


def _found(folder: Path, key: str) -> Cached | None:
    """Return what lies in the cache, sound; None where nothing does."""
    record = folder / f"{key}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        told = json.loads(record.read_text(encoding="utf-8"))
        found = Cached(file=record.with_suffix(".onnx"), **{**told, "parity": Parity(**told["parity"])})
        if found.is_sound:
            for path in (record, found.file):
                os.utime(path) if path.exists() else None
            return found
    return None


def _made(folder: Path, key: str, asked: dict[str, Any]) -> Cached:
    """Export and measure a network in other processes, whose memory goes with them, and keep what is its like."""
    file = folder / f"{key}.onnx"
    with tempfile.TemporaryDirectory() as scratch:
        for step in ("export", "measure"):
            _run(step, asked, scratch)
        told = json.loads((Path(scratch) / MEASURED_FILE).read_text(encoding="utf-8"))
        content = (Path(scratch) / NETWORK_FILE).read_bytes()
    parity = Parity(**told["parity"])
    sha256 = hashlib.sha256(content).hexdigest() if parity.holds else ""
    made = Cached(file=file, sha256=sha256, parity=parity, held_bytes=told["held_bytes"])
    if parity.holds:
        with atomic(file) as temporary:
            temporary.write_bytes(content)
    write_json(file.with_suffix(".json"), {"sha256": sha256, "parity": asdict(parity), "held_bytes": made.held_bytes})
    return made


def _run(step: str, asked: dict[str, Any], scratch: str) -> None:
    """Run a step of ``exports.prepare`` in a process of its own; raises ModelError with what it says at last."""
    call = [sys.executable, "-m", "geoseg.models.exports.prepare", step, json.dumps(asked), scratch]
    done = subprocess.run(call, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2] or f"the process that tried it died ({done.returncode})"
        raise ModelError(f"{asked['bundle']}: {last}")


def _leave(folder: Path) -> None:
    """Remove the least recently used networks until the rest fits."""
    found = sorted((info.st_mtime_ns, info.st_size, path) for path in folder.glob("*.onnx") for info in [path.stat()])
    total = sum(size for _, size, _ in found)
    for _, size, path in found:
        if total <= MOST_BYTES:
            return
        for each in (path.with_suffix(".json"), path):
            each.unlink(missing_ok=True)
        total -= size
