"""Raster: pixels in memory together with their place, their bands and their validity."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.values.bands import BandSet
from geoseg.values.grid import Grid


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """Pixels with their georeference.

    data: (C, H, W); valid: (H, W) bool, True = usable in every band; grid: shape (H, W); bands: C of them.
    """

    data: NDArray[np.generic]
    valid: NDArray[np.bool_]
    grid: Grid
    bands: BandSet

    def __post_init__(self) -> None:
        expected = (len(self.bands), *self.grid.shape)
        if self.data.shape != expected or self.valid.shape != self.grid.shape:
            raise ValueError(
                f"data {self.data.shape} and valid {self.valid.shape} do not fit bands and grid {expected}"
            )
