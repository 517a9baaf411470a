"""Backend: what runs a network. Jobs know no more of one than is said here, whatever library does the work."""

from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from geoseg.models.bundle import ModelBundle
from geoseg.objects.found import Detection

Windows = NDArray[np.float32]  # (B, C, h, w), normalised; or what holds such a tensor on a GPU, ``geoseg.device``


class Answer(NamedTuple):
    """What a network says of a batch of windows."""

    values: NDArray[np.float32]  # (B, K, h, w), 0..1: they are blended; where windows are on a GPU, so are they
    objects: tuple[tuple[Detection, ...], ...] = ()  # what it found in each window, (B,); none where it gives values


class Backend(Protocol):
    """A bundle's network on a device; callable from several threads at once."""

    def load(self) -> None:
        """Make the network ready, once; nothing is read before. Raises ModelError where the bundle is damaged."""
        ...

    def __call__(self, windows: Windows, /) -> Answer:
        """Run a batch of windows."""
        ...

    def identity(self) -> str:
        """Return what besides the bundle decides the bits of its answers: device, instruction set, version."""
        ...

    def peak_bytes(self, shape: tuple[int, int, int, int], /) -> int:
        """Return what one call for windows (B, C, h, w) holds of this machine's memory inside the network."""
        ...


class Library(Protocol):
    """A module of this package: a library that runs networks, and what it finds on this machine."""

    def choose_device(self, device: str) -> str:
        """Return "cuda" or "cpu" for auto, cpu or cuda; raises ConfigError where cuda is asked for and absent."""
        ...

    def precisions(self, device: str) -> tuple[str, ...]:
        """Return what the device computes in natively, of "bf16", "fp32" and "int8"; first what is taken unasked."""
        ...

    def identity(self, device: str) -> str:
        """See ``Backend.identity``."""
        ...

    def devices(self, kind: str) -> list[str]:
        """Return the names of the devices of a kind: every visible GPU, or the CPU."""
        ...

    def one_thread_per_network(self) -> AbstractContextManager[None]:
        """Let every network call use one CPU thread: bytes never depend on how many lanes or cores there are."""
        ...

    def open_backend(self, bundle: ModelBundle, *, device: str, precision: str) -> Backend:
        """Return a bundle's network on a device of ``devices``, not yet loaded."""
        ...
