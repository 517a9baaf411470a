"""Losses: what all of them promise, what each is in closed form, and that each teaches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from geoseg.training.losses.answer import Answer
from geoseg.training.losses.distances import signed_distances
from geoseg.training.losses.table import LOSSES, Objective
from geoseg.training.losses.terms import CE_DICE, TERMS, groups_of
from geoseg.training.spec import TrainSpec
from geoseg.training.targets import IGNORE, BuildingTarget, ClassTarget

NAMES = [name for name, term in TERMS.items() if term.judges == "softmax"]
ALONE = {
    name: {"classes": list("abcd")} if TERMS[name].upright else 1.0 for name in NAMES
}  # boxes are of named classes
SUMS = {name: {name: options} for name, options in ALONE.items()} | {
    "default": {"cross-entropy": 0.5, "dice": 0.5},
    "all": ALONE,
    "some classes": {name: {"classes": ["b", "d"]} for name in NAMES},
    "ramped": {"bce": 1, "boundary": {"weight": 0.1, "ramp": [0.2, 0.5]}},
}
KINDS = ClassTarget(values={}, classes=[{"id": i, "name": n, "color": (i, i, i)} for i, n in enumerate("abcd", 1)])
HALF = {"known": slice(0, 9), "void": slice(9, 12)}


def spec(loss, **keys):
    rest = {"data": [{"scene": "s.tif", "labels": "l.tif", "use": "train"}], "bands": "red", "target": KINDS}
    upright = {"augmentation": {"rotate": False}} if "boxinst" in loss else {}
    return TrainSpec(name="t", **{**rest, **upright, **keys}, loss=loss)


def of(loss, target=KINDS):
    return Objective.of(spec(loss, target=target).loss, target)


def batch(seed, held=4, void=True, dtype=torch.float32):
    """Logits of four channels, and labels of the first ``held`` of them in patches; the last rows are void."""
    made = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 4, 12, 14, generator=made).to(dtype).requires_grad_()
    labels = torch.randint(0, held, (2, 4, 7), generator=made, dtype=torch.uint8)
    labels = labels.repeat_interleave(3, 1).repeat_interleave(2, 2)
    if void:
        labels[:, HALF["void"]] = IGNORE
    return logits, labels


@pytest.mark.parametrize("name", SUMS)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 99), held=st.integers(1, 4), half=st.booleans(), wild=st.sampled_from([1, 1, 1e4]))
def test_it_is_finite_in_fp32_and_void_has_no_gradient(name, seed, held, half, wild):
    logits, labels = batch(seed, held, dtype=torch.bfloat16 if half else torch.float32)
    weights = torch.rand(labels.shape) + 0.5
    image = torch.rand(2, 3, *labels.shape[1:])
    loss = of(SUMS[name])(Answer(logits * wild, labels, weights, image=image))
    assert loss.dtype == torch.float32
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()
    assert (logits.grad[:, :, HALF["void"]] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", SUMS)
def test_void_says_nothing_and_a_batch_of_it_is_0_with_a_graph(name, dtype):
    logits, labels = batch(1, dtype=dtype)
    other = torch.cat([logits[:, :, HALF["known"]], 9 * logits[:, :, HALF["void"]]], 2)
    assert of(SUMS[name])(Answer(other, labels)) == of(SUMS[name])(Answer(logits, labels))
    nothing = of(SUMS[name])(Answer(logits, torch.full_like(labels, IGNORE)))
    nothing.backward()
    assert nothing.item() == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("name", [name for name in NAMES if TERMS[name].regions])
def test_a_class_that_the_batch_lacks_adds_no_term(name):
    logits, labels = batch(2, held=2)
    alone = of({name: {"classes": ["a", "b"]}})
    assert of(SUMS[name])(Answer(logits, labels)) == alone(Answer(logits, labels))
    assert of({name: {"classes": ["c"]}})(Answer(logits, labels)).item() == 0


def descend(network, loss, steps, rate):
    """Follow the signs of the gradient, whatever its scale; torch's optimisers take seconds to be imported."""
    for step in range(steps):
        network.zero_grad()
        loss().backward()
        with torch.no_grad():
            for own in network.parameters():
                own.sub_(rate * (1 - step / steps) * own.grad.sign())


@pytest.mark.parametrize("name", [name for name in SUMS if name != "some classes"])
def test_it_teaches_a_toy(name):
    """Channels that are noisy classes, a network of single pixels."""
    torch.manual_seed(0)
    _, labels = batch(3)
    known = labels != IGNORE
    image = functional.one_hot(torch.where(known, labels, 0).long(), 4).movedim(-1, 1) + 0.1 * torch.randn(2, 4, 12, 14)
    network = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 1), torch.nn.Tanh(), torch.nn.Conv2d(8, 4, 1))
    objective = of(SUMS[name])
    far = {g: torch.from_numpy(d) for g, d in signed_distances(labels.numpy(), objective.measured).items()}
    descend(network, lambda: objective(Answer(network(image), labels, None, far, image=image)), 40, 0.1)
    assert (network(image).argmax(1) == labels)[known].float().mean() >= 0.99


