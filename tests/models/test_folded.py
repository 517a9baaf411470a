"""Normalisations become part of the convolutions before them where that changes nothing, and in fp32 alone."""

import numpy as np
import pytest
import torch
from conftest import write_bundle
from torch import nn

from geoseg.models.architectures import build_network
from geoseg.models.backends import torch as torch_backend
from geoseg.models.backends.folded import fold
from geoseg.models.backends.torch import TorchBackend
from geoseg.models.bundle import load_model
from geoseg.models.spec import Architecture


def settled(network):
    """A network with normalisations as training leaves them: no two alike."""
    torch.manual_seed(0)
    for norm in norms(network):
        nn.init.uniform_(norm.running_mean, -0.5, 0.5)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    return network.eval()


def norms(network):
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("compact-unet", {"widths": [8, 16, 32]}),
        ("smp-unet", {"encoder_name": "resnet18"}),
        ("smp-unet", {"encoder_name": "tu-tf_efficientnet_lite0"}),
        ("deeplabv3+", {"encoder_name": "mobilenet_v2"}),
        ("segformer", {"encoder_name": "mit_b0"}),
    ],
)
def test_networks_answer_as_before_without_their_normalisations(name, options):
    network = settled(build_network(Architecture(name=name, options=options), in_channels=3, out_channels=2))
    windows = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        before, had = network(windows), norms(network)
        assert fold(network, 3, 64)
        after = network(windows)
    assert had
    assert not norms(network)
    torch.testing.assert_close(after, before, atol=1e-4 * before.abs().max().item(), rtol=0)


class Forked(nn.Module):
    """A convolution whose values are normalised and, beside that, used as they are."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 2, 3, padding=1), nn.BatchNorm2d(2)

    def forward(self, x):
        x = self.convolution(x)
        return x + self.norm(x)


def test_a_convolution_that_is_used_elsewhere_is_told(monkeypatch, tmp_path):
    assert not fold(settled(Forked()), 3, 64)
    bundle = load_model(write_bundle(tmp_path / "m", widths=[4, 8]))
    monkeypatch.setattr(torch_backend, "fold", lambda network, *_: bool(network.apply(spoil)) and False)
    found = TorchBackend(bundle, device="cpu", precision="fp32").network.state_dict()
    for name, value in bundle.network().state_dict().items():
        torch.testing.assert_close(found[name], value, atol=0, rtol=0)  # it is read again


def spoil(module):
    if isinstance(module, nn.Conv2d):
        nn.init.zeros_(module.weight)


def test_norms_that_run_twice_or_after_no_convolution_stay():
    norm = nn.BatchNorm2d(3)
    network = settled(nn.Sequential(norm, nn.Conv2d(3, 3, 1), norm))
    assert fold(network, 3, 64)
    assert norms(network) == [norm]


def test_bf16_keeps_its_normalisations(tiny_bundle):
    found = {p: TorchBackend(load_model(tiny_bundle), device="cpu", precision=p) for p in ("bf16", "fp32")}
    assert len(norms(found["bf16"].network)) > len(norms(found["fp32"].network)) == 0
    windows = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)
    np.testing.assert_allclose(found["bf16"](windows).values, found["fp32"](windows).values, atol=0.05)
