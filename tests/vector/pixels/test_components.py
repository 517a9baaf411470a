import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from geoseg.vector.pixels.components import Components, find_components, sum_bytes
from geoseg.vector.pixels.runs import inside_runs, threshold_byte

RASTERS = arrays(
    np.uint8, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.sampled_from([0, 1, 90, 200, 255])
)


def components_at(probability: np.ndarray, threshold: float) -> tuple[Components, np.ndarray]:
    runs = inside_runs(probability, threshold_byte(threshold))
    found = find_components(runs)
    return found, sum_bytes(probability, runs, found)


@given(RASTERS, st.sampled_from([0.2, 0.5, 1.0]))
def test_components_equal_scipy_label(probability, threshold):
    found, byte_sum = components_at(probability, threshold)
    labels, n = ndimage.label(probability >= threshold_byte(threshold))
    index = np.arange(1, n + 1)
    assert len(found) == n
    assert found.area_px.tolist() == [int((labels == i).sum()) for i in index]
    assert byte_sum.tolist() == [int(probability[labels == i].sum(dtype=np.int64)) for i in index]
    first = [np.argwhere(labels == i)[0].tolist() for i in index]
    assert found.first_pixel.tolist() == first
    boxes = [(rows.start, cols.start, rows.stop, cols.stop) for rows, cols in ndimage.find_objects(labels)]
    assert found.box.tolist() == [list(box) for box in boxes]


def test_many_runs_outgrow_the_first_buffer():
    probability = np.zeros((80, 80), np.uint8)
    probability[:, ::2] = 255
    probability[79] = 255  # all 40 columns meet in the last row
    found, byte_sum = components_at(probability, 0.5)
    assert found.area_px.tolist() == [40 * 79 + 80]
    assert byte_sum.tolist() == [255 * (40 * 79 + 80)]
