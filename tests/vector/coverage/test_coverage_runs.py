import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from geoseg.vector.coverage.runs import NODATA, OUTSIDE, ClassRuns, RunCollector, find_patches, measure_patches

CLASSES = arrays(np.uint8, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(0, 3))


def runs_of(classes: np.ndarray, valid: np.ndarray | None = None, *, strip: int = 1000) -> ClassRuns:
    """The runs of a raster that comes in strips of ``strip`` rows."""
    rows = RunCollector(classes.shape[1])
    for row in range(0, len(classes), strip):
        part = slice(row, row + strip)
        rows.add(np.ascontiguousarray(classes[part]), None if valid is None else np.ascontiguousarray(valid[part]))
    return rows.finish()


def painted(runs: ClassRuns, of_run: np.ndarray) -> np.ndarray:
    """One number per run as a raster."""
    end = np.append(runs.first[1:], 0)
    end[runs.start[1:] - 1] = runs.width
    return np.repeat(of_run, end - runs.first).reshape(runs.height, runs.width)


@given(CLASSES, st.integers(1, 15), st.data())
def test_runs_hold_the_raster_whatever_strips_it_comes_in(classes, strip, data):
    valid = data.draw(st.none() | arrays(np.bool_, classes.shape))
    runs = runs_of(classes, valid, strip=strip)
    expected = classes.astype(np.int32) if valid is None else np.where(valid, classes, NODATA)
    np.testing.assert_array_equal(painted(runs, runs.value), expected)
    within = np.ones(len(runs), bool)
    within[runs.start[:-1]] = False
    assert (runs.value[1:] != runs.value[:-1])[within[1:]].all()
    whole = runs_of(classes, valid)
    for name in ("start", "first", "value"):
        np.testing.assert_array_equal(getattr(runs, name), getattr(whole, name))


@given(CLASSES, st.data())
def test_patches_are_numbered_by_their_first_pixels_as_scipy_labels_them(classes, data):
    valid = data.draw(arrays(np.bool_, classes.shape))
    runs = runs_of(classes, valid)
    patch = find_patches(runs)
    expected = np.full(classes.shape, -1)
    for value in range(4):
        labels, n = ndimage.label((classes == value) & valid)
        for i in range(1, n + 1):
            expected[labels == i] = np.flatnonzero(labels == i)[0]
    found = painted(runs, patch)
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
