"""Probabilities: what of a raster is a probability is decided here, and windows of it are read as bytes.

A band holds probabilities where it holds floats 0..1, where its scale and offset say so (as those of geoseg's own files
do), or where the caller states the value that means 1. With a class, it holds classes.
"""

from dataclasses import dataclass

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geoseg.disk.places import located
from geoseg.errors import ConfigError, InputError
from geoseg.scenes.raster_grid import raster_window
from geoseg.scenes.reading import band_number, open_raster
from geoseg.tiling.memory import GDAL_CACHE_BYTES
from geoseg.values.box import Box
from geoseg.values.layers import PROBABILITY_OFFSET, PROBABILITY_SCALE

ROUNDING = 1e-6  # probabilities leave 0..1 by so much where floats were summed
LOGITS = "where they are logits, take the logistic function of them first, 1 / (1 + exp(-x))"
SAYS_FULL_SCALE = "--full-scale says which value means certain: 100 for percent, 255 for bytes"


@dataclass(frozen=True, slots=True)
class Scaling:
    """p = scale * value + offset."""

    scale: float
    offset: float

    @property
    def of_geoseg(self) -> bool:
        """Whether a byte of geoseg's own is meant: 1..255 for p 0..1."""
        return bool(np.allclose((self.scale, self.offset), (PROBABILITY_SCALE, PROBABILITY_OFFSET), rtol=1e-6, atol=0))


OWN_BYTES = Scaling(PROBABILITY_SCALE, PROBABILITY_OFFSET)


