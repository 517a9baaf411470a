"""TrainedValues: which physical values a network was trained on, and how far a scene's are from them."""

from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from geoseg.models.value import Physical, Value

SHARES = (0.001, 0.01, 0.02, 0.05, *(n / 10 for n in range(1, 10)), 0.95, 0.98, 0.99, 0.999)
LEAST_SHARE = 1e-3  # of a bin without pixels: its logarithm is finite


class TrainedValues(Value):
    """Quantiles of the training pixels, per band, in physical units."""

    shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(SHARES, min_length=3, max_length=256)
    quantiles: tuple[tuple[Physical, ...], ...] = Field(description="per band, the values below which shares lie")
    bytes_alone: bool = Field(False, description="all scenes held bytes, 0 to 255")
    among: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (), description="per band, the largest stability index that one area of the training has against all"
    )

    @model_validator(mode="after")
    def _rises(self) -> Self:
        for row in (self.shares, *self.quantiles):
            if len(row) != len(self.shares) or list(row) != sorted(row):
                raise ValueError(f"{len(self.shares)} shares and as many quantiles per band, both from low to high")
        if len(self.among) not in (0, len(self.quantiles)):
            raise ValueError(f"among: {len(self.among)} indices of {len(self.quantiles)} bands")
        return self

    def at(self, share: float) -> NDArray[np.float64]:
        """Return per band the value below which ``share`` of the training pixels lie."""
        return np.array([np.interp(share, self.shares, row) for row in self.quantiles])

    def outside(self, band: int, values: NDArray[np.float32]) -> float:
        """Return the share of a scene's values that lie beyond all but 0.2 % of the training pixels."""
        low, high = np.interp([0.001, 0.999], self.shares, self.quantiles[band])
        return float(((values < low) | (values > high)).mean())

    def stability_index(self, band: int, values: NDArray[np.float32]) -> float:
        """Return the population stability index of a scene's values: over the tenths of the training pixels.

        Tenths that share one value count as one. 0: the same distribution; 0.25 and more: it has shifted.
        """
        edges, last = np.unique(
            np.interp(np.arange(1, 10) / 10, self.shares, self.quantiles[band])[::-1], return_index=True
        )
        tenths = 9 - last  # np.unique names the first of equal ones: of the reversed row, the last
        wanted = np.diff([0, *(tenths / 10), 1])
        found = np.bincount(np.searchsorted(edges, values), minlength=len(wanted)) / len(values)
        wanted, found = np.maximum(wanted, LEAST_SHARE), np.maximum(found, LEAST_SHARE)
        return float(((found - wanted) * np.log(found / wanted)).sum())


def trained_values(pixels: list[NDArray[np.float32]], *, bytes_alone: bool) -> TrainedValues:
    """Return what (C, N) training pixels of each area hold, NaN where a band is lacking.

    How far areas are from all of them is told where there are several.
    """
    quantiles = np.nanquantile(np.concatenate(pixels, 1), SHARES, axis=1, method="lower").T
    found = TrainedValues(
        quantiles=tuple(tuple(float(f"{v:.6g}") for v in row) for row in quantiles), bytes_alone=bytes_alone
    )
    several = [area for area in pixels if area.shape[1]]
    if len(several) < 2:
        return found
    known = [[band[~np.isnan(band)] for band in area] for area in several]
    among = (
        max(found.stability_index(i, area[i]) for area in known if len(area[i])) for i in range(len(found.quantiles))
    )
    return found.model_copy(update={"among": tuple(round(index, 4) for index in among)})
