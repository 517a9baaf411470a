"""A backend turns windows into probabilities, the same whatever batch or thread they come in."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import write_bundle

from geoseg import predict
from geoseg.errors import ConfigError, PlanChangedError
from geoseg.models.architectures import build_network, check_architecture
from geoseg.models.backends import BACKENDS
from geoseg.models.backends import torch as torch_backend
from geoseg.models.backends.base import Answer
from geoseg.models.backends.torch import (
    TorchBackend,
    choose_device,
    identity,
    one_thread_per_network,
    precisions,
    values_of_a_run,
)
from geoseg.models.bundle import ModelBundle, load_model, save_model
from geoseg.models.live_bytes import probe
from geoseg.models.spec import Architecture


@pytest.fixture(scope="module")
def windows():
    return np.random.default_rng(0).standard_normal((3, 3, 64, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def backend(tiny_bundle):
    return TorchBackend(load_model(tiny_bundle), device="cpu", precision="fp32")


def test_probabilities_are_the_network_s_softmax(backend, tiny_bundle, windows):
    out = backend(windows).values
    assert (out.shape, out.dtype) == ((3, 3, 64, 64), np.float32)
    np.testing.assert_allclose(out.sum(1), 1, atol=1e-6)
    with torch.no_grad():
        expected = torch.softmax(load_model(tiny_bundle).network()(torch.from_numpy(windows)), 1)
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_lanes_change_no_bit(backend, windows):
    with one_thread_per_network():
        alone = backend(windows).values
        with ThreadPoolExecutor(3) as pool:
            for out in pool.map(lambda _: backend(windows).values, range(6)):
                np.testing.assert_array_equal(out, alone)


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with one_thread_per_network():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_bf16_stays_near_fp32(backend, tiny_bundle, windows):
    out = TorchBackend(load_model(tiny_bundle), device="cpu", precision="bf16")(windows).values
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.sum(1), 1, atol=1e-6)  # the softmax is computed in fp32
    np.testing.assert_allclose(out, backend(windows).values, atol=0.05)


def test_devices():
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert precisions("cpu") in (("bf16", "fp32"), ("fp32",))
    assert identity("cpu").startswith("cpu ")
    assert TorchBackend(None, device="cpu", precision="fp32").identity() == identity("cpu")
    with pytest.raises(ConfigError, match="choose auto, cpu or cuda"):
        choose_device("gpu")


def test_cuda_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="torch sees no GPU"):
        choose_device("cuda")


def test_torch_s_private_names_stand_at_one_place():
    package = Path(torch_backend.__file__).parents[2]
    users = [path.name for path in package.rglob("*.py") if "torch.ops." in path.read_text(encoding="utf-8")]
    assert users == ["torch.py"]


SHAPE = (2, 3, 64, 96)


def test_values_of_half_the_size_take_half_the_memory_and_a_gpu_s_are_not_here(tiny_bundle):
    bundle = load_model(tiny_bundle)
    whole, half, there = (
        TorchBackend(unprobed(bundle), device=device, precision=precision).peak_bytes(SHAPE)
        for device, precision in (("cpu", "fp32"), ("cpu", "bf16"), ("cuda", "bf16"))
    )
    assert (whole, there) == (2 * half, 0)
    assert half > 0


@pytest.mark.parametrize("probed", [True, False])
def test_memory_is_asked_for_without_loading_a_network_of_our_own(tiny_bundle, monkeypatch, probed):
    monkeypatch.delattr(ModelBundle, "network")
    bundle = load_model(tiny_bundle)
    bundle = bundle if probed else unprobed(bundle)
    assert TorchBackend(bundle, device="cpu", precision="fp32").peak_bytes(SHAPE) > 0


def unprobed(bundle):
    """The bundle as it was before its memory was counted."""
    return replace(bundle, spec=bundle.spec.model_copy(update={"probed": None}))


def test_memory_that_was_counted_grows_with_the_batch_and_the_window(tiny_bundle):
    bundle = load_model(tiny_bundle)
    backend = TorchBackend(bundle, device="cpu", precision="fp32")
    side = bundle.spec.window_px
    weights = 2 * bundle.weights.bytes
    own = backend.peak_bytes((1, 3, side, side)) - weights
    assert own == int(1.75 * bundle.spec.probed.live_bytes)
    assert backend.peak_bytes((3, 3, side, side // 2)) - weights == pytest.approx(1.5 * own, rel=1e-6)


class Wide(torch.nn.Module):
    """Holds 4 + 2 + 1 times a window of 2 channels at its most, and views of it."""

    def forward(self, x):
        wide = torch.cat([x, x, x, x], 1)  # 4
        pair = wide[:, :4] + wide[:, 4:]  # and 2
        one = (pair[:, :2] + pair[:, 2:]).transpose(2, 3)  # and 1
        del wide, pair
        return one.transpose(2, 3) * 2


def test_live_bytes_are_those_of_all_tensors_that_are_there_at_once():
    assert probe(Wide(), 2, 32).live_bytes == 7 * 2 * 32 * 32 * 4
    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 1000, bias=False))
    assert probe(linear, 1, 8).live_bytes == 1000 * 4
    assert probe(linear.train(), 1, 8).window_px == 8
    assert linear.training


@pytest.mark.parametrize("widths", [[8], [8, 16], [3, 8, 8, 20]])
def test_values_are_counted_as_a_run_of_the_network_gives_them(widths):
    arch = Architecture(name="compact-unet", options={"widths": widths})
    counted = check_architecture(arch).values_per_px(3, 2)
    assert counted == values_of_a_run(build_network(arch, in_channels=3, out_channels=2).eval(), 3, 128) > 0


def test_a_network_whose_options_say_nothing_is_run_once_for_its_memory_and_then_used(tmp_path, tiny_bundle):
    arch = Architecture(name="smp-unet", options={"encoder_name": "resnet18", "decoder_channels": [8, 8, 8, 8, 8]})
    spec = load_model(tiny_bundle).spec.model_copy(update={"arch": arch})
    bundle = save_model(tmp_path / "smp", build_network(arch, in_channels=3, out_channels=3), spec=spec)
    backend = TorchBackend(unprobed(bundle), device="cpu", precision="fp32")
    assert backend.peak_bytes(SHAPE) > 10 * 4 * np.prod(SHAPE)
    network = backend.network
    backend.load()
    assert backend.network is network


def test_any_library_in_the_table_runs_a_job_and_another_than_planned_is_refused(tiny_scene, tiny_bundle, tmp_path):
    class Plain:
        """Half of everything, by no library at all."""

        def __init__(self, here):
            self.here = here

        def load(self):
            pass

        def identity(self):
            return self.here

        def peak_bytes(self, shape):
            return 10**9 * len(shape)

        def __call__(self, windows):
            return Answer(np.full((len(windows), 3, *windows.shape[2:]), 1 / 3, np.float32))

    def table(here):
        return SimpleNamespace(
            choose_device=lambda device: "cpu",
            precisions=lambda device: ("fp32",),
            identity=lambda device: "plain 1",
            devices=lambda kind: ["cpu"],
            one_thread_per_network=nullcontext,
            open_backend=lambda bundle, **_: Plain(here),
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKENDS, "torch", lambda: table("plain 1"))
        result = predict(tiny_scene, tiny_bundle, tmp_path / "out")
        assert set(np.unique(result.to_xarray("confidence"))) == {1 + round(254 * 2 / 3)}
        assert result.run["plan"]["memory_bytes"]["busy"] > 4 * 10**9
        patch.setitem(BACKENDS, "torch", lambda: table("plain 2"))
        with pytest.raises(PlanChangedError, match="run on plain 2 here, planned was plain 1, numpy"):
            predict(tiny_scene, write_bundle(tmp_path / "other", widths=[8, 8]), tmp_path / "second")