@dataclass(frozen=True, slots=True)
class ProbabilityBands:
    """Reads boxes of p(building), and of p(interior) where there is a band of it, (h, w) uint8 with 0 = nodata.

    band, interior: 1-based. scaling: what the values of the band mean. class_id: the band holds classes, and this one
    has p = 1. alpha: the band that hides pixels where it is 0. Nodata, NaN and what a mask hides is nodata. Picklable:
    the file is opened for each box. Raises InputError for values that are no probabilities.
    """

    path: str
    band: int
    interior: int | None = None
    class_id: int | None = None
    scaling: Scaling = OWN_BYTES
    alpha: int | None = None

    def __call__(self, box: Box, /) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Return both over ``box``."""
        window = raster_window(box)
        with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES), open_raster(self.path) as src:
            try:
                values = src.read(self.band, window=window, masked=False)
                inside = None if self.interior is None else src.read(self.interior, window=window, masked=False)
                hidden = self._hidden(src, window)
            except RasterioIOError as error:
                raise InputError(f"{self.path}: {box} cannot be read ({error}); is the file damaged?") from error
            data = self._as_bytes(values, src.nodatavals[self.band - 1])
        if hidden is not None:
            data = np.where(hidden, np.uint8(0), data)
        return data, inside

    def _hidden(self, src: DatasetReader, window: Window) -> NDArray[np.bool_] | None:
        """Return what masks and alpha hide; None where there are none."""
        flags = src.mask_flag_enums[self.band - 1]
        out = None
        if not flags or (MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags):  # no flag: the band's own
            out = src.read_masks(self.band, window=window) == 0
        if self.alpha is not None:
            clear = src.read(self.alpha, window=window) == 0
            out = clear if out is None else out | clear
        return out

    def _as_bytes(self, values: NDArray[np.generic], nodata: float | None) -> NDArray[np.uint8]:
        if self.class_id is not None:
            return np.where(values == self.class_id, 255, 1).astype(np.uint8)
        if values.dtype == np.uint8 and nodata == 0 and self.scaling.of_geoseg:
            return values  # type: ignore[return-value]
        known = np.isfinite(values)
        if nodata is not None and not np.isnan(nodata):  # a tag is written in text, with its own rounding
            known &= ~np.isclose(values, nodata, rtol=1e-6, atol=0)
        p = np.where(known, values, 0) * np.float64(self.scaling.scale) + self.scaling.offset
        least, most = p.min(initial=np.inf, where=known), p.max(initial=-np.inf, where=known)
        if least < -ROUNDING or most > 1 + ROUNDING:
            way = LOGITS if least < -ROUNDING else SAYS_FULL_SCALE
            raise InputError(f"{self.path}: values {least:g}..{most:g} are no probabilities 0..1; {way}")
        return np.where(known, 1 + np.rint(254 * np.clip(p.astype(np.float32), 0, 1)), 0).astype(np.uint8)


def open_probabilities(
    path: str, src: DatasetReader, *, band: int | str | None, class_id: int | None, full_scale: float | None
) -> ProbabilityBands:
    """Return what reads a band of ``src``, opened from ``path``, as probabilities, or as those of a class.

    band: 1-based number or description, None: see ``choose_band``. full_scale: the value that means p = 1, where 0
    means p = 0. Raises InputError for what is no probability, naming the flag that makes it one, and ConfigError.
    """
    number = choose_band(src, band)
    alpha = alpha_band(src)
    if number == alpha:
        raise InputError(f"{path}: band {number} is alpha, it hides pixels; name another with --band")
    if class_id is not None:
        if full_scale is not None:
            raise ConfigError("--full-scale means nothing to the classes of --class-id; leave one of them out")
        if src.nodatavals[number - 1] == class_id:
            raise InputError(
                f"{path}: {class_id} is the nodata value of band {number}, so no class; name another with --class-id, "
                f"or take the value away (gdal_edit.py -unsetnodata)"
            )
        return ProbabilityBands(located(path), number, class_id=class_id, alpha=alpha)
    scaling = _scaling(path, src, number, full_scale)
    return ProbabilityBands(located(path), number, scaling=scaling, alpha=alpha)


def choose_band(src: DatasetReader, band: int | str | None) -> int:
    """Return the 1-based number of ``band``, a number or a description; None is the only one beside alpha.

    Of geoseg's probabilities None is the last. Raises ConfigError where the band has to be named.
    """
    if band is not None:
        return band_number(src, band)
    alpha = alpha_band(src)
    data = [number for number in range(1, src.count + 1) if number != alpha]
    if len(data) == 1 or (data and all((src.descriptions[n - 1] or "").startswith("probability_") for n in data)):
        return data[-1]
    names = ", ".join(src.descriptions[n - 1] or str(n) for n in data[:20])
    raise ConfigError(f"{src.name}: {len(data)} bands; name one with --band: {names}")


def alpha_band(src: DatasetReader) -> int | None:
    """Return the 1-based number of the alpha band; one with another name is none, whatever its writer marked."""
    for number, (kind, name) in enumerate(zip(src.colorinterp, src.descriptions, strict=True), start=1):
        if kind is ColorInterp.alpha and (name or "alpha").lower() in ("alpha", "mask"):
            return number
    return None


def _scaling(path: str, src: DatasetReader, band: int, full_scale: float | None) -> Scaling:
    """Return how the values of ``band`` become probabilities; raises InputError where nothing says so."""
    if full_scale is not None:
        if not 0 < full_scale < np.inf:
            raise ConfigError(f"full-scale {full_scale:g}: give the value that means certain, above 0")
        return Scaling(1 / full_scale, 0.0)
    what = f"{path}: band {band}"
    if src.colorinterp[band - 1] is ColorInterp.palette:
        raise InputError(f"{what} has a palette, so it holds classes; pass --class-id")
    if src.descriptions[band - 1] == "confidence" and "GEOSEG_MODEL" in src.tags():
        raise InputError(
            f"{what} holds the confidence in whatever class a pixel has; draw probabilities.tif (predict "
            f"--probabilities), or classes.tif with --class-id"
        )
    stated = Scaling(src.scales[band - 1], src.offsets[band - 1])
    if stated != Scaling(1, 0) or np.dtype(src.dtypes[band - 1]).kind == "f":
        return stated
    raise InputError(
        f"{what} holds {src.dtypes[band - 1]} without a scale, so no probabilities; for a mask or classes pass "
        f"--class-id, else {SAYS_FULL_SCALE}"
    )
