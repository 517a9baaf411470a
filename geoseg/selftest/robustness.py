"""The robustness card: how many pixels get another class where ground is seen a little otherwise.

Windows are those that a run would show the network; truth is not asked for.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geoseg.errors import ModelError
from geoseg.models.architectures import check_architecture
from geoseg.models.backends import library
from geoseg.models.bundle import ModelBundle
from geoseg.models.spec import ModelSpec
from geoseg.training.augment import compressed
from geoseg.training.calibrate import thresholds_of
from geoseg.trust.calibration import decided, of_classes, scaled

Image = NDArray[np.float32]  # (C, h, w)
Classes = NDArray[np.intp]  # (h, w), positions
SIDE_PX = 384
SHIFT_PX = 17  # no multiple of any network's stride
GAIN, TIMES, NOISE, HAZE = 0.1, 1.2, 0.02, 0.15  # shares; noise and haze of the span from dark to bright
QUALITY = 75  # of JPEG
SPREADS = 2.5  # standard deviations from the mean to dark and to bright, as in training


def robustness(bundle: ModelBundle, windows: NDArray[np.float32]) -> dict[str, Any]:
    """Return the share of pixels that change their class, by what is done to normalised windows (N, C, h, w).

    What a network of one fixed window cannot be shown is left out. Raises ModelError for a model without classes.
    """
    if not bundle.spec.classes:
        raise ModelError(f"{bundle.spec.name}: has no classes that could change; take a model of classes")
    card = _Card(bundle)
    shares: dict[str, list[float]] = {}
    for window in windows:
        for name, share in card.changes(card.cut(window)):
            shares.setdefault(name, []).append(share)
    changed = {name: round(float(np.mean(values)), 4) for name, values in shares.items()}
    return {"windows": len(windows), "changed": changed}


def card_rows(card: Mapping[str, Any]) -> list[list[str]]:
    """Return the rows of a card's table."""
    return [[name, f"{share:.2%}"] for name, share in card["changed"].items()]


class _Card:
    """A bundle's network, and what windows look like in shares from dark to bright."""

    def __init__(self, bundle: ModelBundle) -> None:
        self.spec = bundle.spec
        own = library(bundle.backend)
        device = own.choose_device("auto")
        self.backend = own.open_backend(bundle, device=own.devices(device)[0], precision=own.precisions(device)[0])
        normal = bundle.spec.normalisation
        self.mean, self.std = (np.array(v, np.float32)[:, None, None] for v in (normal.mean, normal.std))

    def takes(self, px: int) -> bool:
        """Return whether the network takes windows of a side."""
        return not check_architecture(self.spec.arch).fault_of_window(px)

    def cut(self, window: Image) -> Image:
        """Return a window of no more than ``SIDE_PX`` where the network takes that: a card is to be had at once."""
        return window[:, :SIDE_PX, :SIDE_PX] if self.takes(SIDE_PX) else window

    def gained(self, window: Image, times: float) -> Image:
        """Return a window of pixels that are ``times`` as bright."""
        return np.asarray(((window * self.std + self.mean) * np.float32(times) - self.mean) / self.std)

    def classes(self, image: Image) -> Classes:
        """Return the class of every pixel of a window."""
        values = self.backend(np.ascontiguousarray(image[None], np.float32)).values[0]
        return classes_of(values[self.spec.channels_of(self.spec.softmax)], self.spec)

    def changes(self, window: Image) -> Iterator[tuple[str, float]]:
        """Yield what is done to a window and the share of its pixels whose class changes."""
        before = self.classes(window)
        for name, change in CHANGES.items():
            yield name, float((self.classes(change(window)) != before).mean())
        for times in (1 + GAIN, 1 - GAIN):
            yield f"gain {times - 1:+.0%}", float((self.classes(self.gained(window, times)) != before).mean())
        for axis, name in ((2, "left to right"), (1, "upside down")):
            turned = np.flip(self.classes(np.flip(window, axis)), axis - 1)
            yield f"flip {name}", float((turned != before).mean())
        yield from self._shifted(window)
        yield from self._resized(window, before)

    def _shifted(self, window: Image) -> Iterator[tuple[str, float]]:
        """Compare what two windows that lie ``SHIFT_PX`` apart say of the ground that both decide."""
        size = window.shape[1] - max(self.spec.multiple_px, 32)
        if size <= 2 * self.spec.margin_px + SHIFT_PX or not self.takes(size):
            return
        here, there = (self.classes(window[:, at : at + size, at : at + size]) for at in (0, SHIFT_PX))
        inner = slice(self.spec.margin_px + SHIFT_PX, size - self.spec.margin_px)
        beside = slice(self.spec.margin_px, size - self.spec.margin_px - SHIFT_PX)
        yield f"windows {SHIFT_PX} px further", float((here[inner, inner] != there[beside, beside]).mean())

    def _resized(self, window: Image, before: Classes) -> Iterator[tuple[str, float]]:
        size, step = window.shape[1], self.spec.multiple_px
        for name, times in (("20 % finer", TIMES), ("20 % coarser", 1 / TIMES)):
            other = max(step, round(size * times / step) * step)
            if other == size or not self.takes(other):
                continue
            image = torch.from_numpy(np.ascontiguousarray(window))[None]
            seen = torch.nn.functional.interpolate(image, (other, other), mode="bilinear", antialias=True)[0].numpy()
            nearest = (np.arange(size) + 0.5) * other // size
            back = self.classes(seen)[np.ix_(nearest.astype(int), nearest.astype(int))]
            yield f"pixels {name}", float((back != before).mean())


def classes_of(values: NDArray[np.float32], spec: ModelSpec) -> Classes:
    """Return the position of the class (h, w) that channels (K, h, w), 0..1, are decided for."""
    p = np.maximum(values.reshape(len(values), -1).T.astype(np.float64), 1e-9)
    if spec.calibration is not None:
        p = scaled(np.log(p), spec.calibration)
    by_class = of_classes(p, spec.class_of_channel)
    return decided(by_class, thresholds_of(spec)).reshape(values.shape[1:])


def _unit(image: Image) -> Image:
    """Return a normalised window in shares from dark to bright."""
    return (image + SPREADS) / (2 * SPREADS)


def _normal(unit: Image) -> Image:
    return (unit * 2 * SPREADS - SPREADS).astype(np.float32)


def _noisy(image: Image) -> Image:
    return image + np.random.default_rng(0).normal(0, NOISE * 2 * SPREADS, image.shape).astype(np.float32)


CHANGES: Mapping[str, Callable[[Image], Image]] = {
    f"JPEG of quality {QUALITY}": lambda image: _normal(compressed(_unit(image), QUALITY)),
    "noise of 2 %": _noisy,
    "haze of 15 %": lambda image: _normal(_unit(image) * np.float32(1 - HAZE) + np.float32(HAZE)),
}