@pytest.fixture
def soft():
    """A batch, and its softmax, truth and known pixels for arithmetic by hand."""
    logits, labels = batch(4)
    known = labels.numpy() != IGNORE
    p = torch.softmax(logits.detach(), 1).double().numpy().transpose(0, 2, 3, 1)[known]
    return Answer(logits, labels), p, np.eye(4)[labels.numpy()[known]]


def test_cross_entropy_is_torchs(soft):
    answer, _, _ = soft
    for smoothing in (0.0, 0.2):
        right = functional.cross_entropy(answer.logits, answer.truth.long(), ignore_index=IGNORE,
                                         label_smoothing=smoothing)  # fmt: skip
        found = of({"cross-entropy": {"smoothing": smoothing}})(answer)
        assert found.item() == pytest.approx(right.item(), rel=1e-5)


def test_weights_are_a_weighted_mean_in_losses_of_pixels(soft):
    answer, _, _ = soft
    weights = torch.rand(answer.truth.shape) + 0.5
    plain = functional.cross_entropy(answer.logits, answer.truth.long(), ignore_index=IGNORE, reduction="none")
    right = (plain * weights)[answer.known].sum() / weights[answer.known].sum()
    weighted = Answer(answer.logits, answer.truth, weights)
    assert of({"cross-entropy": 1})(weighted).item() == pytest.approx(right.item(), rel=1e-5)
    assert of({"focal": {"gamma": 0}})(weighted).item() == pytest.approx(right.item(), rel=1e-5)
    chosen = weights * (answer.truth == 1)
    only = (plain * chosen)[answer.known].sum() / chosen[answer.known].sum()
    assert of({"cross-entropy": {"classes": ["b"]}})(weighted).item() == pytest.approx(only.item(), rel=1e-5)


def test_focal_and_bce_are_what_their_papers_say(soft):
    answer, p, t = soft
    own = (p * t).sum(1)
    assert of({"focal": {"gamma": 2.5}})(answer).item() == pytest.approx(
        -((1 - own) ** 2.5 * np.log(own)).mean(), rel=1e-5
    )
    z = answer.logits.detach().double().numpy().transpose(0, 2, 3, 1)[answer.known.numpy()]
    cost = np.log1p(np.exp(z)) - t * z
    assert of({"bce": 1})(answer).item() == pytest.approx(cost.mean(), rel=1e-5)
    assert of({"bce": {"classes": ["c"]}})(answer).item() == pytest.approx(cost[:, 2].mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "alpha", "beta", "power"),
    [
        ({"dice": 1}, 0.5, 0.5, 1),
        ({"jaccard": 1}, 1, 1, 1),
        ({"tversky": {"alpha": 0.2, "beta": 0.9}}, 0.2, 0.9, 1),
        ({"focal-tversky": {"gamma": 2}}, 0.3, 0.7, 2),
    ],
)
def test_the_tversky_family_is_one_index(soft, loss, alpha, beta, power):
    answer, p, t = soft
    tp, fp, fn = (p * t).sum(0), (p * (1 - t)).sum(0), ((1 - p) * t).sum(0)
    right = ((1 - (tp + 0.5) / (tp + alpha * fp + beta * fn + 0.5)) ** power).mean()
    assert of(loss)(answer).item() == pytest.approx(right, rel=1e-4)


@pytest.mark.parametrize("classes", [None, ["b", "c"]])
def test_the_default_is_cross_entropy_and_dice_over_known_pixels(soft, classes):
    answer, p, t = soft
    chosen = [0, 1, 2, 3] if classes is None else [1, 2]
    tp, fp, fn = ((a * b).sum(0)[chosen] for a, b in ((p, t), (p, 1 - t), (1 - p, t)))
    dice = (1 - (2 * tp + 1) / (2 * tp + fp + fn + 1)).mean()
    cross = functional.cross_entropy(answer.logits, answer.truth.long(), ignore_index=IGNORE).item()
    terms = {"cross-entropy": 0.5, "dice": 0.5 if classes is None else {"weight": 0.5, "classes": classes}}
    assert of(terms)(answer).item() == pytest.approx(cross + dice, rel=1e-5)


