"""What follows from a fingerprint: one rule a setting, each with its reason (nnU-Net's idea, for rasters).

Rules of thumb, not laws: benchmarks/ measures what they are worth. Not here: how a config is written, see write.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import numpy as np

from geoseg.options.autoconfig import AutoconfigOptions
from geoseg.training.autoconfig.fingerprint import Fingerprint
from geoseg.training.targets import BuildingTarget

FEW_PX, SOME_TILES = 1_000_000, 300  # labelled pixels, and windows of them, below which splits and networks are small
SPECTRAL_PX = 50_000  # below it a network of pixels: with as many a small U-Net was better, see results/practice.md
LARGE_SIDE_PX = 512
RARE, UNEVEN = 0.01, 4.0
SATELLITE_M = 5.0


@dataclass(frozen=True, slots=True)
class Choice:
    """A setting of a config: its key with dots, its value, and why it has it."""

    key: str
    value: Any
    why: str


@dataclass(frozen=True, slots=True)
class Means:
    """What a training may take."""

    minutes: float
    gpu: bool
    seconds_per_step: Callable[[dict[str, Any], int, int], float]
    """Measures a network (``arch``) on a batch of a number of windows of a side."""


def choices(seen: Fingerprint, means: Means) -> tuple[Choice, ...]:
    """Return all settings but the split, in the order in which a config shows them."""
    crop_px, batch = _crop(seen, means), 16 if means.gpu else 8
    arch = _network(seen, means, crop_px)
    if arch.value["name"] == "pixel-mlp":  # it sees no farther than its boxes
        crop_px = min(crop_px, 64)
    return (
        *_resolution(seen),
        arch,
        *_loss(seen),
        *_augmentation(seen),
        *_schedule(seen, means, arch.value, crop_px, batch),
    )


def means_of(seen: Fingerprint, options: AutoconfigOptions) -> Means:
    """Return what this machine has for a training; raises ConfigError for a device that is not there."""
    from geoseg.models.backends.torch import choose_device
    from geoseg.training.autoconfig.measure import seconds_per_step

    device = choose_device(options.device)
    bands, channels = len(seen.scenes[0].bands), len(seen.target.channels)
    measure = partial(seconds_per_step, bands=bands, channels=channels, device=device)
    return Means(options.minutes, device == "cuda", measure)


def tiles(seen: Fingerprint, crop_px: int) -> float:
    """Return how many windows the labelled ground would fill."""
    return seen.labelled_px / crop_px**2


def _crop(seen: Fingerprint, means: Means) -> int:
    """Eight objects across, a power of two, within the scenes; smaller on CPUs."""
    wanted = 2 ** ceil(np.log2(max(8 * seen.object_px, 1)))
    fits = min(min(scene.grid.shape) for scene in seen.scenes)
    most = min(LARGE_SIDE_PX if means.gpu else 256, fits // 32 * 32)
    return int(max(32, min(max(wanted, 128), most)))


def _resolution(seen: Fingerprint) -> tuple[Choice, ...]:
    sizes = [scene.grid.mean_resolution_m() for scene in seen.scenes]
    low, high = min(sizes), max(sizes)
    if high / low <= 1.5:
        return (Choice("gsd_m", _digits(seen.gsd_m), "median pixel of the scenes; others are brought to it"),)
    if seen.object_px < 8:
        return (Choice("gsd_m", _digits(low), f"pixels of {low:.3g} to {high:.3g} m, and small objects: the finest"),)
    return (Choice("gsd_m", _digits(seen.gsd_m), f"pixels of {low:.3g} to {high:.3g} m: the median"),)


def _network(seen: Fingerprint, means: Means, crop_px: int) -> Choice:
    held = tiles(seen, crop_px)
    told = f"{held:.0f} windows of labelled ground"
    if not isinstance(seen.target, BuildingTarget) and seen.labelled_px < SPECTRAL_PX:
        options = {"boxes": [3, 7, 15], "widths": [64, 64]}
        return Choice("arch", {"name": "pixel-mlp", "options": options}, f"{told}: too few to learn shapes from")
    if not means.gpu or held < SOME_TILES:
        widths = [16, 32, 64, 96] if held < SOME_TILES else [24, 48, 96, 160]
        where = "on a CPU" if not means.gpu else "on a GPU"
        return Choice(
            "arch", {"name": "compact-unet", "options": {"widths": widths}}, f"{told}, {where}: a small U-Net"
        )
    encoder = "resnet34" if held < 5000 else "resnet50"
    return Choice("arch", {"name": "unet", "options": {"encoder_name": encoder}}, f"{told}, on a GPU")


def _loss(seen: Fingerprint) -> tuple[Choice, ...]:
    shares = [share for share in seen.shares.values() if share > 0]
    rarest = min(seen.shares, key=lambda name: seen.shares[name] or 2)
    loss: dict[str, Any] = {"cross-entropy": 0.5, "dice": 0.5}
    why = "pixels and regions"
    if seen.rarest < RARE:
        loss, why = {"cross-entropy": 0.5, "dice": 0.5, "focal": 0.5}, f"{rarest} is {seen.rarest:.2%} of the labels"
    found = [Choice("loss", loss, why)]
    if max(shares) / min(shares) > UNEVEN:
        found.append(
            Choice(
                "schedule.class_weights",
                "auto",
                f"the most frequent class has {max(shares) / min(shares):.0f} times the rarest's pixels",
            )
        )
    return tuple(found)


def _augmentation(seen: Fingerprint) -> tuple[Choice, ...]:
    satellite = seen.gsd_m >= SATELLITE_M
    colours = seen.scenes[0].dtype == "uint8" and len(seen.scenes[0].bands) == 3
    scale = [0.85, 1.2] if satellite else [0.7, 1.4]
    return (
        Choice("augmentation.scale", scale, "one sensor of fixed pixels" if satellite else "flights differ in height"),
        Choice("augmentation.blur", 0.05 if satellite else 0.2, "share of windows"),
        Choice(
            "augmentation.jpeg",
            0.15 if colours else 0.0,
            "three bands of bytes: often JPEG" if colours else "values are measured, not compressed",
        ),
        Choice(
            "augmentation.gray",
            0.1 if colours else 0.0,
            "colours fade" if colours else "bands are not mixed: they are what tells classes",
        ),
    )


def _schedule(seen: Fingerprint, means: Means, arch: dict[str, Any], crop_px: int, batch: int) -> tuple[Choice, ...]:
    steps = int(np.clip(2 * tiles(seen, crop_px) / batch, 20, 100))
    seconds = means.seconds_per_step(arch, batch, crop_px)
    epochs = int(np.clip(means.minutes * 60 / (1.3 * steps * seconds), 2, 200))
    spent = 1.3 * steps * seconds * epochs / 60
    return (
        Choice(
            "schedule.epochs", epochs, f"{spent:.1f} of {means.minutes:g} minutes: a step took {seconds:.2f} s here"
        ),
        Choice("schedule.steps_per_epoch", steps, "each window about twice"),
        Choice("schedule.batch", batch, "windows a step"),
        Choice(
            "schedule.crop_px",
            crop_px,
            f"labelled areas are {seen.object_px:.0f} px wide (median): eight of them, if they fit",
        ),
        Choice("schedule.patience", max(5, epochs // 4), "epochs without a better score after which it stops"),
    )


def _digits(value: float) -> float:
    return float(f"{value:.4g}")
