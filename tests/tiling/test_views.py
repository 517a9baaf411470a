"""Views of a window: what they say comes back to where the window's pixels lie, vectors too."""

import numpy as np
import pytest

from geoseg.tiling.blend import quantise
from geoseg.tiling.ramp import PROB_ONE
from geoseg.tiling.views import views_of

RANGE = 128


def points_to_mark(image):
    """(1, 1, h, w) with a bright place -> (1, 2, h, w): offsets -128..128 px to it as 0..1."""
    y, x = np.mgrid[: image.shape[2], : image.shape[3]]
    row, col = (np.average(at, weights=image[0, 0]) for at in (y, x))
    return np.stack([(row - y + RANGE) / (2 * RANGE), (col - x + RANGE) / (2 * RANGE)]).astype(np.float32)[None]


@pytest.mark.parametrize(("tta", "apart"), [("flip", 1), ("d4", 1), ("d4@0.5,1.5", 0.1 / (2 * RANGE) * PROB_ONE)])
def test_a_network_that_points_to_a_place_points_there_in_every_view(tta, apart):
    image = np.zeros((1, 1, 64, 96), np.float32)
    image[0, 0, 20:22, 80:82] = 1
    plain = quantise(points_to_mark(image))
    for view in views_of(tta, (64, 96), multiple=16):
        said = quantise(view.undo(points_to_mark(view.apply(image))))
        turned = np.stack(view.undo_vectors(said[:, 0], said[:, 1]), 1)
        inner = np.abs(turned.astype(np.int64) - plain.astype(np.int64))[..., 2:-2, 2:-2]
        assert inner.max() <= apart, view
