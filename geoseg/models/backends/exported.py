"""Networks that were made for another library, as ``exports.cache`` keeps them for ONNX Runtime or OpenVINO.

One thread a call, and one window at a time: a window's answer depends neither on the batch it came in nor on its place.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ConfigError
from geoseg.models.backends.activation import activated
from geoseg.models.backends.base import Answer, Library, Windows
from geoseg.models.bundle import ModelBundle
from geoseg.models.exports.cache import Cached, cached

Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # a window (C, h, w) to logits (K, h, w), in any thread
Shape = tuple[int, int]  # (h, w)
# By these ONNX Runtime and oneDNN choose their code on x86 and ARM; whole numbers are summed otherwise without VNNI.
FEATURES = (
    "avx2", "avx512f", "avx512vnni", "avxvnni", "avx512bf16", "amx-int8", "amx-bf16", "dotprod", "i8mm", "bf16", "sve",
)  # fmt: skip


def choose_cpu(device: str, what: str) -> str:
    """Return "cpu" for auto and cpu; raises ConfigError for other devices, which ``what`` does not run on."""
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device {device!r}: choose auto, cpu or cuda")
    if device == "cuda":
        raise ConfigError(f"device cuda: {what} run on the CPU alone; use --device cpu or auto")
    return "cpu"


def cpu_alone(_kind: str) -> list[str]:
    """Return the devices of a library that runs on the CPU alone."""
    return ["cpu"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Do nothing: each call has one thread anyway."""
    yield


@lru_cache(maxsize=1)
def cpu_features() -> str:
    """Return "cpu" and what its code is chosen by."""
    from llvmlite.binding import get_host_cpu_features

    found = get_host_cpu_features()
    return f"cpu {' '.join(name for name in FEATURES if found.get(name))}"


class Runtime(Library, Protocol):
    """A library that runs exports."""

    def open_network(self, content: bytes, precision: str) -> Network:
        """Return the call of an export, an ONNX file's bytes; raises ModelError where it is not taken."""
        ...


def runtime(name: str) -> Runtime:
    """Return the library of a backend that runs exports, loaded now."""
    from geoseg.models.backends import library

    return cast("Runtime", library(name))


class ExportedBackend:
    """See ``Backend``. The network of each shape of windows is exported once, and opened when it is first needed."""

    def __init__(self, bundle: ModelBundle, *, name: str, precision: str) -> None:
        self.bundle, self.name, self.precision = bundle, name, precision
        self._networks: dict[Shape, Network] = {}
        self._lock = threading.Lock()

    def load(self) -> None:
        """See ``Backend``; what is run depends on the shape of the windows."""

    def __call__(self, windows: Windows) -> Answer:
        """See ``Backend``; raises ModelError where the export is not the network's like."""
        network = self._network(_shape(windows.shape))
        return Answer(np.stack([activated(network(window), self.bundle.spec) for window in windows]))

    def identity(self) -> str:
        """See ``Backend``."""
        return runtime(self.name).identity("cpu")

    def peak_bytes(self, shape: tuple[int, int, int, int]) -> int:
        """See ``Backend``: what opening and a call held when they were measured. Raises ModelError as a call does."""
        return self._cached(_shape(shape)).held_bytes

    def note(self, shape: Shape) -> str:
        """Return how near the network for windows (h, w) comes to the bundle's own."""
        return self._cached(shape).note

    def _cached(self, shape: Shape) -> Cached:
        return cached(self.bundle, backend=self.name, precision=self.precision, shape=shape)

    def _network(self, shape: Shape) -> Network:
        with self._lock:
            if shape not in self._networks:
                content = self._cached(shape).content()
                self._networks[shape] = runtime(self.name).open_network(content, self.precision)
            return self._networks[shape]


def _shape(batch: tuple[int, ...]) -> Shape:
    return batch[2], batch[3]
