"""A training that is killed goes on to the bytes of one that was not; one that cannot go on says why."""

import pytest
import torch
from test_train_fit import area, spec

from geoseg.errors import ConfigError, OutputError, PlanChangedError
from geoseg.models.backends.torch import one_thread_per_network
from geoseg.models.bundle import save_model
from geoseg.training import loop
from geoseg.training.checkpoint import Checkpoint
from geoseg.training.loop import fit
from geoseg.training.losses.table import Objective
from geoseg.training.manifest import differences
from geoseg.training.rates import RATES
from geoseg.training.samples import Samples

SHORT = {"epochs": 3, "steps_per_epoch": 2, "batch": 1, "crop_px": 32}


class Killed(BaseException):
    """The process is gone: nobody catches it."""


@pytest.fixture(autouse=True)
def _one_precision(monkeypatch):
    monkeypatch.setattr(loop, "precision_of", lambda *_: "fp32")  # the probe measures time
    with one_thread_per_network():
        yield


@pytest.fixture(scope="module")
def samples():
    return Samples((area((64, 96), 0),), (area((64, 64), 1),))


@pytest.fixture
def kept(tmp_path):
    (tmp_path / "out").mkdir()
    return Checkpoint(tmp_path / "out" / "kept", every_s=0)


def killed_at(epoch, step):
    def on_step(number, done, _loss):
        if (number, done) == (epoch, step):
            raise Killed

    return on_step


def killed_after(epoch):
    def on_epoch(row, _fitted):
        if row.number == epoch:
            raise Killed

    return on_epoch


def bundle(fitted, folder):
    saved = save_model(folder, fitted.network, spec=fitted.spec)
    return [(folder / name).read_bytes() for name in ("model.json", saved.weights.file)]


def test_a_training_killed_in_an_epoch_and_at_its_border_ends_in_the_same_bytes(samples, kept, tmp_path):
    run = spec(**SHORT, accumulate=2, hard_share=0.5).model_copy(
        update={"window_px": 128, "margin_px": 16, "ramp_px": 32}
    )
    whole = fit(run, samples)
    for kill in ({"on_step": killed_at(2, 2)}, {"on_epoch": killed_after(2)}):
        with pytest.raises(Killed):
            fit(run, samples, checkpoint=kept, **kill)
    rows = []
    resumed = fit(run, samples, checkpoint=kept, on_epoch=lambda row, _: rows.append(row.number))
    assert rows == [3]  # what an epoch tells comes after its checkpoint
    assert bundle(resumed, tmp_path / "resumed") == bundle(whole, tmp_path / "whole")
    assert fit(run, samples, checkpoint=kept, on_step=killed_at(3, 2)).epochs[-1].number == 3  # nothing is left to do


@pytest.mark.nightly
def test_whatever_moment_it_is_killed_at_it_ends_in_the_same_bytes(samples, kept, tmp_path):
    run = spec(**SHORT).model_copy(update={"window_px": 128, "margin_px": 16, "ramp_px": 32})
    whole = bundle(fit(run, samples), tmp_path / "whole")
    moments = [{"on_step": killed_at(epoch, step)} for epoch in (1, 2, 3) for step in (1, 2)]
    for number, kill in enumerate([*moments, *({"on_epoch": killed_after(epoch)} for epoch in (1, 2, 3))]):
        with pytest.raises(Killed):
            fit(run, samples, checkpoint=kept, **kill)
        assert bundle(fit(run, samples, checkpoint=kept), tmp_path / str(number)) == whole
        kept.path.unlink()


def test_another_training_is_refused_with_what_is_otherwise(samples, kept):
    with pytest.raises(Killed):
        fit(spec(**SHORT), samples, checkpoint=kept, on_step=killed_at(1, 2))
    with pytest.raises(PlanChangedError, match=r"config.schedule.epochs 3, now 2.*--fresh"):
        fit(spec(**SHORT | {"epochs": 2}), samples, checkpoint=kept)
    kept.path.write_bytes(kept.path.read_bytes()[:-1])
    with pytest.raises(OutputError, match=r"cannot be read .*--fresh"):
        fit(spec(**SHORT), samples, checkpoint=kept)


def test_a_loss_that_is_no_number_ends_it_and_the_best_network_stays(samples, monkeypatch):
    own = Objective.__call__
    asked = iter(range(1, 99))

    def breaks(self, answer, **how):
        loss = own(self, answer, **how)
        return loss * float("nan") if answer.logits.requires_grad and next(asked) == 4 else loss

    monkeypatch.setattr(Objective, "__call__", breaks)
    networks = []
    told = r"nan in epoch 2, batch 2, at a learning rate of .*windows of .* at row .*; the network of epoch 1 is kept"
    with pytest.raises(ConfigError, match=told):
        fit(spec(**SHORT), samples, on_epoch=lambda _, fitted: networks.append(fitted.network))
    assert all(tensor.isfinite().all() for tensor in networks[0].state_dict().values())


@pytest.mark.parametrize("total", [1, 2, 50])
def test_one_cycle_is_that_of_torch(total):
    optimiser = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=3e-3)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=3e-3, total_steps=total, pct_start=0.08)
    for step in range(total):
        group = optimiser.param_groups[0]
        assert RATES["one-cycle"](step, total, 3e-3) == (group["lr"], group["betas"][0])
        optimiser.step()
        theirs.step()


def test_differences_are_told_by_key():
    assert differences({"a": [1, {"b": None}]}, {"a": [1, {"b": 2}]}) == ["a.1.b None, now 2"]
