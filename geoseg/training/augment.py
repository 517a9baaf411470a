"""Random windows of an area: geometry by one affine resampling, radiometry by gains, and rectangles of nodata.

What mixes windows of several areas is in mixing.py.
"""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from geoseg.training.areas import AreaPixels, LabelledArea, Places
from geoseg.training.spec import Augmentation
from geoseg.training.targets import IGNORE, UNKNOWN, BuildingTarget, ClassTarget, Raw
from geoseg.values.box import Box

COARSER = (1.3, 3.5)  # how many times coarser the pixels of a coarser sensor are
PANSHARPENED = (2.0, 5.0)  # how many times coarser the colours of a pansharpened image are
JPEG_QUALITY = (25, 90)
ELASTIC = 0.02  # of a window's side: spread of the points that are moved
HAZE_UNIT = np.float32(0.9)  # of the span from dark to bright: what haze brings all towards
MOST_ENLARGED = 3.0  # a window shows pixels at most so many times larger than the scene has them


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """How every window is cut."""

    size: int  # side in pixels
    change: Augmentation
    target: BuildingTarget | ClassTarget
    mean: NDArray[np.float32]  # (C,) of the model's normalisation
    std: NDArray[np.float32]  # (C,)
    span: tuple[NDArray[np.float32], NDArray[np.float32]]  # (C,) values from dark to bright: what changes are shares of
    optional: tuple[int, ...] = ()  # channels that windows may lack
    haze: NDArray[np.float32] | None = None  # (C,) how much of haze each band has; None: all alike


