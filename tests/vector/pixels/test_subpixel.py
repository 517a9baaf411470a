import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from geoseg.vector.pixels.runs import inside_runs
from geoseg.vector.pixels.subpixel import trace_rings

LOW = 128


def traced(probability):
    """The rings as shapely polygons with holes, in raster order."""
    rings = trace_rings(probability, inside_runs(probability, LOW), LOW)
    points = [
        rings.xy[rings.start[k] : rings.start[k + 1]].astype(float) + rings.first_pixel[k, ::-1]
        for k in range(len(rings))
    ]
    holes = [[points[h] for h in np.flatnonzero(rings.parent == k)] for k in range(len(rings))]
    shells = np.flatnonzero(rings.parent < 0)
    return np.array([shapely.Polygon(points[k], holes[k]) for k in shells], object), rings


@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_contours_separate_the_centres_of_inside_and_outside_pixels(probability):
    polygons, rings = traced(probability)
    labels, n = ndimage.label(probability >= LOW)
    assert len(polygons) == n
    assert shapely.is_valid(polygons).all()
    assert ((rings.area_px > 0) == (rings.parent < 0)).all()
    rows, cols = np.indices(probability.shape) + 0.5
    for i, polygon in enumerate(polygons, start=1):
        assert (shapely.contains_xy(polygon, cols, rows) == (labels == i)).all()
    i, j = shapely.STRtree(polygons).query(polygons, predicate="intersects") if n else (np.zeros(0), np.zeros(0))
    assert (i == j).all()


@pytest.mark.parametrize("wall", [3.1, 3.5, 3.9])
def test_a_blurred_wall_is_found_between_pixels(wall):
    centres = np.arange(12) + 0.5
    probability = np.tile(np.round(np.clip((centres - wall) / 4 + 0.5, 0.01, 1) * 255), (6, 1)).astype(np.uint8)
    (polygon,), _ = traced(probability)
    assert polygon.bounds == pytest.approx((wall, 0, 12, 6), abs=0.01)


def test_the_crossing_is_linear_and_half_way_to_nodata_and_to_the_edge():
    probability = np.array([[0, 200, 200, 100], [0, 200, 200, 100]], np.uint8)
    (polygon,), _ = traced(probability)
    assert polygon.bounds == pytest.approx((1, 0, 2.5 + (200 - 127.5) / 100, 2), abs=1 / 1024)


def test_all_inside_all_outside_checkerboard_and_a_single_pixel():
    (frame,), _ = traced(np.full((4, 7), 255, np.uint8))
    assert frame.area == pytest.approx(28 - 4 / 8)  # corners are cut between two half-way points
    assert len(traced(np.ones((4, 7), np.uint8))[0]) == 0
    checkers, _ = traced((np.indices((20, 21)).sum(0) % 2 * 255).astype(np.uint8))
    assert len(checkers) == 210
    (speck,), _ = traced(np.array([[255]], np.uint8))
    assert speck.area == pytest.approx(0.5)


def test_ring_coordinates_do_not_depend_on_where_the_raster_was_cut():
    noise = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal((90, 90)), 2)
    probability = np.clip(128 + noise * 900, 1, 255).astype(np.uint8)
    _, whole = traced(probability)
    _, part = traced(np.ascontiguousarray(probability[20:, 15:]))
    found = 0
    for k in range(len(part)):
        same = np.flatnonzero((whole.first_pixel == part.first_pixel[k] + (20, 15)).all(1))
        points = part.xy[part.start[k] : part.start[k + 1]]
        if (part.first_pixel[k] + points.min(0)[::-1] < 1).any():
            continue  # it may be cut off
        (m,) = same
        assert (whole.xy[whole.start[m] : whole.start[m + 1]] == points).all()
        found += 1
    assert found >= 10
