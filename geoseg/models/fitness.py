"""Whether a scene's values are those a model was trained on: plainly not is refused, doubtful is said.

What a bundle says of its training is compared; of one that says nothing, what its normalisation gives away.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.models.spec import ModelSpec, Normalisation
from geoseg.scenes.reflectance import BRIGHT, CODINGS
from geoseg.scenes.sample import Sample
from geoseg.scenes.scene import Scene

TAIL = 0.01  # share of the pixels at either end that may be anything
BYTE = 255.0
BYTE_TOP = 270.0  # resampling may overshoot
BYTE_SPAN = 320.0  # mean + 3 std of a model of bytes stays below
BYTE_LEAST = 16.0  # and its means above
LEAST_REFLECTANCE = -0.3  # dark pixels after atmospheric correction, at the very least
FAR_STD, NARROW_STD, LOW_MEAN = 12.0, 0.02, 0.05  # other models: so far off, so narrow and low is another unit
MOST_TIMES, LEAST_TIMES = 16.0, 1 / 64  # the brightest pixels over those of training: snow, and a lake, lie between
DOUBTFUL_INDEX, DOUBTFUL_SHARE = 4.0, 0.5  # of pixels beyond training's; scenes of one kind differ by less


@dataclass(frozen=True, slots=True)
class BandFit:
    """How far a band of a scene is from what a model was trained on."""

    band: str
    stability_index: float
    """Population stability index over the tenths of the training pixels."""
    outside: float
    """Share of its pixels beyond all but 0.2 % of the training pixels."""
    among: float | None = None
    """The largest index that one area of the training has against all; None where that is not known."""

    @property
    def doubtful(self) -> bool:
        """Whether the model may not know such values."""
        return self.stability_index > DOUBTFUL_INDEX or self.outside > DOUBTFUL_SHARE


def band_fits(scene: Scene, spec: ModelSpec, seen: Sample) -> tuple[BandFit, ...]:
    """Return how far a scene, reduced to a model's bands, is from its training; empty where that is not known."""
    values = seen.physical(scene)
    if spec.values is None or values.shape[1] == 0:
        return ()
    return tuple(
        BandFit(
            spec.bands[i].name,
            round(spec.values.stability_index(i, own), 4),
            round(spec.values.outside(i, own), 4),
            spec.values.among[i] if spec.values.among else None,
        )
        for i, own in zip(spec.inputs_of(scene.bands), values, strict=False)  # bands of derived ones alone come last
    )


def doubts(scene: Scene, spec: ModelSpec, fits: tuple[BandFit, ...]) -> list[str]:
    """Return what a user should know of values that a model may not know."""
    told = [
        f"{fit.band} (stability index {fit.stability_index:.1f}, {fit.outside:.0%} of its pixels beyond training's)"
        for fit in fits
        if fit.doubtful
    ]
    if not told:
        return []
    return [
        f"{scene.name}: {', '.join(told)}: unlike what model {spec.name!r} was trained on; look at the map before you "
        f"use it, or try --stretch 2,98"
    ]


def refuse_unfit(scene: Scene, spec: ModelSpec, seen: Sample) -> None:
    """Raise InputError where a scene, reduced to the model's bands, is plainly in another unit than the model's.

    Bytes in a model of bytes are not looked at. Without the values of training a normalisation with a mean of 0 says
    nothing.
    """
    if spec.quantity == "reflectance":
        _refuse_no_reflectance(scene, spec, seen)
        return
    stored_plain = all((s.scale, s.offset) == (1, 0) for s in scene.sources)
    if (of_bytes(spec) and scene.dtype == "uint8" and stored_plain) or (found := seen.quantiles(scene, TAIL)) is None:
        return
    inputs = list(spec.inputs_of(scene.bands))
    if of_bytes(spec):
        wrong = bool(found[:, 2].max() > BYTE_TOP or 0 < found[:, 2].max() <= BRIGHT)
    elif spec.values is not None:
        wrong = _another_unit(scene, spec, found)
    else:
        normal = spec.normalisation
        wrong = not all(_fits(q, normal.mean[i], normal.std[i]) for i, q in zip(inputs, found, strict=False))
    if wrong:
        low, high = found[:, 0].min(), found[:, 2].max()
        ways = "--scale and --offset, which bring them there" + (
            ", or --stretch 2,98, which matches percentiles" if stretches(spec) else ""
        )
        raise InputError(
            f"{scene.name}: its values run from {low:.4g} to {high:.4g} ({scene.dtype}), model {spec.name!r} was "
            f"trained on values of {trained_on(spec, inputs)}; pass {ways}, or take a model of its own range"
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


def trained_on(spec: ModelSpec, inputs: list[int]) -> str:
    """Return the values that a model was trained on, in words."""
    if spec.values is not None:
        low, high = (spec.values.at(share)[inputs] for share in (0.02, 0.98))
        return f"{'0 to 255, mostly ' if spec.values.bytes_alone else ''}{low.min():.4g} to {high.max():.4g}"
    mean, std = (np.array(v)[inputs] for v in (spec.normalisation.mean, spec.normalisation.std))
    return f"{'0 to 255, ' if of_bytes(spec) else ''}mean {mean.mean():.4g} and spread {std.mean():.4g}"


def of_bytes(spec: ModelSpec) -> bool:
    """Whether a model was trained on bytes: by its values, else by what its normalisation gives away."""
    return _looks_of_bytes(spec.normalisation) if spec.values is None else spec.values.bytes_alone


def stretches(spec: ModelSpec) -> bool:
    """Whether it is known what a scene's percentiles are to be matched with."""
    return spec.quantity is None and (spec.values is not None or of_bytes(spec))


def _looks_of_bytes(normal: Normalisation) -> bool:
    """Whether means and spreads are those of values 0..255, or bring these to -1..1."""
    mean, std = np.array(normal.mean), np.array(normal.std)
    centred = np.abs(mean - BYTE / 2).max() < 1 and np.abs(std - BYTE / 2).max() < 1
    return bool(centred or ((mean >= BYTE_LEAST).all() and (mean + 3 * std <= BYTE_SPAN).all()))


def _another_unit(scene: Scene, spec: ModelSpec, found: NDArray[np.float64]) -> bool:
    """Whether the optical bands are too bright or too dark, all together, for any ground in the unit of training.

    Heights and radar vary without such bounds. A type whose largest number is below what was common in training holds
    another unit as well.
    """
    assert spec.values is not None
    lit = [(k, i) for k, i in enumerate(spec.inputs_of(scene.bands)) if spec.bands[i].wavelength_nm is not None]
    if not lit:
        return False
    own, trained = found[[k for k, _ in lit], 2].max(), spec.values.at(1 - TAIL)[[i for _, i in lit]].max()
    middle = spec.values.at(0.5)[[i for _, i in lit]].max()
    integer = np.dtype(scene.dtype).kind in "iu"
    largest = max(np.iinfo(scene.dtype).max * s.scale + s.offset for s in scene.sources) if integer else np.inf
    return bool(own > MOST_TIMES * trained or 0 < own < LEAST_TIMES * trained or largest < middle)


def _fits(quantiles: NDArray[np.float64], mean: float, std: float) -> bool:
    low, middle, top = quantiles
    narrow = 0 < top - low < NARROW_STD * std and top < LOW_MEAN * mean
    return mean == 0 or not (abs(middle - mean) > FAR_STD * std or narrow)
