import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from test_coverage_runs import NODATA, painted, runs_of

from geoseg.vector.coverage.sieve import sieve

MAPS = arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 2, NODATA]))
PIXEL = (2.0, 1.0)  # metres high and wide: an edge to the side is twice as long as one above


def sieved(classes: np.ndarray, min_area_m2: float) -> np.ndarray:
    runs = runs_of(classes, classes != NODATA)
    row_areas_m2 = np.full(len(classes), 2.0)
    found = sieve(runs, min_area_m2, row_areas_m2=row_areas_m2, pixel_size_m=PIXEL)
    again = runs_of(painted(found, found.value), classes != NODATA)
    assert found.first.tolist() == again.first.tolist()  # no two neighbours alike
    return painted(found, found.value)


def slowly(classes: np.ndarray, min_area_m2: float) -> np.ndarray:
    """The rule of ``sieve``, one merge at a time, on labels made anew each time."""
    classes = classes.copy()
    while True:
        labels, n = np.zeros(classes.shape, int), 0
        for value in (0, 1, 2):
            more, m = ndimage.label(classes == value)
            labels[more > 0] = more[more > 0] + n
            n += m
        size = {i: 2.0 * (labels == i).sum() for i in range(1, n + 1)}
        first = {i: np.flatnonzero(labels == i)[0] for i in size}
        for i in sorted((i for i in size if size[i] < min_area_m2), key=lambda i: (size[i], first[i])):
            border: dict[int, float] = {}
            for axis, length in ((0, PIXEL[1]), (1, PIXEL[0])):
                a, b = (labels.take(range(s, labels.shape[axis] - 1 + s), axis) for s in (0, 1))
                for one, other in ((a, b), (b, a)):
                    for j in other[(one == i) & (other != i) & (other > 0)]:
                        border[j] = border.get(j, 0) + length
            if border:
                best = min(border, key=lambda j: (-border[j], -size[j], first[j]))
                classes[labels == i] = classes[labels == best][0]
                break
        else:
            return classes


@given(MAPS, st.sampled_from([1.0, 3.0, 5.0, 9.0, 30.0, 1000.0]))
def test_sieve_equals_the_rule_taken_one_merge_at_a_time(classes, min_area_m2):
    np.testing.assert_array_equal(sieved(classes, min_area_m2), slowly(classes, min_area_m2))


@pytest.mark.parametrize(
    ("before", "min_area_m2", "after"),
    [
        ("000/010/000", 4, "000/000/000"),
        ("001222/001222/001222", 7, "002222/002222/002222"),  # equal borders: to the larger neighbour
        ("00122/00122/00122", 7, "00022/00022/00022"),  # equal again: to the first
        ("00/12", 4, "00/22"),  # an edge to the side is the longer one
        ("1", 100, "1"),  # nobody to go to
        ("-1-/---", 100, "-1-/---"),
        ("0102/0002", 4, "0002/0002"),
    ],
)
def test_small_patches_go_to_the_longest_border(before, min_area_m2, after):
    def read(text: str) -> np.ndarray:
        return np.array([[NODATA if c == "-" else int(c) for c in row] for row in text.split("/")], np.int32)

    np.testing.assert_array_equal(sieved(read(before), min_area_m2), read(after))


def test_bytes_are_told_before_they_are_taken():
    def refuse(needed: int) -> None:
        raise MemoryError(needed)

    with pytest.raises(MemoryError, match=r"\d\d\d"):
        sieve(runs_of(np.eye(5, dtype=np.uint8)), 3.0, row_areas_m2=np.ones(5), pixel_size_m=(1.0, 1.0), allow=refuse)
