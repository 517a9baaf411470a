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


def speck():
    """A large area with a few pixels of the other class."""
    ground = area(0, (256, 256))
    ground.labels[200:208, 30:38] = ground.image[0, 200:208, 30:38] = 1
    return ground


def test_a_share_of_windows_holds_a_rare_class():
    holding = {}
    for share in (0.0, 1.0):
        made = batches([speck(), area(0, site="b")], recipe(), batch=8, seed=0, rare_share=share)
        holding[share] = sum(bool((labels == 1).any()) for _ in range(3) for labels in next(made).labels)
    assert holding[0.0] < 5
    assert holding[1.0] == 24


def test_rare_objects_are_pasted_with_their_pixels():
    made = batches([speck(), area(0, site="b")], recipe(copy_paste=1.0), batch=8, seed=0, rare_share=0.5)
    plain = batches([speck(), area(0, site="b")], recipe(), batch=8, seed=0, rare_share=0.5)
    for _ in range(2):
        pasted, before = next(made), next(plain)
        known = pasted.labels != 255
        np.testing.assert_allclose(pasted.images[:, 0][known], pasted.labels[known].float(), atol=1e-5)
        assert (pasted.labels == 1).sum() > (before.labels == 1).sum()


def test_a_mixup_keeps_both_labels_with_their_shares():
    made = next(batches([area(0, site="a"), area(1, site="b")], recipe(mixup=1.0), batch=8, seed=1))
    known = (made.labels != 255) & (made.other != 255)
    wanted = made.share * made.labels[known].float() + (1 - made.share) * made.other[known].float()
    np.testing.assert_allclose(made.images[:, 0][known], wanted, atol=1e-5)
    assert len(wanted.unique()) > 2


def test_windows_are_coarse_first():
    ramp = area(0, (512, 512))
    ramp.image[0] = np.arange(512) / 100
    slopes = []
    for number in (0, 99):
        how = recipe(scale=(0.5, 2.0), coarse_first=0.5)
        windows = next(batches([ramp], how, batch=6, seed=0, first=number, total=100)).images[:, 0].numpy()
        slopes.append(min(max(np.abs(np.diff(w, axis=a)).max() for a in (0, 1)) for w in windows))
    assert slopes[0] > 0.018  # all are twice as coarse as the area
    assert slopes[1] < 0.012
