"""Random windows of an area: geometry by one affine resampling, radiometry by gains, and rectangles of nodata."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from geoseg.training.labels import IGNORE
from geoseg.training.spec import Augmentation


@dataclass(frozen=True, slots=True, eq=False)
class AreaPixels:
    """The pixels of one area at the model's resolution.

    image: (C, H, W) in physical units, 0 where invalid; valid: (H, W); labels: (H, W), IGNORE where invalid or unknown.
    """

    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    labels: NDArray[np.uint8]


def random_window(
    area: AreaPixels,
    *,
    size: int,
    change: Augmentation,
    mean: NDArray[np.float32],
    std: NDArray[np.float32],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Cut one changed window: normalised image (C, size, size), 0 where invalid, and labels (size, size).

    The window's centre lies near a labelled pixel; beyond the area's edge pixels are mirrored and labels ignored, so no
    pixel outside the area is ever seen.
    """
    image, valid, labels = _geometry(area, size, change, rng)
    image = _radiometry(image, change, mean, std, rng)
    if rng.random() < change.erase:
        h, w = rng.integers(size // 16, size // 3, 2)
        r, c = rng.integers(0, size - h), rng.integers(0, size - w)
        valid[r : r + h, c : c + w] = False
    image = np.where(valid, image, np.float32(0))
    return image, np.where(valid, labels, IGNORE).astype(np.uint8)


def _geometry(
    area: AreaPixels, size: int, change: Augmentation, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.uint8]]:
    height, width = area.labels.shape
    row, col = _centre(area.labels, rng)
    row, col = row + rng.uniform(-size / 4, size / 4), col + rng.uniform(-size / 4, size / 4)
    zoom = float(np.exp(rng.uniform(*np.log(change.scale))))  # > 1: objects look larger
    angle = rng.uniform(0, 2 * np.pi) if change.rotate else rng.integers(4) * np.pi / 2
    flip = rng.choice([-1.0, 1.0])
    ramp = (np.arange(size) - (size - 1) / 2) / zoom
    dy, dx = np.meshgrid(ramp, ramp * flip, indexing="ij")
    y = row + dy * np.cos(angle) - dx * np.sin(angle)
    x = col + dy * np.sin(angle) + dx * np.cos(angle)
    at = np.stack([y, x])
    present = area.valid.view(np.uint8)
    valid = map_coordinates(present, at, order=0, mode="reflect") > 0
    image = np.stack([map_coordinates(band, at, order=1, mode="reflect") for band in area.image])
    if not valid.all():  # invalid pixels are 0: without them in the weights too, they darken none of their neighbours
        image /= np.maximum(map_coordinates(present, at, np.float32, order=1, mode="reflect"), 1e-3)
    labels = map_coordinates(area.labels, at, order=0, mode="reflect")
    inside = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    return image, valid, np.where(inside, labels, IGNORE).astype(np.uint8)


def _centre(labels: NDArray[np.uint8], rng: np.random.Generator) -> tuple[float, float]:
    for _ in range(50):  # dense labels hit at once; sparse ones are listed below
        r, c = rng.integers(labels.shape[0]), rng.integers(labels.shape[1])
        if labels[r, c] != IGNORE:
            return float(r), float(c)
    known = np.flatnonzero(labels.ravel() != IGNORE)
    r, c = divmod(int(rng.choice(known)), labels.shape[1])
    return float(r), float(c)


def _radiometry(
    image: NDArray[np.float32],
    change: Augmentation,
    mean: NDArray[np.float32],
    std: NDArray[np.float32],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Gain, gamma, offset, blur and noise on physical values; returns normalised ones."""
    bands = len(image)
    low, high = (mean - 2.5 * std)[:, None, None], (mean + 2.5 * std)[:, None, None]
    unit = np.clip((image - low) / (high - low), 0, 1.2)
    unit **= np.float32(np.exp(rng.uniform(*np.log(change.gamma))))
    gain = rng.uniform(1 - change.gain, 1 + change.gain) * rng.uniform(
        1 - change.band_gain, 1 + change.band_gain, (bands, 1, 1)
    )
    shift = rng.uniform(-change.offset, change.offset) + rng.uniform(-change.offset, change.offset, (bands, 1, 1)) / 2
    unit = unit * gain.astype(np.float32) + shift.astype(np.float32)
    if rng.random() < change.blur:
        sigma = rng.uniform(0.3, 1.2)
        unit = gaussian_filter(unit, (0, sigma, sigma))
    if change.noise > 0:
        unit = unit + rng.standard_normal(unit.shape, np.float32) * np.float32(rng.uniform(0, change.noise))
    value = unit * (high - low) + low
    return ((value - mean[:, None, None]) / std[:, None, None]).astype(np.float32)
