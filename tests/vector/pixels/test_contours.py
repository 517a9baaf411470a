import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from geoseg.vector.pixels.components import find_components
from geoseg.vector.pixels.contours import simplify_apart, trace_edges
from geoseg.vector.pixels.runs import inside_runs


def contours_of(inside):
    runs = inside_runs(np.where(inside, 255, 7).astype(np.uint8), 128)
    rings = trace_edges(runs, find_components(runs))
    return rings.polygons(np.ones(len(rings), bool)), rings


@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_each_contour_holds_exactly_the_pixels_of_its_component(inside):
    contours, rings = contours_of(inside)
    labels, n = ndimage.label(inside)
    rows, cols = np.indices(inside.shape) + 0.5
    assert len(contours) == n
    assert shapely.is_valid(contours).all()
    assert ((rings.area_px > 0) == (rings.parent < 0)).all()
    for i, contour in enumerate(contours, start=1):
        assert (shapely.contains_xy(contour, cols, rows) == (labels == i)).all()
        assert contour.area == (labels == i).sum()


def test_a_raster_that_is_all_inside_gives_its_frame():
    (frame,), rings = contours_of(np.ones((3, 5), bool))
    assert frame.equals(shapely.box(0, 0, 5, 3))
    assert rings.xy.tolist() == [[0, 0], [5, 0], [5, 3], [0, 3]]


@pytest.mark.parametrize("tolerance", [1.1, 2.0])
def test_simplification_of_many_is_that_of_each_alone_wherever_the_pixels_begin(tolerance):
    noise = ndimage.gaussian_filter(np.random.default_rng(5).standard_normal((120, 120)), 2)
    contours, _ = contours_of(noise > 0)
    together = simplify_apart(contours, np.full(len(contours), tolerance))
    assert shapely.is_valid(together).all()
    assert shapely.get_num_coordinates(together).sum() < 0.8 * shapely.get_num_coordinates(contours).sum()
    for k, contour in enumerate(contours):
        away = shapely.transform(np.array([contour]), lambda xy: xy + np.array([5000, 70]))
        alone = simplify_apart(away, np.array([tolerance]))
        assert shapely.equals_exact(alone[0], shapely.transform(together[k], lambda xy: xy + np.array([5000, 70])))
