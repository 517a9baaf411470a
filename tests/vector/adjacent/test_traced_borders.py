"""Borders between the labels of an image, traced arc by arc."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geoseg.vector.adjacent.traced_borders import trace_borders

labelled = arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3))


def edges_of(points):
    return [tuple(sorted((tuple(a), tuple(b)))) for a, b in pairwise(points)]


def obvious_edges(labels):
    """Every edge between two pixels of different labels above 0, with the labels."""
    found = {}
    for row, col in np.ndindex(labels.shape):
        for r, c, ends in ((row, col + 1, ((col + 1, row), (col + 1, row + 1))), (row + 1, col, None)):
            if r < labels.shape[0] and c < labels.shape[1]:
                a, b = sorted((int(labels[row, col]), int(labels[r, c])))
                if 0 < a < b:
                    found[ends or ((col, row + 1), (col + 1, row + 1))] = (a, b)
    return found


@given(labelled)
def test_arcs_hold_every_edge_once_and_keep_to_one_pair_of_labels(labels):
    arcs = trace_borders(labels)
    expected, seen = obvious_edges(labels), []
    for k in range(len(arcs)):
        edges = edges_of(arcs.points(k).tolist())
        assert len({expected[edge] for edge in edges}) == 1
        seen += edges
    assert sorted(seen) == sorted(expected)


@given(labelled)
def test_arcs_meet_in_their_ends_only_and_ends_on_the_outline_touch_the_outside(labels):
    arcs = trace_borders(labels)
    padded = np.pad(labels, 1)
    inside = [tuple(p) for k in range(len(arcs)) for p in arcs.points(k)[1:-1].tolist()]
    ends = [tuple(p) for k in range(len(arcs)) for p in arcs.points(k)[[0, -1]].tolist()]
    assert len(set(inside)) == len(inside)
    assert not set(inside) & set(ends)
    for k in range(len(arcs)):
        for at in (0, -1):
            col, row = arcs.points(k)[at]
            assert arcs.inner[k, at] == (padded[row : row + 2, col : col + 2] > 0).all()
            if not arcs.inner[k, at]:
                x, y = arcs.beyond[k, at]
                assert (abs(x - col), abs(y - row)) == (0.5, 0.5)
                assert padded[int(np.floor(y)) + 1, int(np.floor(x)) + 1] == 0


def test_a_building_within_another_has_one_closed_arc():
    labels = np.ones((7, 8), np.int32)
    labels[2:5, 2:6] = 2
    arcs = trace_borders(labels)
    assert len(arcs) == 1
    assert arcs.points(0)[0].tolist() == arcs.points(0)[-1].tolist()
    assert len(arcs.points(0)) == 15
