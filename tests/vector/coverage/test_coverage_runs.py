import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from geoseg.vector.coverage.patches import measure_patches, merge_runs
from geoseg.vector.pixels.components import OUTSIDE, label_runs
from geoseg.vector.pixels.runs import Runs, find_runs, joined_strips

CLASSES = arrays(np.uint8, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(0, 3))
NODATA = -(2**31)


def runs_of(classes: np.ndarray, valid: np.ndarray | None = None, *, strip: int = 1000) -> Runs:
    """The runs of a raster that comes in strips of ``strip`` rows."""
    parts = [slice(row, row + strip) for row in range(0, len(classes), strip)]
    return joined_strips(
        [
            find_runs(np.ascontiguousarray(classes[p]), None if valid is None else np.ascontiguousarray(valid[p]))
            for p in parts
        ]
    )


def painted(runs: Runs, of_run: np.ndarray, *, outside: int = NODATA) -> np.ndarray:
    """One number per run as a raster."""
    out = np.full((runs.height, runs.width), outside)
    for row in range(runs.height):
        for k in range(runs.start[row], runs.start[row + 1]):
            assert (out[row, runs.first[k] : runs.end[k]] == outside).all()
            out[row, runs.first[k] : runs.end[k]] = of_run[k]
    return out


@given(CLASSES, st.integers(1, 15), st.data())
def test_runs_hold_the_raster_whatever_strips_it_comes_in(classes, strip, data):
    valid = data.draw(st.none() | arrays(np.bool_, classes.shape))
    runs = runs_of(classes, valid, strip=strip)
    expected = np.where(True if valid is None else valid, classes.astype(np.int64), NODATA)
    np.testing.assert_array_equal(painted(runs, runs.value), expected)
    assert (runs.first < runs.end).all()
    row = np.repeat(np.arange(runs.height), np.diff(runs.start))
    meet = (row[1:] == row[:-1]) & (runs.first[1:] == runs.end[:-1])
    assert (runs.value[1:] != runs.value[:-1])[meet].all()
    whole = runs_of(classes, valid)
    for name in ("start", "first", "end", "value"):
        np.testing.assert_array_equal(getattr(runs, name), getattr(whole, name))


@given(CLASSES, st.data())
def test_runs_with_other_values_are_those_of_the_raster_with_these(classes, data):
    valid = data.draw(arrays(np.bool_, classes.shape))
    runs = runs_of(classes, valid)
    merged, expected = merge_runs(runs, runs.value // 2), runs_of(classes // 2, valid)
    for name in ("start", "first", "end", "value"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(expected, name))


@given(CLASSES, st.data())
def test_patches_are_numbered_by_their_first_pixels_as_scipy_labels_them(classes, data):
    valid = data.draw(arrays(np.bool_, classes.shape))
    runs = runs_of(classes, valid)
    patch = label_runs(runs)
    expected = np.full(classes.shape, -1)
    for value in range(4):
        labels, n = ndimage.label((classes == value) & valid)
        for i in range(1, n + 1):
            expected[labels == i] = np.flatnonzero(labels == i)[0]
    found = painted(runs, patch, outside=OUTSIDE)
    first = np.unique(expected[expected >= 0])
    np.testing.assert_array_equal(found, np.where(expected >= 0, np.searchsorted(first, expected), OUTSIDE))
    row_m2 = np.arange(1.0, len(classes) + 1)
    measured = measure_patches(runs, patch, row_m2)
    assert measured.value.tolist() == classes.ravel()[first].tolist()
    assert measured.area_px.tolist() == [int((found == i).sum()) for i in range(len(first))]
    assert measured.area_m2.tolist() == [float(((found == i) * row_m2[:, None]).sum()) for i in range(len(first))]


def test_all_integer_types_keep_their_values():
    for dtype, values in ((np.int8, [-128, 127]), (np.uint16, [0, 65535]), (np.int32, [-(2**31) + 1, 2**31 - 1])):
        assert runs_of(np.array([values], dtype)).value.tolist() == values
