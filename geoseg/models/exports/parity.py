"""Parity: how near an export comes to the network itself, measured on calibration windows; and what is too far."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import FaultFoundError
from geoseg.models.backends import library
from geoseg.models.bundle import ModelBundle
from geoseg.models.exports.graph import BYTE, Takes
from geoseg.models.spec import ModelSpec

LEAST_EQUAL = 0.999  # of the pixels' classes
LEAST_EQUAL_INT8 = 0.995
Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # windows (1, C, h, w) to probabilities (1, K, h, w)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """What was measured of an export."""

    runtime: str
    windows: int
    pixels: int
    equal_classes: float
    """Share of the pixels whose class is that of the network itself."""
    least_equal_classes: float
    """Below it, nothing is written."""
    largest_probability_error: float
    """Of any class at any pixel."""

    @property
    def holds(self) -> bool:
        """Whether the export may stand for the network."""
        return self.equal_classes >= self.least_equal_classes

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return asdict(self)


def fed(windows: NDArray[np.float32], spec: ModelSpec, takes: Takes) -> NDArray[np.float32]:
    """Return normalised windows (N, C, h, w) as an export takes them."""
    if takes == "normalised":
        return windows
    normal = spec.normalisation
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (normal.mean, normal.std))
    physical = windows * std + mean
    return np.asarray(physical / BYTE if takes == "bytes" else physical, np.float32)


def per_class(probabilities: NDArray[np.float32], spec: ModelSpec) -> NDArray[np.float32]:
    """Return p(class) (C, h, w) of probabilities of channels, or of classes already (K, h, w)."""
    if len(probabilities) == len(spec.classes) != spec.out_channels:
        return probabilities
    probabilities = probabilities[spec.channels_of(spec.softmax)]
    out = np.zeros((len(spec.classes), *probabilities.shape[1:]), np.float32)
    np.add.at(out, list(spec.class_of_channel), probabilities)
    return out


def refuse_unlike(parity: Parity, path: str) -> None:
    """Raise FaultFoundError where an export may not stand for the network of the bundle at ``path``."""
    if not parity.holds:
        raise FaultFoundError(
            f"{path}: {parity.runtime} gives {parity.equal_classes:.4%} of the pixels the network's own class, "
            f"less than {parity.least_equal_classes:.1%}; nothing is written"
        )


def compared(
    bundle: ModelBundle, run: Run, windows: NDArray[np.float32], *, takes: Takes, runtime: str, least: float
) -> Parity:
    """Compare an export with the network, by its own library in fp32, on normalised windows (N, C, h, w)."""
    spec = bundle.spec
    own = library(bundle.backend).open_backend(bundle, device="cpu", precision="fp32")
    equal, worst = 0, 0.0
    for window, given in zip(windows, fed(windows, spec, takes), strict=True):
        wanted, found = (per_class(p, spec) for p in (own(window[None]).values[0], run(given[None])[0]))
        equal += int((wanted.argmax(0) == found.argmax(0)).sum())
        worst = max(worst, float(np.abs(wanted - found).max()))
    pixels = windows.shape[0] * windows.shape[2] * windows.shape[3]
    return Parity(
        runtime=runtime, windows=len(windows), pixels=pixels, equal_classes=equal / pixels,
        least_equal_classes=least, largest_probability_error=worst,
    )  # fmt: skip
