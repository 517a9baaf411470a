"""The loss against torch's own cross entropy and a Dice written out by hand."""

import numpy as np
import pytest
import torch

from geoseg.training.losses import border_weights, class_weights, cross_entropy_dice
from geoseg.training.targets import BORDER, IGNORE


@pytest.fixture
def batch():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 16, 20, requires_grad=True)
    labels = torch.randint(0, 3, (2, 16, 20), dtype=torch.uint8)
    labels[:, 3:7, 4:9] = IGNORE
    return logits, labels


def hand_dice(logits, labels, groups):
    p = torch.softmax(logits.detach(), 1).numpy().astype(float)
    t, known = labels.numpy(), labels.numpy() != IGNORE
    terms = []
    for group in groups:
        a = sum(p[:, c] for c in group)[known]
        b = np.isin(t, group)[known].astype(float)
        if b.any():
            terms.append(1 - (2 * (a * b).sum() + 1) / (a.sum() + b.sum() + 1))
    return np.mean(terms)


@pytest.mark.parametrize("groups", [((0,), (1,), (2,)), ((1, 2), (2,))])
def test_it_is_cross_entropy_and_dice_over_labelled_pixels(batch, groups):
    logits, labels = batch
    loss = cross_entropy_dice(logits, labels, weights=None, groups=groups)
    expected = torch.nn.functional.cross_entropy(logits, labels.long(), ignore_index=IGNORE)
    assert loss.item() == pytest.approx(expected.item() + hand_dice(logits, labels, groups), rel=1e-5)
    loss.backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad[:, :, 3:7, 4:9] == 0).all()


def test_weights_are_a_weighted_mean(batch):
    logits, labels = batch
    weights = torch.rand(labels.shape) + 0.5
    plain = torch.nn.functional.cross_entropy(logits, labels.long(), ignore_index=IGNORE, reduction="none")
    known = labels != IGNORE
    expected = (plain * weights)[known].sum() / weights[known].sum()
    loss = cross_entropy_dice(logits, labels, weights=weights, groups=((1,),)).item()
    assert loss - hand_dice(logits, labels, ((1,),)) == pytest.approx(expected.item(), rel=1e-5)


def test_nothing_known_is_zero_with_zero_gradient(batch):
    logits, labels = batch
    loss = cross_entropy_dice(logits, torch.full_like(labels, IGNORE), weights=None, groups=((1, 2), (2,)))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_an_absent_class_adds_no_dice(batch):
    logits, labels = batch
    labels[labels == 2] = 0
    loss = cross_entropy_dice(logits, labels, weights=None, groups=((1,), (2,)))
    expected = torch.nn.functional.cross_entropy(logits, labels.long(), ignore_index=IGNORE)
    assert loss.item() == pytest.approx(expected.item() + hand_dice(logits, labels, ((1,),)), rel=1e-5)


def test_extreme_and_half_precision_logits_stay_finite(batch):
    logits, labels = batch
    for wild in (logits.detach() * 1e4, logits.detach().bfloat16()):
        loss = cross_entropy_dice(wild, labels, weights=None, groups=((1, 2), (2,)))
        assert loss.dtype == torch.float32
        assert loss.isfinite()


def test_a_right_answer_costs_nothing():
    labels = torch.randint(0, 3, (1, 8, 8), dtype=torch.uint8)
    logits = 100.0 * torch.nn.functional.one_hot(labels.long(), 3).permute(0, 3, 1, 2)
    assert cross_entropy_dice(logits, labels, weights=None, groups=((0,), (1,), (2,))).item() == pytest.approx(
        0, abs=1e-5
    )


def test_border_weights_reach_around_borders():
    labels = torch.zeros(1, 20, 20, dtype=torch.uint8)
    labels[0, 10, 10] = BORDER
    weights = border_weights(labels, border=BORDER, weight=3.0, reach_px=3)
    expected = np.ones((20, 20))
    expected[7:14, 7:14] = 3
    np.testing.assert_array_equal(weights[0], expected)


def test_class_weights_say_what_an_error_in_a_class_costs():
    labels = torch.tensor([[[0, 1, 2, IGNORE]]])
    assert class_weights(labels, [1.0, 4.0, 0.5])[0, 0, :3].tolist() == [1.0, 4.0, 0.5]
    logits = torch.zeros(1, 3, 1, 4)
    logits[0, 0] = 5.0  # says the first class everywhere: the second is an error

    def loss(weights):
        return cross_entropy_dice(logits, labels, weights=class_weights(labels, weights), groups=((0,),))

    assert loss([1.0, 4.0, 1.0]) > loss([1.0, 1.0, 1.0]) > loss([4.0, 1.0, 1.0])
