"""Outlines along pixel edges: their pixels found in any position, and the contour that marching squares would draw."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.features import shapes
from shapely import affinity

from geoseg.vector.footprints.staircase import Steps, find_steps, step_contours
from geoseg.vector.pixels.runs import inside_runs
from geoseg.vector.pixels.subpixel import trace_rings


def staircases(mask, *, connectivity=4):
    found = [shapely.geometry.shape(g) for g, v in shapes(mask.astype(np.uint8), connectivity=connectivity) if v]
    return np.array(found, object)


def blobs(seed, size=80):
    """A few houses at odd angles as pixels."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[0:size, 0:size]
    mask = np.zeros((size, size), bool)
    for _ in range(4):
        row, col, a = *rng.uniform(15, size - 15, 2), rng.uniform(0, np.pi)
        u, v = (cols - col) * np.cos(a) + (rows - row) * np.sin(a), (rows - row) * np.cos(a) - (cols - col) * np.sin(a)
        mask |= (np.abs(u) < rng.uniform(5, 14)) & (np.abs(v) < rng.uniform(5, 9))
    return mask


@given(st.integers(0, 50), st.floats(-44, 44), st.floats(0.1, 3), st.floats(0.6, 1.6), st.sampled_from([0, 1e-3, 0.02]))
def test_the_pixels_are_found_wherever_they_lie(seed, angle, size, aspect, noise):
    scaled = shapely.transform(staircases(blobs(seed)), lambda xy: xy * (size, size * aspect))
    turned = np.array([affinity.rotate(p, angle, origin=(0, 0)) for p in scaled], object)
    shaken = shapely.transform(turned, lambda xy: xy + noise * size * np.sin(1e5 * xy))
    steps = find_steps(shaken)
    assert steps is not None
    assert np.degrees(steps.angle) == pytest.approx(angle, abs=1)
    assert (steps.along, steps.across) == pytest.approx((size, size * aspect), rel=0.02)
    assert steps.size == pytest.approx(size * aspect**0.5, rel=0.02)


def test_other_outlines_have_no_pixels():
    rng = np.random.default_rng(1)
    houses = np.array([shapely.box(0, 0, *rng.uniform(5, 20, 2)) for _ in range(40)], object)
    turned = np.array([affinity.rotate(h, 17 * k) for k, h in enumerate(staircases(blobs(3)).repeat(9))], object)
    few = staircases(np.eye(3, dtype=bool))
    planned = np.array([shapely.box(24 * k, 0, 24 * k + 8 * (1 + k % 2), 16) for k in range(20)], object)
    for polygons in (houses, turned, few, planned, np.empty(0, object)):
        assert find_steps(polygons) is None


@given(arrays(np.bool_, (9, 11)))
def test_the_points_are_those_of_marching_squares_on_the_mask(mask):
    rings = shapely.get_rings(staircases(mask))
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    xy = xy[np.append(ring[1:] == ring[:-1], False)[: len(ring)]]
    start = np.concatenate([[0], np.cumsum(shapely.get_num_coordinates(rings) - 1)]).astype(np.int64)
    middles, ends = step_contours(xy, start, Steps(0.0, 1.0, 1.0))
    assert ends[-1] == len(middles)
    data = np.where(mask, 200, 55).astype(np.uint8)  # symmetric about the threshold: crossings half-way
    traced = trace_rings(data, inside_runs(data, 128), 128)
    placed = traced.xy + np.repeat(traced.first_pixel[:, ::-1], np.diff(traced.start), axis=0)
    assert sorted(map(tuple, (np.rint(middles * 2) / 2).tolist())) == sorted(map(tuple, placed.tolist()))


def test_rings_that_are_no_staircases_stay_as_they_are():
    house = np.array([(0, 0), (7.3, 0), (7.3, 4.4), (0, 4.4)])
    stairs = np.array([(0, 0), (3, 0), (3, 2), (0, 2.0)])
    xy, start = step_contours(np.concatenate([house, stairs]), np.array([0, 4, 8]), Steps(0.0, 1.0, 1.0))
    assert start.tolist() == [0, 4, 14]
    assert (xy[:4] == house).all()
    assert xy[4:7].tolist() == [[0.5, 0], [1.5, 0], [2.5, 0]]
