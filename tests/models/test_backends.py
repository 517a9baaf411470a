"""A backend turns windows into probabilities, the same whatever batch or thread they come in."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from geoseg.errors import ConfigError
from geoseg.models.backends import torch as torch_backend
from geoseg.models.backends.torch import (
    TorchBackend,
    choose_device,
    choose_precision,
    describe_device,
    one_thread_per_network,
)
from geoseg.models.bundle import load_model


@pytest.fixture(scope="module")
def windows():
    return np.random.default_rng(0).standard_normal((3, 3, 64, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def backend(tiny_bundle):
    return TorchBackend(load_model(tiny_bundle), device="cpu", precision="fp32")


def test_probabilities_are_the_network_s_softmax(backend, tiny_bundle, windows):
    out = backend(windows)
    assert (out.shape, out.dtype) == ((3, 3, 64, 64), np.float32)
    np.testing.assert_allclose(out.sum(1), 1, atol=1e-6)
    with torch.no_grad():
        expected = torch.softmax(load_model(tiny_bundle).network()(torch.from_numpy(windows)), 1)
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_lanes_change_no_bit(backend, windows):
    with one_thread_per_network():
        alone = backend(windows)
        with ThreadPoolExecutor(3) as pool:
            for out in pool.map(lambda _: backend(windows), range(6)):
                np.testing.assert_array_equal(out, alone)


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with one_thread_per_network():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_bf16_stays_near_fp32(backend, tiny_bundle, windows):
    out = TorchBackend(load_model(tiny_bundle), device="cpu", precision="bf16")(windows)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.sum(1), 1, atol=1e-6)  # the softmax is computed in fp32
    np.testing.assert_allclose(out, backend(windows), atol=0.05)


def test_devices():
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_precision("cpu") in ("bf16", "fp32")
    assert describe_device("cpu").startswith("cpu ")
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
