"""Cleaning of class maps: opening, closing and small patches, each looking a bounded way, so that tiles change no bit.

0 is nodata: it stays, and shapes as what is beside it. Distances are whole or fractional pixels, compared exactly.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Ids = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CleaningRules:
    """What is done to a class map, in this order."""

    open_px: float = 0
    """Radius: what no disc of it fits into goes to the commonest class around."""
    close_px: float = 0
    """Radius: gaps that no disc of it fits into are filled, of ``class_id``."""
    sieve_px: int = 0
    """Patches of fewer pixels go to the class with most of their border."""
    class_id: int | None = None
    """The only class that is opened and closed; None: every class is opened."""

    @property
    def halo_px(self) -> int:
        """Pixels around a tile that its cleaned classes depend on."""
        opened, closed = 3 * ceil(self.open_px), 2 * ceil(self.close_px)
        return opened + closed + (2 * self.sieve_px + 2 if self.sieve_px else 0)


def cleaned(classes: Ids, rules: CleaningRules) -> Ids:
    """Return cleaned classes, (h, w); near the array's edges, but where they are the map's, they are not right."""
    if rules.open_px:
        classes = _opened(classes, rules.open_px, rules.class_id)
    if rules.close_px and rules.class_id is not None:
        other = (classes != rules.class_id) & (classes != 0)
        classes = np.where(other & ~_fits(other, classes == 0, rules.close_px), np.uint8(rules.class_id), classes)
    return _sieved(classes, rules.sieve_px) if rules.sieve_px else classes


def _fits(mask: Mask, nodata: Mask, radius: float) -> Mask:
    """Return the pixels of a mask that a disc of ``radius`` within it covers; nodata and what is beyond count as it.

    >>> bar = np.ones((3, 9), bool); bar[:, 4:] = False; bar[1, 4:] = True
    >>> _fits(bar, np.zeros_like(bar), 1)[1].astype(int)
    array([1, 1, 1, 1, 1, 0, 0, 0, 0])
    """
    inside = mask | nodata
    middles = inside if inside.all() else ndimage.distance_transform_edt(inside) > radius
    if not middles.any() or middles.all():
        return mask & middles
    covered: Mask = ndimage.distance_transform_edt(~middles) <= radius
    return mask & covered


def _opened(classes: Ids, radius: float, class_id: int | None) -> Ids:
    present = [int(k) for k in np.unique(classes) if k]
    nodata = classes == 0
    kept = {k: classes == k if class_id not in (None, k) else _fits(classes == k, nodata, radius) for k in present}
    freed = ~nodata
    for own in kept.values():
        freed &= ~own
    if not freed.any():
        return classes
    most, best = np.zeros(classes.shape, np.int64), classes.copy()
    for k, own in kept.items():
        count = _around(own, ceil(radius))
        better = freed & (count > most) & (classes != k)
        most[better], best[better] = count[better], k
    return best


def _around(mask: Mask, reach: int) -> NDArray[np.int64]:
    """Return how many pixels of a mask lie in the square around each pixel."""
    total = np.pad(mask, ((reach + 1, reach), (reach + 1, reach))).cumsum(0, dtype=np.int64).cumsum(1)
    side = 2 * reach + 1
    return np.asarray(total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side])


def _sieved(classes: Ids, least: int) -> Ids:
    """Give patches of fewer than ``least`` pixels to the class of the larger patches with most of their border."""
    label, count, large = np.zeros(classes.shape, np.int64), 0, [True]
    for k in np.unique(classes[classes > 0]):
        own, found = ndimage.label(classes == k)
        label[own > 0] = own[own > 0] + count
        large += (np.bincount(own.ravel(), minlength=found + 1)[1:] >= least).tolist()
        count += found
    is_large = np.array(large)
    small = ~is_large[label]
    if not small.any():
        return classes
    border = np.zeros((count + 1, 256), np.int64)
    for rows, cols in ((slice(1, None), slice(None)), (slice(None), slice(1, None))):
        back_rows, back_cols = (slice(None, -1) if part.start else part for part in (rows, cols))
        here, there = (rows, cols), (back_rows, back_cols)
        for one, other in ((here, there), (there, here)):
            counts = small[one] & is_large[label[other]] & (classes[other] > 0)
            np.add.at(border, (label[one][counts], classes[other][counts]), 1)
    best = border.argmax(1).astype(np.uint8)
    best[border.max(1) == 0] = 0
    to = best[label]
    return np.where(small & (to > 0), to, classes)
