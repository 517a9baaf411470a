"""Grouping: which object each pixel is of, from blended centres and offsets (Panoptic-DeepLab, Cheng et al. 2020).

A centre is a pixel whose value is the largest around it; a pixel of a thing belongs to the centre nearest to where its
offset points. Every rule looks a bounded way and all arithmetic is in integers, so tiles with a halo of ``halo_px``
change no bit. An object is called by the pixel of its centre, which is the same in any tile.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.numba_cache import njit

NOBODY = -1  # the key of pixels that are of no object
SUB = 256  # parts of a pixel in which offsets are measured
LEVELS = 32767  # of an offset to either side: 1..65535 stand for -span..span


@dataclass(frozen=True, slots=True)
class GroupingRules:
    """What becomes an object."""

    things: tuple[int, ...]
    """Ids of the classes whose pixels are grouped."""
    span: tuple[int, int]
    """How far offsets reach along rows and columns, in 1 / SUB px."""
    peak_px: int
    """A centre is the largest value within so many rows and columns."""
    least: int
    """Least value of a centre, 1..65535."""
    reach_px: int
    """How far from a centre an offset may point."""
    min_px: int
    """Smaller objects are left out."""

    @property
    def extent_px(self) -> int:
        """Rows or columns from a centre to the farthest pixel that may belong to it."""
        return -(-max(self.span) // SUB) + self.reach_px

    @property
    def halo_px(self) -> int:
        """Pixels around a tile that its objects depend on: a centre may lie there, and what decides on it."""
        return self.extent_px + self.peak_px


def grouped(
    thing: NDArray[np.bool_], centre: NDArray[np.uint16], offset: NDArray[np.uint16], rules: GroupingRules
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return which centre each pixel of ``thing`` (h, w) belongs to, NOBODY elsewhere, and all centres (N, 2) row, col.

    centre: (h, w), offset: (2, h, w) along rows and columns; 0 is nodata. Centres come in raster order; ties go to the
    first.

    >>> rules = GroupingRules((1,), span=(2 * SUB, 2 * SUB), peak_px=1, least=9, reach_px=1, min_px=1)
    >>> here, left = 32768, 32768 - LEVELS // 2
    >>> offset = np.array([[[here] * 3], [[here, left, here]]], np.uint16)
    >>> of, centres = grouped(np.ones((1, 3), np.bool_), np.array([[50, 0, 9]], np.uint16), offset, rules)
    >>> of.tolist(), centres.tolist()
    ([[0, 0, 1]], [[0, 0], [0, 2]])
    """
    centres = np.argwhere(_peaks(centre, rules.peak_px, rules.least)).astype(np.int64)
    first = np.searchsorted(centres[:, 0] // rules.reach_px, np.arange(len(thing) // rules.reach_px + 2))
    return _assigned(thing, offset, centres, first, rules.span, rules.reach_px), centres


@njit(nogil=True, cache=True)
def _peaks(centre: NDArray[np.uint16], radius: int, least: int) -> NDArray[np.bool_]:
    """Return where the largest values around are; of equal ones the first in raster order."""
    height, width = centre.shape
    out = np.zeros((height, width), np.bool_)
    for row in range(height):
        for col in range(width):
            value = centre[row, col]
            largest = value >= least
            r = max(row - radius, 0)
            while largest and r < min(row + radius + 1, height):
                for c in range(max(col - radius, 0), min(col + radius + 1, width)):
                    before = r < row or (r == row and c < col)
                    if centre[r, c] > value or (before and centre[r, c] == value):
                        largest = False
                        break
                r += 1
            out[row, col] = largest
    return out


@njit(nogil=True, cache=True)
def _assigned(
    thing: NDArray[np.bool_],
    offset: NDArray[np.uint16],
    centres: NDArray[np.int64],
    first: NDArray[np.int64],
    span: tuple[int, int],
    reach: int,
) -> NDArray[np.int32]:
    """See ``grouped``; first: the number of the first centre of every ``reach`` rows."""
    height, width = thing.shape
    out = np.full((height, width), NOBODY, np.int32)
    limit = (reach * SUB) ** 2
    for row in range(height):
        for col in range(width):
            if not thing[row, col]:
                continue
            y = row * SUB + ((int(offset[0, row, col]) - LEVELS - 1) * span[0]) // LEVELS
            x = col * SUB + ((int(offset[1, row, col]) - LEVELS - 1) * span[1]) // LEVELS
            best = limit + 1
            low, high = max(y // SUB - reach, 0) // reach, min(y // SUB + reach + 1, height - 1) // reach
            if low > high:
                continue
            for i in range(first[low], first[high + 1]):
                dy, dx = centres[i, 0] * SUB - y, centres[i, 1] * SUB - x
                far = dy * dy + dx * dx
                if far < best:
                    best = far
                    out[row, col] = i
    return out
