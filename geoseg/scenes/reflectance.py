"""Reflectance: which whole numbers stand for it, found out where a file does not say.

A scale or an offset in the file, or of ``open_scene``, is believed: nothing is found out then.
"""

from dataclasses import dataclass, replace

import numpy as np

from geoseg.scenes.sample import Sample
from geoseg.scenes.scene import Scene

TAIL = 0.01  # share of the pixels at either end that may be anything
DIM, BRIGHT = 0.03, 2.0  # reflectance: the brightest ground of a scene lies between
DARK = 0.01  # reflectance: the darkest ground may lie so far below 0, by noise and atmospheric correction
LIFTED = 0.09  # reflectance: no ground of a scene is darker, in no band, where 0.1 has been added to all


@dataclass(frozen=True, slots=True)
class Coding:
    """Whole numbers that stand for reflectance: reflectance = number x scale + offset."""

    name: str
    scale: float
    offset: float

    @property
    def flags(self) -> str:
        """The line that says so."""
        return f"--scale {self.scale:g} --offset {self.offset:g}"


CODINGS = (  # by the number that stands for 0: 0, 1000, 5000, 7273
    Coding("reflectance x 10000", 1e-4, 0.0),
    Coding("reflectance x 10000 + 1000, as Sentinel-2 products have it since 2022", 1e-4, -0.1),
    Coding("Landsat 8 and 9, level 1", 2e-5, -0.1),
    Coding("Landsat Collection 2, level 2", 2.75e-5, -0.2),
)


def coding_of(darkest: float, brightest: float) -> Coding | None:
    """Return the coding of the highest zero that the darkest number reaches, None where that gives no reflectance.

    A scene of some size holds water, shadow or dense vegetation, which one band or another sees black.

    >>> coding_of(113, 4360).scale, coding_of(1017, 5000).offset, coding_of(6041, 20282).scale
    (0.0001, -0.1, 2e-05)
    >>> coding_of(0, 255) is None
    True
    """
    reached = [c for c in CODINGS if darkest * c.scale + c.offset >= -DARK]
    if not reached:
        return None
    coding = reached[-1]
    return coding if DIM < brightest * coding.scale + coding.offset < BRIGHT else None


def as_reflectance(scene: Scene, seen: Sample) -> Scene:
    """Return a scene of optical bands alone with the scale and offset by which its numbers are reflectance, and a note.

    seen: pixels of it. A scene that holds reflectance, says how, or is of no known coding is returned as it is.
    """
    if any((s.scale, s.offset) != (1, 0) for s in scene.sources):
        return scene
    found = extremes(seen)
    if found is None:
        return scene
    darkest, brightest = found
    if brightest <= BRIGHT:
        lifted = (
            f"{scene.name}: its values are {darkest:.3g} and more in every band; where they still hold the 0.1 that "
            f"Sentinel-2 products since 2022 add, pass --offset -0.1"
        )
        return replace(scene, notes=(*scene.notes, lifted)) if darkest >= LIFTED else scene
    coding = coding_of(darkest, brightest)
    if coding is None:
        return scene
    note = (
        f"{scene.name}: values of {darkest:g} to {brightest:g} are taken as {coding.name} ({coding.flags}); where they "
        f"are not, say so with --scale and --offset"
    )
    sources = tuple(replace(s, scale=coding.scale, offset=coding.offset) for s in scene.sources)
    return replace(scene, sources=sources, notes=(*scene.notes, note))


def extremes(seen: Sample) -> tuple[float, float] | None:
    """Return the darkest band's darkest and the brightest band's brightest stored values, but for a tail of pixels.

    Pixels that are 0 in every band are left out: products have it for nodata. None where no pixel is left.
    """
    stored = np.moveaxis(seen.data, 1, 0)[:, seen.valid]
    stored = stored[:, (stored != 0).any(0)]
    if stored.shape[1] == 0:
        return None
    low, top = np.nanquantile(stored.astype(np.float32), [TAIL, 1 - TAIL], axis=1)
    return float(low.min()), float(top.max())
