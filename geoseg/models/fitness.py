"""Whether a scene's values are those a model was trained on, as far as its normalisation says what these were."""

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.models.spec import ModelSpec, Normalisation
from geoseg.scenes.reflectance import BRIGHT, CODINGS
from geoseg.scenes.sample import Sample
from geoseg.scenes.scene import Scene

TAIL = 0.01  # share of the pixels at either end that may be anything
BYTE = 255.0
BYTE_SPAN = 320.0  # mean + 3 std of a model of bytes stays below
BYTE_LEAST = 16.0  # and its means above
LEAST_REFLECTANCE = -0.3  # dark pixels after atmospheric correction, at the very least
FAR_STD, NARROW_STD, LOW_MEAN = 12.0, 0.02, 0.05  # other models: so far off, so narrow and low is another unit


def refuse_unfit(scene: Scene, spec: ModelSpec, seen: Sample) -> None:
    """Raise InputError where a scene, reduced to the model's bands, is plainly in another unit than the model's.

    Bytes in a model of bytes are not looked at, and a normalisation with a mean of 0 says nothing.
    """
    if spec.quantity == "reflectance":
        _refuse_no_reflectance(scene, spec, seen)
        return
    normal = spec.normalisation
    bytes_wanted = _of_bytes(normal)
    stored_plain = all((s.scale, s.offset) == (1, 0) for s in scene.sources)
    if (bytes_wanted and scene.dtype == "uint8" and stored_plain) or (found := seen.quantiles(scene, TAIL)) is None:
        return
    for i, quantiles in zip(spec.inputs_of(scene.bands), found, strict=True):
        band, mean, std = spec.bands[i], normal.mean[i], normal.std[i]
        if not (_fits_bytes(quantiles) if bytes_wanted else _fits(quantiles, mean, std)):
            trained = "0 to 255, " if bytes_wanted else ""
            raise InputError(
                f"{scene.name}: {band.name} runs from {quantiles[0]:.4g} to {quantiles[2]:.4g} ({scene.dtype}), model "
                f"{spec.name!r} was trained on values of {trained}mean {mean:.4g} and spread {std:.4g}; bring the "
                f"scene to that range first (gdal_translate -scale) or take a model of its own range"
            )


def _refuse_no_reflectance(scene: Scene, spec: ModelSpec, seen: Sample) -> None:
    found = seen.quantiles(scene, TAIL)
    if found is None or (0 < found[:, 2].max() <= BRIGHT and found[:, 0].min() >= LEAST_REFLECTANCE):
        return
    raise InputError(
        f"{scene.name}: its values run from {found[:, 0].min():.4g} to {found[:, 2].max():.4g} ({scene.dtype}), model "
        f"{spec.name!r} takes reflectance 0 to 1; say how they stand for it: "
        f"{', or '.join(f'{c.flags} ({c.name})' for c in CODINGS)}"
    )


def _of_bytes(normal: Normalisation) -> bool:
    """Whether means and spreads are those of values 0..255, or bring these to -1..1."""
    mean, std = np.array(normal.mean), np.array(normal.std)
    centred = np.abs(mean - BYTE / 2).max() < 1 and np.abs(std - BYTE / 2).max() < 1
    return bool(centred or ((mean >= BYTE_LEAST).all() and (mean + 3 * std <= BYTE_SPAN).all()))


def _fits_bytes(quantiles: NDArray[np.float64]) -> bool:
    """Whether values are bytes: none beyond 255, and not all within 0..1 or 0..2 (bright reflectance)."""
    top = quantiles[2]
    return bool(top <= BYTE and not 0 < top <= 2)


def _fits(quantiles: NDArray[np.float64], mean: float, std: float) -> bool:
    low, middle, top = quantiles
    narrow = 0 < top - low < NARROW_STD * std and top < LOW_MEAN * mean
    return mean == 0 or not (abs(middle - mean) > FAR_STD * std or narrow)
