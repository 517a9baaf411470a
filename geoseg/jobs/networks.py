"""Networks of a job, opened once per process and shared by its threads."""

import threading
from collections.abc import Callable
from itertools import count
from typing import Any, Protocol

from geoseg.errors import PlanChangedError
from geoseg.executors.base import Forward
from geoseg.jobs.job import Job
from geoseg.models.backends import library
from geoseg.models.backends.base import Answer, Backend, Windows
from geoseg.models.backends.exported import ExportedBackend
from geoseg.models.bundle import ModelBundle

_lock = threading.Lock()
_opened: dict[object, Any] = {}  # one entry: the networks of another job leave when a new one comes


class Asked(Protocol):
    """What asks a network otherwise than by windows alone, see ``models.promptable``."""

    @property
    def network(self) -> Any:
        """The network, loaded at first use."""
        ...


def opened_once[A: Asked](job: Job, kind: Callable[[ModelBundle, str], A]) -> A:
    """Return what asks the network of a job's only bundle, loaded once per process; raises ModelError.

    Raises PlanChangedError where a library that it is built of is another one here than planned.
    """
    import torch

    planned, here = job.identity.get("extras", {}), job.extras()
    if here != planned:
        raise PlanChangedError(f"networks are built of {here} here, planned was {planned}; give all the same versions")

    (bundle,) = job.bundles
    key = kind, bundle.path, bundle.digest, job.platform.device
    with _lock:
        if key not in _opened:
            torch.set_num_threads(1)  # of a worker; the process that plans has it so already
            _opened.clear()
            made = kind(bundle, library().devices(job.platform.device)[0])
            _ = made.network
            _opened[key] = made
        found: A = _opened[key]
        return found


def load_networks(job: Job) -> Forward:
    """Return the call that runs a member of a job's ensemble; raises ModelError where a bundle is damaged.

    Raises PlanChangedError where this process would run it otherwise than planned.
    """
    with _lock:
        members = _of(job)
        members.load()
        return members


def call_bytes(job: Job) -> int:
    """Return what a call for a batch of a job's largest views holds here, inside the member that needs most."""
    with _lock:
        members = [member for replica in _of(job).replicas for member in replica]
        shapes = [(job.batch, len(job.spec.bands), *seen) for seen in job.seen_shapes]
        return max((member.peak_bytes(shape) for member in members for shape in shapes), default=0)


def parity_notes(job: Job) -> list[str]:
    """Return what was measured of networks that run as exports, see ``models.exports.cache``."""
    with _lock:
        members = [member for member in _of(job).replicas[0] if isinstance(member, ExportedBackend)]
        return [f"{member.bundle.spec.name}, {member.note(job.seen_shapes[0])}" for member in members]


def _of(job: Job) -> "_Members":
    key = tuple((b.path, b.digest) for b in job.bundles), job.platform
    if key not in _opened:
        _opened.clear()
        _opened[key] = _Members(job)
    members: _Members = _opened[key]
    return members


class _Members:
    """Every member on every GPU (or once on the CPU); each thread that calls keeps to one GPU."""

    def __init__(self, job: Job) -> None:
        platform = job.platform
        self.replicas: list[list[Backend]] = [
            [
                library(platform.backend_of(b.backend)).open_backend(b, device=device, precision=platform.precision)
                for b in job.bundles
            ]
            for device in library(platform.backends[0]).devices(platform.device)
        ]
        self._planned = platform.libraries
        self._turn = count()
        self._own = threading.local()

    def load(self) -> None:
        for replica in self.replicas:
            for member in replica:
                if member.identity() not in self._planned:
                    raise PlanChangedError(f"networks run on {member.identity()} here, planned was {self._planned}")
                member.load()

    def __call__(self, member: int, windows: Windows) -> Answer:
        if not hasattr(self._own, "replica"):
            self._own.replica = self.replicas[next(self._turn) % len(self.replicas)]
        answer: Answer = self._own.replica[member](windows)
        return answer
