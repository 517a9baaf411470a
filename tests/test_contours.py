import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from geoseg.polygons.components import find_components
from geoseg.polygons.contours import pixel_contours
from geoseg.polygons.runs import find_runs


@settings(deadline=None)  # numba compiles in the first example
@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_each_contour_holds_exactly_the_pixels_of_its_component(inside):
    probability = np.where(inside, 255, 7).astype(np.uint8)
    contours = pixel_contours(probability, find_components(probability, find_runs(probability, 128)), 128)
    labels, n = ndimage.label(inside)
    rows, cols = np.indices(inside.shape) + 0.5
    assert len(contours) == n
    assert shapely.is_valid(contours).all()
    for i, contour in enumerate(contours, start=1):
        assert (shapely.contains_xy(contour, cols, rows) == (labels == i)).all()
        assert contour.area == (labels == i).sum()


def test_a_raster_that_is_all_inside_gives_its_frame():
    probability = np.full((3, 5), 200, np.uint8)
    (frame,) = pixel_contours(probability, find_components(probability, find_runs(probability, 128)), 128)
    assert frame.equals(shapely.box(0, 0, 5, 3))
