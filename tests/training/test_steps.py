"""One step of a training: batches that add up, gradients that are cut, fp16 with a scaled loss, the average."""

from types import SimpleNamespace

import pytest
import torch

from geoseg.training import loop
from geoseg.training.batches import Batch
from geoseg.training.data_spec import LabelledScene
from geoseg.training.history import Epoch
from geoseg.training.objectives import Objectives
from geoseg.training.precision import follow
from geoseg.training.spec import EncoderStart, TrainSpec
from geoseg.training.step import Stepper
from geoseg.training.targets import BuildingTarget

MODEL = SimpleNamespace(objects=None, detects_alone=False)


def batch(seed, windows):
    made = torch.Generator().manual_seed(seed)
    images = torch.randn(windows, 3, 16, 16, generator=made)
    labels = images.argmax(1).to(torch.uint8)
    return Batch(images, labels, {}, torch.empty(windows, 0, 16, 16))


def stepper(precision="fp32", **schedule):
    spec = TrainSpec(
        name="t", data=(LabelledScene(scene="s.tif", labels="l.gpkg", use="train"),), target=BuildingTarget(),
        bands="red,green,blue", loss="cross-entropy",
        schedule={"epochs": 1, "steps_per_epoch": 4, "learning_rate": 0.01, "rate": "constant", **schedule},
    )  # fmt: skip
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 3, 1)
    made = Stepper(spec, MODEL, network, frozenset(), precision=precision, device="cpu")
    return made, Objectives.of(spec)


def learnt(one):
    return torch.cat([p.detach().ravel() for p in one.network.parameters()])


def test_batches_that_are_added_up_teach_what_one_batch_of_them_all_does():
    whole, objective = stepper()
    parts, _ = stepper(accumulate=2)
    both = [batch(0, 2), batch(1, 2)]
    images, labels, numbers = (torch.cat([getattr(b, name) for b in both]) for name in ("images", "labels", "numbers"))
    joined = Batch(images, labels, {}, numbers)
    loss = whole.step(iter([joined]), objective)
    assert parts.step(iter(both), objective) == pytest.approx(loss, rel=1e-5)
    assert torch.allclose(learnt(parts), learnt(whole), atol=1e-6)
    assert whole.steps == parts.steps == 1


@pytest.mark.parametrize("clip", [0.0, 1e-3])
def test_gradients_are_cut_at_the_norm(clip):
    one, objective = stepper(clip=clip)
    one.step(iter([batch(0, 2)]), objective)
    norm = float(torch.cat([p.grad.ravel() for p in one.network.parameters()]).norm())
    assert (norm <= 1.001e-3) == (clip > 0)


def test_fp16_with_a_scaled_loss_learns_as_fp32_does_and_an_overflow_changes_nothing_but_the_scale():
    usual, objective = stepper()
    half, _ = stepper("fp16")
    for seed in range(4):
        losses = [one.step(iter([batch(seed, 2)]), objective) for one in (usual, half)]
        assert losses[1] == pytest.approx(losses[0], rel=5e-3)
    assert torch.allclose(learnt(half), learnt(usual), atol=5e-3)
    before, scale = learnt(half), 3e38  # gradients of this scale are no numbers any more
    half.scaler.update(scale)
    half.step(iter([batch(9, 2)]), objective)
    assert torch.equal(learnt(half), before)
    assert half.scaler.get_scale() < scale


def test_the_average_follows_weights_and_takes_counts_as_they_are():
    one, two = torch.nn.BatchNorm2d(2), torch.nn.BatchNorm2d(2)
    with torch.no_grad():
        two.weight.fill_(3.0)
        two.num_batches_tracked.fill_(7)
    follow(one, two, 0.75)
    assert one.weight.tolist() == pytest.approx([1.5, 1.5])
    assert int(one.num_batches_tracked) == 7


@pytest.mark.parametrize(
    ("encoder", "scores", "frozen"),
    [
        ({"freeze_epochs": 2}, (), True),
        ({"freeze_epochs": 2}, (0.5,), True),
        ({"freeze_epochs": 2}, (0.5, 0.6), False),
        ({"freeze_until_stall": True}, (0.5, 0.6), True),
        ({"freeze_until_stall": True}, (0.5, 0.4), False),
        ({"freeze_until_stall": True}, (0.5, 0.4, 0.7), False),
    ],
)
def test_an_encoder_stays_for_some_epochs_or_until_validation_stalls(encoder, scores, frozen):
    said = []
    taught = SimpleNamespace(
        spec=SimpleNamespace(encoder=EncoderStart(**encoder)),
        table=[Epoch(i, 1.0, 1.0, (), s, 0.0, best=s == max(scores[:i])) for i, s in enumerate(scores, 1)],
        stepper=SimpleNamespace(freeze=lambda *, frozen: said.append(frozen), frozen=True),
    )
    loop._Loop._freeze(taught, len(scores) + 1)
    assert (said[-1] if said else taught.stepper.frozen) == frozen