def random_window(
    area: LabelledArea,
    recipe: Recipe,
    rng: np.random.Generator,
    *,
    centre: tuple[float, float] | None = None,
    done: float = 1.0,
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
    """Cut one changed window: normalised image (C, size, size), 0 where not known, labels (size, size), and the rest.

    The rest is what the target says beside classes, and truth of outputs, (D + G, size, size), NaN where void.

    The window's centre lies near ``centre``, or any labelled pixel; beyond the area's edge pixels are mirrored and
    labels ignored, so no pixel outside the area is ever seen. done: share of the training that is over.
    """
    size, change = recipe.size, recipe.change
    zoom = _zoom(area, change, rng, done=done)
    centre = centre or Places(area, recipe.target).draw(rng)
    image, valid, raw = _geometry(area, centre, zoom, recipe, rng)
    labels, beside = recipe.target.labels(raw, gsd_m=area.gsd_m / zoom), recipe.target.beside(raw)
    image, truth = image[: len(recipe.mean)], image[len(recipe.mean) :]
    if change.drop > 0 and rng.random() < change.drop:
        image[list(recipe.optional)] = np.nan
    if change.band_drop > 0 and rng.random() < change.band_drop:
        image[rng.integers(len(image))] = np.nan
    lacking = np.isnan(image)
    image = _radiometry(image, recipe, rng)
    if rng.random() < change.erase:
        h, w = rng.integers(size // 16, size // 3, 2)
        r, c = rng.integers(0, size - h), rng.integers(0, size - w)
        valid[r : r + h, c : c + w] = False
    image = np.where(valid & ~lacking, image, np.float32(0))
    rest = np.where(valid, np.concatenate([beside, truth]), np.float32(np.nan))
    return image, np.where(valid, labels, IGNORE).astype(np.uint8), rest


def _zoom(area: LabelledArea, change: Augmentation, rng: np.random.Generator, *, done: float) -> float:
    """Return how many times larger than in the area things look in a window.

    Coarse windows come first: the finest resolution that is drawn falls from the coarsest to the span's finest.
    """
    span = area.span_m or change.gsd_m
    coarse = 0.0 if change.coarse_first == 0 else max(0.0, 1 - done / change.coarse_first)
    if span is None:
        small, large = np.log(change.scale)
        return float(np.exp(rng.uniform(small, large - coarse * (large - small))))
    low = max(span[0], area.gsd_m / MOST_ENLARGED)
    low *= (max(span[1], low) / low) ** coarse
    return area.gsd_m / float(np.exp(rng.uniform(np.log(low), np.log(max(span[1], low)))))


def _geometry(
    area: LabelledArea, centre: tuple[float, float], zoom: float, recipe: Recipe, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_], Raw]:
    size, rotate, (height, width) = recipe.size, recipe.change.rotate, area.shape
    away = size / 4 / zoom
    row, col = (at + rng.uniform(-away, away) for at in centre)
    angle = rng.uniform(0, 2 * np.pi) if rotate else rng.integers(4) * np.pi / 2
    if not rotate and zoom == 1:  # pixels as they are: between them they would be smoother than a run sees them
        row, col = np.floor(row) + (size + 1) % 2 / 2, np.floor(col) + (size + 1) % 2 / 2
    flip = rng.choice([-1.0, 1.0])
    ramp = (np.arange(size) - (size - 1) / 2) / zoom
    dy, dx = np.meshgrid(ramp, ramp * flip, indexing="ij")
    if recipe.change.elastic > 0 and rng.random() < recipe.change.elastic:
        dy, dx = (d + _waves(size, rng) / zoom for d in (dy, dx))
    y = row + dy * np.cos(angle) - dx * np.sin(angle)
    x = col + dy * np.sin(angle) + dx * np.cos(angle)
    inside = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    near, y, x = _near(area, _mirrored(y, height), _mirrored(x, width), zoom)
    labels = map_coordinates(near.labels, np.stack([y, x]), order=0, mode="nearest")
    image, share, at = _seen(near, y, x, zoom)
    valid = map_coordinates(share, at, order=0, mode="reflect") > 0
    image = np.stack([map_coordinates(band, at, order=1, mode="reflect") for band in image])
    if not valid.all():  # invalid pixels are 0: without them in the weights too, they darken none of their neighbours
        image /= np.maximum(map_coordinates(share, at, np.float32, order=1, mode="reflect"), 1e-3)
    return image, valid, np.where(inside, labels, UNKNOWN).astype(np.int32)


def _waves(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return smooth shifts in pixels (size, size), as of a grid of five by five points that are moved (Simard 2003)."""
    points = rng.normal(0, size * ELASTIC, (5, 5))
    at = np.linspace(0, 4, size)
    return map_coordinates(points, np.meshgrid(at, at, indexing="ij"), order=3, mode="nearest")


def _mirrored(at: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Return places along an axis of ``length`` pixels, those beyond its ends mirrored at them.

    >>> _mirrored(np.array([-1.5, -0.5, 2.0, 3.0, 9.5]), 3).tolist()
    [0.5, -0.5, 2.0, 2.0, 1.5]
    """
    beyond = np.mod(at + 0.5, 2 * length)
    return np.minimum(beyond, 2 * length - beyond) - 0.5


def _times(shape: tuple[int, int], zoom: float) -> int:
    """Return the side in pixels of the blocks that are averaged where things are shown smaller."""
    return min(max(1, int(1 / zoom)), *shape)


def _near(
    area: LabelledArea, y: NDArray[np.float64], x: NDArray[np.float64], zoom: float
) -> tuple[AreaPixels, NDArray[np.float64], NDArray[np.float64]]:
    """Return the pixels that a window is made of, whole blocks of those averaged, and its places among them."""
    times = _times(area.shape, zoom)
    (top, bottom), (left, right) = (
        (first, min(n, max(first + times, -(-int(v.max() + 2) // times) * times)))
        for v, n in zip((y, x), area.shape, strict=True)
        for first in [min(max(0, int(v.min())), n - times) // times * times]
    )
    return area.read(Box(top, left, bottom, right)), y - top, x - left


def _seen(
    near: AreaPixels, y: NDArray[np.float64], x: NDArray[np.float64], zoom: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Return (image, share of valid pixels, places in them) of the ground a window sees.

    Where it shows things smaller than half of their size, pixels are averaged in blocks first: nothing is skipped.
    """
    times = _times(near.shape, zoom)
    if times < 2:
        return near.image, near.valid.astype(np.float32), np.stack([y, x])
    share = _block_means(near.valid.astype(np.float32), times)
    image = np.stack([_block_means(band, times) for band in near.image])
    return image, share, np.stack([(y + 0.5) / times - 0.5, (x + 0.5) / times - 0.5])


def _block_means(band: NDArray[np.float32], times: int) -> NDArray[np.float32]:
    """Return the means of blocks of ``times`` x ``times`` pixels; what is left over at the far edges is cut off."""
    h, w = (n // times for n in band.shape)
    return band[: h * times, : w * times].reshape(h, times, w, times).mean((1, 3), dtype=np.float32)


def _radiometry(image: NDArray[np.float32], recipe: Recipe, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gamma, gain, offset, blur, coarse pixels and colours, sharpening, gray, noise and JPEG of values; normalised."""
    change, mean, std = recipe.change, recipe.mean, recipe.std
    bands = len(image)
    low, high = (v[:, None, None] for v in recipe.span)
    unit = np.clip((image - low) / (high - low), 0, 1.2)
    unit **= np.float32(np.exp(rng.uniform(*np.log(change.gamma))))
    gain = rng.uniform(1 - change.gain, 1 + change.gain) * rng.uniform(
        1 - change.band_gain, 1 + change.band_gain, (bands, 1, 1)
    )
    shift = rng.uniform(-change.offset, change.offset) + rng.uniform(-change.offset, change.offset, (bands, 1, 1)) / 2
    unit = unit * gain.astype(np.float32) + shift.astype(np.float32)
    if change.haze > 0 and rng.random() < change.haze:
        share = np.float32(rng.uniform(0.05, 0.4)) * (1 if recipe.haze is None else recipe.haze[:, None, None])
        unit = unit * (1 - share) + share * HAZE_UNIT
    if change.shadow > 0 and rng.random() < change.shadow:
        unit = np.where(_strip(unit.shape[1:], rng), unit * np.float32(rng.uniform(0.3, 0.8)), unit)
    if rng.random() < change.blur:
        sigma = rng.uniform(0.3, 1.2)
        unit = gaussian_filter(unit, (0, sigma, sigma))
    if change.coarse > 0 and rng.random() < change.coarse:
        unit = _coarser(unit, float(np.exp(rng.uniform(*np.log(COARSER)))))
    if change.pansharpen > 0 and rng.random() < change.pansharpen:
        unit = _pansharpened(unit, rng)
    if change.sharpen > 0 and rng.random() < change.sharpen:
        unit = unit + np.float32(rng.uniform(0.2, 1.0)) * (unit - gaussian_filter(unit, (0, 1.5, 1.5)))
    if change.gray > 0 and rng.random() < change.gray:
        share = np.float32(rng.uniform(0.2, 1.0))
        unit = unit * (1 - share) + np.nanmean(unit, 0, keepdims=True) * share
    if change.noise > 0:
        unit = unit + rng.standard_normal(unit.shape, np.float32) * np.float32(rng.uniform(0, change.noise))
    if change.jpeg > 0 and rng.random() < change.jpeg:
        unit = compressed(unit, int(rng.integers(*JPEG_QUALITY)))
    value = unit * (high - low) + low
    return ((value - mean[:, None, None]) / std[:, None, None]).astype(np.float32)


def _strip(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return the pixels (H, W) of a strip across a window at any angle, as shadows of clouds, hills and towers lie."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    angle, size = rng.uniform(0, 2 * np.pi), max(shape)
    along = (y - shape[0] / 2) * np.sin(angle) + (x - shape[1] / 2) * np.cos(angle)
    first = rng.uniform(-0.5, 0.3) * size
    return (along >= first) & (along < first + rng.uniform(0.1, 0.5) * size)


def haze_of(wavelength_nm: float | None) -> float:
    """Return how much of haze a band has against green light; it falls with the wavelength (Chavez 1988), 1: not known.

    >>> [round(haze_of(nm), 2) for nm in (490, 550, 842, 2190, None)]
    [1.12, 1.0, 0.65, 0.25, 1.0]
    """
    return 1.0 if wavelength_nm is None else min(1.5, 550 / wavelength_nm)


def _coarser(unit: NDArray[np.float32], times: float) -> NDArray[np.float32]:
    """Return the image (C, H, W) as pixels ``times`` larger show it, brought back to its grid linearly."""
    height, width = unit.shape[1:]
    size = (max(2, round(height / times)), max(2, round(width / times)))
    image = torch.from_numpy(unit)[None]
    seen = torch.nn.functional.interpolate(image, size, mode="bilinear", antialias=True)
    return torch.nn.functional.interpolate(seen, (height, width), mode="bilinear")[0].numpy()


def _pansharpened(unit: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the image (C, H, W) with the detail of its mean and colours of larger pixels, up to 1 px beside it."""
    detail = np.nanmean(unit, 0, keepdims=True)
    colour = _coarser(unit - detail, float(np.exp(rng.uniform(*np.log(PANSHARPENED)))))
    return detail + np.roll(colour, rng.integers(-1, 2, 2), (1, 2))


def compressed(unit: NDArray[np.float32], quality: int) -> NDArray[np.float32]:
    """Return the image (C, H, W) after JPEG: three bands as a colour image, others one by one."""
    image = np.clip(np.nan_to_num(unit) * 255, 0, 255).astype(np.uint8)
    parts = [image.transpose(1, 2, 0)] if len(image) == 3 else list(image)
    seen = [_through_jpeg(part, quality) for part in parts]
    return seen[0].transpose(2, 0, 1) if len(image) == 3 else np.stack(seen)


def _through_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.float32]:
    """Return the image (H, W) or (H, W, 3) as a JPEG file of ``quality`` holds it, 0 to 1."""
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).astype(np.float32) / np.float32(255)
