"""Derived: input channels that are computed of bands, pixel by pixel, so that no tiling changes them."""

import re
from collections.abc import Sequence
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, ValidationError

from geoseg.errors import ConfigError
from geoseg.models.value import Name, Value
from geoseg.untrusted.validation import near_or_known
from geoseg.values.bands import Band, BandSet, resolve_band

INDICES = {
    "ndvi": "(nir - red) / (nir + red)",
    "ndwi": "(green - nir) / (green + nir)",
    "ndbi": "(swir16 - nir) / (swir16 + nir)",
}
BAND = r"\s*([A-Za-z][\w.]*)\s*"
RATIO = re.compile(rf"\({BAND}-{BAND}\)\s*/\s*\({BAND}\+{BAND}\)")
DIFFERENCE = re.compile(rf"{BAND}-{BAND}")


def _a_formula(text: str) -> str:
    ratio, difference = RATIO.fullmatch(text), DIFFERENCE.fullmatch(text)
    if (ratio is None or ratio[1] != ratio[3] or ratio[2] != ratio[4]) and difference is None:
        raise ValueError(f"{text!r}: write (a - b) / (a + b) or a - b, with names of bands")
    return text


class Derived(Value):
    """An input channel that a scene does not hold."""

    band: Name
    formula: Annotated[str, AfterValidator(_a_formula)]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the channel of "ndvi", or of "name=(a-b)/(a+b)"; raises ConfigError for an index that is not known.

        >>> Derived.parse("ndvi").formula, Derived.parse("height=dsm-dtm").operands
        ('(nir - red) / (nir + red)', ('dsm', 'dtm'))
        """
        name, given, formula = (part.strip() for part in text.partition("="))
        if not given and name.lower() not in INDICES:
            known = near_or_known(name, INDICES)
            raise ConfigError(f"derived {name!r}: no such index, {known} Others are written name=(a-b)/(a+b)")
        try:
            return cls(band=name, formula=formula or INDICES[name.lower()])
        except ValidationError as error:
            raise ConfigError(f"derived {text!r}: write name=(a-b)/(a+b) or name=a-b, with names of bands") from error

    @property
    def operands(self) -> tuple[str, str]:
        """The names of the bands that it is computed of."""
        found = RATIO.fullmatch(self.formula) or DIFFERENCE.fullmatch(self.formula)
        assert found is not None  # the formula has been checked
        return found[1], found[2]

    def of(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the channel of its two bands' physical values; 0 where they add up to 0."""
        if RATIO.fullmatch(self.formula) is None:
            return a - b
        out = np.where(np.isnan(a + b), np.float32(np.nan), np.float32(0))
        return np.divide(a - b, a + b, out=out, where=(a + b) != 0)


def source_bands(bands: BandSet, derived: Sequence[Derived]) -> BandSet:
    """Return what a scene must hold: the bands that are not derived, then those that only derived ones need."""
    own = {one.band for one in derived}
    held = BandSet(tuple(b for b in bands if b.name not in own))
    for name in (name for one in derived for name in one.operands):
        band = resolve_band(name)
        if not held.holds(band):
            held = BandSet((*held, band))
    return held


def with_derived(
    image: NDArray[np.float32], held: BandSet, wanted: BandSet, derived: Sequence[Derived]
) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """Return the channels of ``wanted`` that (C, h, w) physical values of the bands ``held`` give, and which these are.

    What is derived of a band that is lacking is lacking too.
    """
    formulas = {one.band: one for one in derived}
    made: dict[int, NDArray[np.float32]] = {}
    for channel, band in enumerate(wanted):
        if band.name in formulas:
            pair = [resolve_band(name) for name in formulas[band.name].operands]
            if all(held.holds(one) for one in pair):
                a, b = (image[held.indices_of(BandSet((one,)))[0]] for one in pair)
                made[channel] = formulas[band.name].of(a, b)
        elif band.name in held.names:
            made[channel] = image[held.names.index(band.name)]
    whole = list(made) == list(range(len(image))) and not derived
    return (image if whole else np.stack([*made.values()])), tuple(made)


def check(bands: Sequence[Band], derived: Sequence[Derived]) -> None:
    """Raise ValueError where a derived channel is no band, is derived twice, or of another derived one."""
    names, own = [b.name for b in bands], [one.band for one in derived]
    stray = sorted(set(own) - set(names))
    if stray or len(set(own)) < len(own) or len(own) >= len(names):
        raise ValueError(f"derived {', '.join(own)}: some, and not all, of the bands, each once")
    nested = sorted({name for one in derived for name in one.operands} & set(own))
    if nested:
        raise ValueError(f"derived of {', '.join(nested)}, which is derived itself")
