"""Layers: one raster of a job, and all that anybody needs to know to compress, shrink, describe and read it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.values.classes import NODATA, ClassMap

Dtype = Literal["uint8", "uint16", "uint32", "int16", "float32"]
Kind = Literal["category", "ids", "probability", "number"]
Pixels = NDArray[np.generic]
FIRST_OBJECT = 256  # of the ids in a panoptic raster; below are class ids of stuff, and 0, nodata
PROBABILITY_SCALE, PROBABILITY_OFFSET = 1 / 254, -1 / 254  # byte b means p = (b - 1) / 254; 0 is nodata


class Treatment(NamedTuple):
    """How the pixels of a kind are handled."""

    overview: Literal["mode", "mean"]  # of what is known in 2 x 2 pixels
    resampling: Literal["MODE", "AVERAGE"]  # GDAL's name for it
    deflate: int  # zlib's level
    run_lengths: bool  # whether zlib looks for runs of equal bytes alone


# Demo outputs, one core: classes take 30 % less at level 6 than at 4, at 172 Mpx/s. Probabilities are noise to a search
# for repetitions: run lengths alone make them 2 % larger than level 4 does, at twice the speed (125 against 60 Mpx/s);
# level 6 makes them 4 % smaller, at 25 Mpx/s.
TREATMENT: Mapping[Kind, Treatment] = {
    "category": Treatment("mode", "MODE", 6, run_lengths=False),
    "ids": Treatment("mode", "MODE", 6, run_lengths=False),
    "probability": Treatment("mean", "AVERAGE", 4, run_lengths=True),
    "number": Treatment("mean", "AVERAGE", 4, run_lengths=True),
}
# The rasters that a run may write, as NAME.tif, in this order; tasks make them.
RASTERS: Mapping[str, Kind] = {
    "classes": "category",
    "confidence": "probability",
    "entropy": "probability",
    "probabilities": "probability",
}
# TIFF's differences along a row before deflate: 2 of whole values, 3 of the bytes of floats, the highest ones first.
PREDICTOR: Mapping[Dtype, int] = {"uint8": 2, "uint16": 2, "uint32": 2, "int16": 2, "float32": 3}


@dataclass(frozen=True, slots=True)
class Layer:
    """One raster layer of a job: a band of the parts and, where it has a file, of an output.

    A value v of it means v x scale + offset, in ``unit``.
    """

    name: str  # of the band, unique in its job
    kind: Kind  # class ids, ids of objects, probabilities, or any other numbers: what ``TREATMENT`` goes by
    file: str | None = None  # name of the output that holds it; None: it stays in the parts
    dtype: Dtype = "uint8"
    nodata: float = NODATA  # the value that says nothing; may be NaN in floats
    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""
    description: str = ""  # one sentence for the band's tags
    classes: ClassMap | None = None  # what the ids of a category mean

    @property
    def treatment(self) -> Treatment:
        """How its pixels are handled."""
        return TREATMENT[self.kind]

    @property
    def bytes_per_px(self) -> int:
        """What a pixel takes."""
        return np.dtype(self.dtype).itemsize

    def blank(self, shape: tuple[int, ...]) -> Pixels:
        """Return pixels of nodata."""
        return np.full(shape, self.nodata, self.dtype)

    def is_nodata(self, pixels: Pixels) -> NDArray[np.bool_]:
        """Return which pixels say nothing, in the shape of ``pixels``."""
        return np.isnan(pixels) if np.isnan(self.nodata) else pixels == pixels.dtype.type(self.nodata)

    def as_json(self) -> dict[str, Any]:
        """Return the layer as JSON values, read back by ``from_json``."""
        nodata = "nan" if np.isnan(self.nodata) else self.nodata  # JSON has no NaN
        return {**asdict(self), "nodata": nodata, "classes": self.classes and self.classes.as_json()}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """Return the layer that ``as_json`` has told of; raises a builtin error for anything else."""
        classes = row["classes"]
        known = {"nodata": float(row["nodata"]), "classes": None if classes is None else ClassMap.from_json(classes)}
        return cls(**{**row, **known})


def class_layer(name: str, classes: ClassMap, *, file: str | None = None) -> Layer:
    """Return a layer of the ids of ``classes``, uint8 with 0 for nodata."""
    return Layer(name, "category", file, description="Class of every pixel", classes=classes)


def probability_layer(name: str, description: str, *, file: str | None = None) -> Layer:
    """Return a layer of probabilities as bytes: 0 is nodata, 1..255 are p = 0..1."""
    return Layer(name, "probability", file, scale=PROBABILITY_SCALE, offset=PROBABILITY_OFFSET, description=description)
