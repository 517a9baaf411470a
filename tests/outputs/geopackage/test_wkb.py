import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geoseg.outputs.geopackage.wkb import multipolygons


@given(st.lists(st.integers(0, 3), max_size=6), st.integers(0, 2**32 - 1))
def test_bytes_are_those_of_shapely(holes, seed):
    rng = np.random.default_rng(seed)
    rings = [rng.normal(0, 1e6, (rng.integers(3, 9), 2)) for _ in range(sum(holes) + len(holes))]
    closed = [np.vstack([ring, ring[:1]]) for ring in rings]
    xy = np.concatenate([np.empty((0, 2)), *closed])
    ends, shells = (np.cumsum([0, *counts]) for counts in (map(len, closed), (h + 1 for h in holes)))
    polygons = shapely.from_ragged_array(shapely.GeometryType.POLYGON, xy, (ends, shells))
    expected = shapely.to_wkb(shapely.multipolygons(polygons[:, None])) if len(holes) else []
    assert multipolygons(xy, ends, shells).to_pylist() == list(expected)


def test_an_array_may_be_sliced_from_others():
    xy = np.arange(20.0).reshape(5, 4)[:, ::2]
    xy[-1] = xy[0]
    told = multipolygons(xy, np.array([0, 5]), np.array([0, 1]))
    assert shapely.get_coordinates(shapely.from_wkb(told[0].as_py())).tolist() == xy.tolist()