@pytest.mark.parametrize("name", [*(name for name in NAMES if name not in ("boundary", "bce", "hausdorff")), "default"])
def test_a_right_answer_costs_nothing(name):
    labels = torch.randint(0, 4, (1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    logits = 100.0 * functional.one_hot(labels.long(), 4).permute(0, 3, 1, 2)
    assert of(SUMS[name])(Answer(logits, labels)).item() == pytest.approx(0, abs=1e-5)


def test_lovasz_of_a_sure_answer_is_one_minus_iou(soft):
    answer, p, t = soft
    said = answer.logits.argmax(1)
    sure = Answer(1e4 * functional.one_hot(said, 4).movedim(-1, 1).float(), answer.truth)
    hard = np.eye(4)[said.numpy()[answer.known.numpy()]]
    iou = (hard * t).sum(0) / np.maximum(hard, t).sum(0)
    assert of({"lovasz": 1})(sure).item() == pytest.approx(1 - iou.mean(), rel=1e-5)
    assert 0 < of({"lovasz": 1})(answer).item() < 1
    assert p.shape == t.shape


def test_losses_of_boundaries_are_means_over_distances(soft):
    answer, p, t = soft
    known = answer.known.numpy()
    far = signed_distances(answer.truth.numpy(), [(c,) for c in range(4)])
    d = np.stack([far[(c,)][known] for c in range(4)], 1)
    assert of({"boundary": 1})(answer).item() == pytest.approx((p * d).sum(1).mean() / 4, rel=1e-4)
    error = (p - t) ** 2 * np.abs(d) ** 1.5
    assert of({"hausdorff": {"alpha": 1.5}})(answer).item() == pytest.approx(error.sum(1).mean() / 4, rel=1e-4)


def test_distances_have_no_boundary_at_void_and_none_where_a_class_is_alone():
    labels = np.array([[[1, 1, IGNORE, 1, 0]], [[1, 1, IGNORE, 1, 1]], [[0, 0, 0, 0, 0]]], np.uint8)
    far = signed_distances(labels, [(1,), (0, 1)])
    assert (32 * far[(1,)]).tolist() == [[[-4, -3, 0, -1, 1]], [[0] * 5], [[0] * 5]]
    assert not far[(0, 1)].any()


def boxed(p, *, image=None, **options):
    """The loss of boxes of a class whose probabilities are p (H, W), the box of rows 2 to 4 and columns 1 to 4."""
    p = torch.as_tensor(p).clamp(1e-6, 1 - 1e-6).requires_grad_()
    labels = torch.zeros(1, *p.shape, dtype=torch.uint8)
    labels[0, 2:5, 1:5] = 1
    logits = torch.stack([torch.zeros_like(p), torch.logit(p), *[torch.full_like(p, -30)] * 2])[None]
    term = TERMS["boxinst"](classes=("b",), **options)
    return LOSSES["boxinst"](Answer(logits, labels, image=image), term, ((1,),)), p


def test_a_box_is_held_by_any_shape_that_touches_its_four_sides():
    inside = torch.zeros(7, 7)
    inside[2, 1:5] = inside[3, 2] = inside[4, 2] = 1
    assert boxed(inside)[0].item() == pytest.approx(0, abs=1e-4)
    inside[4, 2] = 0.25  # the surest of its row, but not of its column
    loss, p = boxed(inside)
    assert loss.item() == pytest.approx(-np.log(0.25) / 7, rel=1e-3)
    loss.backward()
    assert p.grad[4, 2] < 0
    inside[4, 2], inside[0, 0] = 1, 0.5
    assert boxed(inside)[0].item() == pytest.approx(np.log(2) / 37, rel=1e-3)  # of 37 pixels outside


def test_rows_of_a_box_that_void_or_the_edge_cuts_may_be_empty():
    labels = torch.full((1, 3, 6), IGNORE, dtype=torch.uint8)
    labels[0, 1] = torch.tensor([1, 1, 0, 1, 1, IGNORE])
    logits = torch.zeros(1, 4, 3, 6).index_fill_(1, torch.tensor([0]), 30.0)
    assert of({"boxinst": {"classes": ["b"]}})(Answer(logits, labels)).item() == pytest.approx(0, abs=1e-4)


def test_neighbours_of_one_colour_are_of_one_class():
    image = torch.zeros(1, 2, 7, 7)
    image[:, :, 2:5, 1:3] = 1
    half = torch.zeros(7, 7)
    half[2:5, 1:3] = 1
    bare = boxed(half)[0].item()  # columns 3 and 4 of the box are empty
    assert boxed(half, image=image)[0].item() == pytest.approx(bare, rel=1e-4)
    other = boxed(half, image=image.roll(1, -1))[0].item()
    assert other > bare + 1
    assert boxed(half, image=image.roll(1, -1), pairwise=0.5)[0].item() == pytest.approx((bare + other) / 2, rel=1e-4)
    assert boxed(half, image=torch.rand(1, 2, 7, 7), colour=1e-3)[0].item() == pytest.approx(bare, rel=1e-4)


def test_huber_judges_numbers():
    values = torch.tensor([[[[0.5, 3.0, 7.0]]]], requires_grad=True)
    loss = LOSSES["huber"](Answer(values, torch.tensor([[[[0.0, 0.0, torch.nan]]]])), TERMS["huber"](delta=2), ())
    assert loss.item() == pytest.approx((0.5 * 0.25 + 2 * (3 - 1)) / 2)
    loss.backward()
    assert values.grad.tolist() == [[[[0.25, 1.0, 0.0]]]]
    void = LOSSES["huber"](Answer(values.bfloat16(), torch.full((1, 1, 1, 3), torch.nan)), TERMS["huber"](), ())
    assert (void.item(), void.requires_grad, void.dtype) == (0, True, torch.float32)


def test_huber_teaches_a_toy():
    torch.manual_seed(0)
    image = torch.rand(2, 3, 8, 8)
    right = (2 * image[:, :1] - image[:, 2:]).masked_fill(image[:, :1] < 0.1, torch.nan)
    network = torch.nn.Conv2d(3, 1, 1)
    descend(network, lambda: LOSSES["huber"](Answer(network(image), right), TERMS["huber"](), ()), 300, 0.05)
    known = ~right.isnan()
    assert 1 - (network(image) - right)[known].var() / right[known].var() > 0.99


def test_weights_are_relative_and_a_ramp_brings_a_term_in():
    answer = Answer(*batch(5))
    ce, dice = (of({name: 1})(answer) for name in ("cross-entropy", "dice"))
    for scale in (1, 0.5, 7):
        assert of({"cross-entropy": scale, "dice": scale})(answer).item() == pytest.approx((ce + dice).item(), rel=1e-6)
    ramped = of({"cross-entropy": 1, "dice": {"weight": 3, "ramp": [0.2, 0.6]}})
    for share, risen in ((0, 0), (0.2, 0), (0.4, 0.5), (0.6, 1), (1, 1)):
        assert ramped(answer, share=share).item() == pytest.approx((0.5 * ce + 1.5 * risen * dice).item(), rel=1e-5)
    assert of({"dice": {"ramp": [0.5, 0.5]}})(answer, share=0.2).requires_grad


def test_classes_are_named_by_class_or_channel():
    term = TERMS["dice"](classes=("building", "border"))
    assert groups_of(term, BuildingTarget()) == ((1, 2), (2,))
    assert groups_of(TERMS["dice"](), BuildingTarget()) == ((1, 2), (2,))
    assert groups_of(TERMS["focal"](), BuildingTarget()) == ((0,), (1,), (2,))
    assert of({"hausdorff": 1, "boundary": {"classes": ["building"]}}, BuildingTarget()).measured == ((1, 2), (2,))


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        ({"focl": 1}, "no loss is called 'focl'; did you mean focal?"),
        ("diec", "did you mean dice"),
        ({}, "write names with weights"),
        ({"dice": 0}, "dice: weight: 0: give more than 0"),
        ({"dice": {"gama": 2}}, "dice: gama: unknown key"),
        ({"focal": {"gama": 2}}, "focal: gama: unknown key; did you mean gamma?"),
        ({"dice": {"classes": ["roof", "e"]}}, "loss: dice: no class is called 'roof'"),
        ({"dice": {"ramp": [0.5, 0.2]}}, "give the start before the end"),
        ({"huber": 1}, "huber is of linear outputs"),
        ({"boxinst": 1}, "boxinst: classes: missing"),
    ],
)
def test_a_loss_that_is_none_is_refused(loss, told):
    with pytest.raises(ValueError, match=told.replace("?", r"\?")):
        spec(loss)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"augmentation": {}}, "augmentation.rotate: boxinst needs boxes upright"),
        ({"augmentation": {"rotate": False, "cutmix": 0.5}}, "augmentation.cutmix: boxinst"),
        ({"target": BuildingTarget()}, "boxinst learns no borders"),
    ],
)
def test_boxes_stay_upright_and_whole(keys, told):
    with pytest.raises(ValueError, match=told):
        spec({"boxinst": {"classes": ["building" if "target" in keys else "b"]}}, **keys)


def test_a_loss_is_told_as_a_config_says_it_and_read_back():
    said = {"cross-entropy": 0.7, "focal": {"weight": 0.3, "gamma": 3.0}, "boundary": {"ramp": [0.2, 0.5]}}
    told = spec(said).model_dump(mode="json")["loss"]
    assert told == said
    assert spec(told) == spec(said)
    assert spec("lovasz").loss == spec({"lovasz": 1}).loss
    assert spec({"dice": 0.5, "cross-entropy": 0.5}).loss == CE_DICE
    assert set(LOSSES) == set(TERMS)
