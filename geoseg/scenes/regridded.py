"""Regridded: a file whose pixels have another size or start than its scene's, along the same axes."""

from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geoseg.scenes.scene import Fetch
from geoseg.tiling.resample import resample_stored
from geoseg.tiling.taps import AxisMap, source_box
from geoseg.values.box import Box
from geoseg.values.grid import Grid
from geoseg.values.resampling import Rule

FINEST = 10_000  # sizes and starts of pixels are fractions of smaller denominators: 1e-8 px apart at most
LARGEST_STEP = 64  # pixels of the file that one of the scene may cover


@dataclass(frozen=True, slots=True)
class Regridded:
    """Where a scene's pixels lie in a file, by rows and by columns, and what they take of its pixels."""

    rows: AxisMap
    cols: AxisMap
    rule: Rule

    @property
    def files(self) -> tuple[str, ...]:
        """See ``Placing``."""
        return ()

    @classmethod
    def between(cls, file: Grid, scene: Grid, rule: Rule) -> Self | None:
        """Return how a file is brought onto a scene's grid, None where one is turned against the other, or far off."""
        if file.crs != scene.crs:
            return None
        t = ~file.transform @ scene.transform
        corners = [t @ c for c in ((0, 0), (scene.width, 0), (0, scene.height))]
        turned = max(abs(corners[1][1] - corners[0][1]), abs(corners[2][0] - corners[0][0])) > 1e-3
        if turned or not (0 < t.a <= LARGEST_STEP and 0 < t.e <= LARGEST_STEP):
            return None
        if not (-scene.width * t.a < t.c < file.width and -scene.height * t.e < t.f < file.height):
            return None  # they share no ground
        return cls(_axis(file.height, t.f, t.e), _axis(file.width, t.c, t.a), rule)

    def bring(self, box: Box, fetch: Fetch) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """See ``Placing``."""
        taps = self.rows.taps(box.row0, box.row1, self.rule), self.cols.taps(box.col0, box.col1, self.rule)
        data, known = fetch(source_box(taps))
        bands = [resample_stored(band[None], mask, taps) for band, mask in zip(data, known, strict=True)]
        return np.concatenate([band for band, _ in bands]), np.stack([mask for _, mask in bands])


def _axis(length: int, start: float, step: float) -> AxisMap:
    begin, size = Fraction(start).limit_denominator(FINEST), Fraction(step).limit_denominator(FINEST)
    unit = lcm(begin.denominator, size.denominator)
    return AxisMap(length, int(begin * unit), int(size * unit), unit)
