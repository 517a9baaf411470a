import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geoseg.vector.adjacent.overlaps import linked_boxes

BOXES = st.lists(st.tuples(*(st.integers(0, 40),) * 2, *(st.integers(0, 6),) * 2), max_size=30)


@given(BOXES)
def test_groups_are_the_connected_components_of_boxes_that_meet(corners):
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in corners], float).reshape(-1, 4)
    found = linked_boxes(boxes)
    a, b = shapely.STRtree(shapely.box(*boxes.T)).query(shapely.box(*boxes.T), predicate="intersects")
    group = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(len(boxes),) * 2))[1] if len(boxes) else []
    firsts = {g: k for k, g in reversed(list(enumerate(group)))}
    assert found.tolist() == [firsts[g] for g in group]
