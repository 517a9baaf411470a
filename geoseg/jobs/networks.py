"""Networks of a job, loaded once per process and shared by its threads."""

import threading
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geoseg.jobs.chunk import Forward
from geoseg.jobs.job import Job

if TYPE_CHECKING:
    pass

_lock = threading.Lock()
_loaded: dict[object, "_Members"] = {}  # one entry: the networks of another job leave when a new one comes


def load_networks(job: Job) -> Forward:
    """Return the call that runs a member of a job's ensemble; raises ModelError where a bundle is damaged."""
    key = tuple(b.digest for b in job.bundles), job.platform
    with _lock:
        if key not in _loaded:
            _loaded.clear()
            _loaded[key] = _Members(job)
        return _loaded[key]


class _Members:
    """Every member on every GPU (or once on the CPU); each thread that calls keeps to one GPU."""

    def __init__(self, job: Job) -> None:
        from geoseg.models.backends.torch import TorchBackend, devices

        self._replicas: list[list[TorchBackend]] = [
            [TorchBackend(b, device=device, precision=job.platform.precision) for b in job.bundles]
            for device in devices(job.platform.device)
        ]
        self._turn = count()
        self._own = threading.local()

    def __call__(self, member: int, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        if not hasattr(self._own, "replica"):
            self._own.replica = self._replicas[next(self._turn) % len(self._replicas)]
        out: NDArray[np.float32] = self._own.replica[member](windows)
        return out
