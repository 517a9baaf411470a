"""Batches: drawn by site, alike for one seed, and mixed as told."""

import numpy as np
import pytest
import torch

from geoseg.training.areas import AreaPixels
from geoseg.training.augment import Recipe
from geoseg.training.batches import area_shares, batches
from geoseg.training.losses.distances import signed_distances
from geoseg.training.spec import Augmentation
from geoseg.training.targets import UNKNOWN, ClassTarget

PLAIN = Augmentation(gain=0, band_gain=0, offset=0, gamma=(1, 1), noise=0, blur=0, erase=0, scale=(1, 1), rotate=False)
MEAN, STD = np.zeros(1, np.float32), np.ones(1, np.float32)
CLASSES = ClassTarget(
    values={"0": 1, "1": 2},
    classes=[{"id": i, "name": name, "color": (i, i, i)} for i, name in ((1, "low"), (2, "high"))],
)


def area(value, shape=(64, 64), **facts):
    """An area of one value, which is its label too."""
    image = np.full((1, *shape), value, np.float32)
    return AreaPixels(image, np.ones(shape, bool), np.full(shape, value, np.int32), **facts)


def recipe(**changes):
    return Recipe(32, PLAIN.model_copy(update=changes), CLASSES, MEAN, STD, (MEAN - 4, MEAN + 4))


def test_sites_are_drawn_by_their_share_and_areas_by_their_labels():
    half = area(0, site="b")
    half.labels[:32] = UNKNOWN
    areas = [area(0, site="a", share=0.5), area(0, (64, 128), site="a", share=0.5), area(1, site="b"), half]
    known = [int((a.labels != UNKNOWN).sum()) for a in areas]
    np.testing.assert_allclose(area_shares(areas, known), np.array([0.5 / 3, 1 / 3, 2 / 3, 1 / 3]) / 1.5)


def test_one_seed_gives_the_same_batches():
    areas = [area(0, site="a"), area(1, site="b")]
    first, again, other = (batches(areas, recipe(), batch=4, seed=seed) for seed in (1, 1, 2))
    for _ in range(3):
        (x, y, *_), (x2, y2, *_), (x3, *_) = next(first), next(again), next(other)
        assert torch.equal(x, x2)
        assert torch.equal(y, y2)
    assert x.shape == (4, 1, 32, 32)
    assert not torch.equal(x, x3)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_cutmix_moves_pixels_and_labels_together(share):
    made = batches([area(0, site="a"), area(1, site="b")], recipe(cutmix=share), batch=8, seed=3)
    mixed = 0
    for _ in range(4):
        images, labels, *_ = next(made)
        known = labels != 255
        np.testing.assert_allclose(images[:, 0][known], labels[known].float(), atol=1e-5)
        mixed += sum(len(set(window[window != 255].tolist())) > 1 for window in labels)
    assert (mixed > 0) == (share > 0)


def test_distances_are_made_of_the_labels_as_they_are_shown():
    made = batches([area(0, site="a"), area(1, site="b")], recipe(cutmix=1.0), batch=4, seed=3, measured=[(1,), (0, 1)])
    _, labels, distances, *_ = next(made)
    for group, far in signed_distances(labels.numpy(), [(1,), (0, 1)]).items():
        np.testing.assert_array_equal(distances[group], far)
    assert distances[(1,)].any()
