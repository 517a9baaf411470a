"""What a building costs to describe is learnt from the building."""

import numpy as np
import pytest

from geoseg.vector.fit.costs import (
    COARSE_MISFIT_COST,
    LEAST_JOG_PX,
    MISFIT_COST,
    Walls,
    first_costs,
    learnt_costs,
    least_jog_px,
)
from geoseg.vector.fit.ring import sample_ring
from geoseg.vector.fit.walls import free_axes


def square(size_px, wobble_px, seed=0):
    """A square ring whose points are off by correlated noise, and its four walls."""
    t = np.linspace(0, 4, round(4 * size_px), endpoint=False)
    corner = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) * size_px
    side = t.astype(int)
    xy = corner[side] + (t - side)[:, None] * (corner[side + 1] - corner[side])
    noise = np.random.default_rng(seed).standard_normal(xy.shape)
    smooth = (noise + np.roll(noise, 1, 0) + np.roll(noise, 2, 0)) / 3**0.5
    ring = sample_ring((xy + wobble_px * smooth).astype(np.float32), np.zeros(len(xy), np.bool_), 1.0, 1.0)
    ends = np.rint(np.linspace(0, len(ring.xy), 5)).astype(np.int64)
    return ring, Walls(np.zeros(4, np.int64), ends[:-1], ends[1:])


def costs(size_px, wobble_px):
    ring, walls = square(size_px, wobble_px)
    return learnt_costs(ring, walls, free_axes())


def test_misfit_costs_less_the_more_the_contour_wobbles():
    calm, usual, wild = (costs(60, wobble).misfit for wobble in (0.1, 0.5, 1.0))
    assert calm > usual > wild
    assert calm / wild == pytest.approx(16, rel=0.3)  # as the variance does, within the range


def test_corners_cost_more_where_they_are_rare_and_jogs_must_be_higher():
    house, block = costs(20, 0.4), costs(300, 0.4)
    assert block.corner > 2 * house.corner
    assert least_jog_px(block) > least_jog_px(house) >= LEAST_JOG_PX


def test_the_first_description_follows_the_contour_less_than_any_other():
    ring, _ = square(60, 0.5)
    first = first_costs(ring, COARSE_MISFIT_COST)
    assert first.misfit < min(costs(60, wobble).misfit for wobble in (0.1, 0.5, 2.0))


def test_the_first_corners_cost_less_on_a_small_building_and_never_more_than_usual():
    small, house, block = (first_costs(square(size, 0.1)[0], MISFIT_COST).corner for size in (12, 20, 300))
    assert small < house < block == 1
