"""Each view of --tta d4 alone gives the same objects as none, of a network that points to their centres."""

import numpy as np
import panoptic
import pytest

from geoseg.objects.grouping import LEVELS, NOBODY, SUB, GroupingRules, grouped
from geoseg.tiling.blend import quantise
from geoseg.tiling.ramp import PROB_ONE
from geoseg.tiling.views import TURNS, View
from geoseg.training.things import bumps_and_offsets

RULES = GroupingRules((1,), (panoptic.RANGE_PX * SUB,) * 2, peak_px=3, least=6000, reach_px=4, min_px=1)


@pytest.fixture(scope="module")
def ids():
    return panoptic.truth_of((140, 190), density=4e-3)[1]


def objects_seen(view, ids, *, turned=True):
    """Return the object of each pixel where a network that knows the truth has seen a view of it."""
    seen = view.apply(ids[None, None].astype(np.float32))[0, 0].astype(np.int32)
    bumps, offsets = bumps_and_offsets(seen, sigma_px=2)
    said = np.concatenate([bumps[None], (offsets / panoptic.RANGE_PX + 1) / 2]).astype(np.float32)
    centre, rows, cols = quantise(view.undo(said[None]))[0]
    if turned:
        rows, cols = view.undo_vectors(rows, cols)
    centre, *vectors = (1 + (v.astype(np.int64) * 2 * LEVELS + PROB_ONE // 2) // PROB_ONE for v in (centre, rows, cols))
    return grouped(ids > 0, centre.astype(np.uint16), np.stack(vectors).astype(np.uint16), RULES)


@pytest.mark.parametrize("view", [view for view in TURNS["d4"] if view != View()], ids=str)
def test_a_view_alone_gives_the_objects_that_none_gives(ids, view):
    (own, centres), (again, same) = objects_seen(View(), ids), objects_seen(view, ids)
    assert len(centres) > 30
    np.testing.assert_array_equal(centres, same)
    np.testing.assert_array_equal(own, again)
    assert (own[ids > 0] != NOBODY).mean() > 0.99
    astray, _ = objects_seen(view, ids, turned=False)
    assert (astray[ids > 0] != own[ids > 0]).mean() > 0.2  # vectors that stay as the view has them
