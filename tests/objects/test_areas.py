"""Areas: discs that touch are counted right, and tiles of any size give what the whole scene gives."""

import numpy as np
import pytest

from geoseg.objects.areas import SUB, AreaRules, area_tile
from geoseg.values.box import Box

RULES = AreaRules((2,), drop=round(1.5 * SUB), min_px=1)


def discs(*places):
    """Return classes (40, 80) with discs of class 2 at (row, col, radius)."""
    y, x = np.mgrid[:40, :80]
    inside = np.any([(y - r) ** 2 + (x - c) ** 2 <= radius**2 for r, c, radius in places], axis=0)
    return np.where(inside, 2, 1).astype(np.uint8)


def parted(classes, rules=RULES):
    whole = Box(0, 0, *classes.shape)
    return area_tile(classes, np.full(classes.shape, 255, np.uint8), whole, whole, np.empty(0, np.int64), rules)


@pytest.mark.parametrize(
    ("places", "count"),
    [
        ([(20, 20, 9)], 1),
        ([(20, 20, 9), (20, 38, 9)], 2),  # they touch
        ([(20, 20, 9), (20, 34, 9), (20, 48, 8)], 3),  # they overlap
        ([(20, 10 + i, 6) for i in range(50)], 1),  # a bar, as wide everywhere
        ([(0, 20, 9), (39, 38, 9)], 2),  # the scene cuts them
    ],
)
def test_discs_are_counted(places, count):
    local, segments = parted(discs(*places))
    assert len(segments) == count
    assert segments.pixels.sum() == (local > 0).sum() == (discs(*places) == 2).sum()


def test_touching_discs_come_back():
    places = [(20, 20, 9), (20, 38, 9)]
    local, segments = parted(discs(*places))
    for i, place in enumerate(places, start=1):
        alone = discs(place) == 2
        assert ((local == i) & alone).sum() / ((local == i) | alone).sum() > 0.97
    assert segments.score.tolist() == [1, 1]
