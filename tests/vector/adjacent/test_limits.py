"""Limits: what they allow is what ``Closeness`` calls near enough, of pairs of outlines with many vertices too."""

import numpy as np
import pytest
from shapely import affinity, box

from geoseg.vector.adjacent import limits, tolerance
from geoseg.vector.adjacent.limits import Limits
from geoseg.vector.adjacent.loops import Loops
from geoseg.vector.adjacent.tolerance import Closeness

PIXEL = np.array([0.5, 0.5])
FAR_M = 3.0


@pytest.fixture
def pairs():
    """Contours, and drafts of them that shrink and move, so that some share too little and others lie too far."""
    contours = np.array([affinity.translate(box(0, 0, 30, 12), 40 * i, 7.5) for i in range(12)])
    drawn = np.array([
        affinity.translate(affinity.scale(c, 1, 1 - 0.04 * i), 0.8 * (i % 4)) for i, c in enumerate(contours)
    ])  # fmt: skip
    near = Closeness.of(drawn, contours, PIXEL)
    shares, close = near.iou >= limits.LEAST_IOU, near.deviation_m <= FAR_M
    assert (shares & close).any()
    assert (close & ~shares).any()
    return contours, drawn, near.within(FAR_M)


def test_what_is_allowed_is_near_enough(pairs):
    contours, drawn, right = pairs
    of = np.arange(len(contours))
    assert Limits.of(contours, PIXEL, FAR_M).allow(Loops.of(drawn), of).tolist() == right.tolist()


def test_of_large_outlines_the_answer_is_the_same(pairs, monkeypatch):
    """The bound is compiled in, so the kernel runs as Python, where a lower one counts."""
    contours, drawn, right = pairs
    monkeypatch.setattr(limits, "allowed", limits.allowed.py_func)
    monkeypatch.setattr(limits, "LARGE", 0)
    kept, of = Limits.of(contours, PIXEL, FAR_M), np.arange(len(contours))
    found, large = limits.allowed(kept.seen, Loops.of(drawn), of)
    assert large.all()
    assert (found & ~right).any(), "kernels leave the shared area out"
    monkeypatch.setattr(tolerance, "LARGE", 0)
    assert kept.allow(Loops.of(drawn), of).tolist() == right.tolist()
