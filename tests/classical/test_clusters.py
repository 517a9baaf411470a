"""k-means on points whose clusters are known."""

import numpy as np
import pytest

from geoseg.classical.clusters import kmeans

MIDDLES = np.array([[0.0, 0], [3, 3], [0, 9], [9, 9]])
POINTS = np.concatenate([m + np.random.default_rng(0).normal(0, 0.2, (50, 2)) for m in MIDDLES])


@pytest.mark.parametrize("seed", [0, 1])
def test_groups_are_found_in_order_of_their_sums_whatever_the_seed(seed):
    found = kmeans(POINTS, 4, seed=seed)
    assert np.abs(found.centres - MIDDLES).max() < 0.15
    assert found.shares.tolist() == [0.25] * 4
    assert found.spread == pytest.approx(0.2, abs=0.03)


def test_fewer_points_that_differ_are_refused():
    with pytest.raises(ValueError, match="3 clusters of 2 points"):
        kmeans(np.repeat(POINTS[:2], 5, axis=0), 3, seed=0)
