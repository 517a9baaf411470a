"""Networks are built by name, keep the size of their input, and refuse options they do not know."""

import pytest
import torch

from geoseg.errors import ConfigError
from geoseg.models.architectures import ARCHITECTURES, build_network, check_architecture
from geoseg.models.spec import Architecture

SMALL = {
    "compact-unet": {"widths": [4, 8, 12]},
    "smp-unet": {"encoder_name": "resnet18"},
    "pixel-mlp": {"boxes": [3, 7], "widths": [8]},
    "spectral-rules": {"indices": ["ndvi", "mndwi"]},
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
def test_logits_have_the_image_s_size(name, size):
    net = build_network(Architecture(name=name, options=SMALL[name]), in_channels=5, out_channels=4).eval()
    with torch.no_grad():
        assert net(torch.zeros(2, 5, *size)).shape == (2, 4, *size)


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18", "tu-resnet18.a1_in1k", "timm-regnetx_002"])
def test_an_encoder_is_built_without_a_call_to_anybody(monkeypatch, encoder):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_a, **_k: pytest.fail("asked for an address"))
    arch = Architecture(name="smp-unet", options={"encoder_name": encoder})
    assert build_network(arch, in_channels=3, out_channels=2) is not None


def test_evaluation_depends_on_the_window_alone():
    net = build_network(Architecture(name="compact-unet", options=SMALL["compact-unet"]), in_channels=3, out_channels=2)
    images = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        together = net.eval()(images)
        torch.testing.assert_close(together[2:3], net(images[2:3]), atol=1e-6, rtol=1e-5)


def test_dropout_changes_training_alone():
    arch = Architecture(name="compact-unet", options={"widths": [4, 8], "dropout": 0.9})
    net = build_network(arch, in_channels=3, out_channels=2)
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(net.eval()(image), net(image))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("unet", {}, r"unknown architecture 'unet'; did you mean smp-unet\?"),
        ("vit", {}, "unknown architecture 'vit'; there are compact-unet, smp-unet, pixel-mlp, spectral-rules, probe-"),
        ("compact-unet", {}, "does not take"),
        ("compact-unet", {"widths": []}, "does not take"),
        ("compact-unet", {"widths": [4, 8], "heads": 2}, "does not take"),
        ("pixel-mlp", {"boxes": [4]}, "4 is even: a box has a pixel in its middle"),
        ("smp-unet", {"encoder_name": "resnet1010"}, r"unknown encoder_name 'resnet1010'; did you mean resnet101\?"),
        ("smp-unet", {"encoder_name": "tu-resnet9000"}, r"unknown encoder_name .*; did you mean tu-res\w+\?"),
        ("smp-unet", {"decoder_channel": [8]}, r"decoder_channel: unknown key; did you mean decoder_channels\?"),
        ("smp-unet", {"encoder_weights": "imagenet"}, "does not take"),  # weights come from bundles, never from a hub
    ],
)
def test_what_cannot_be_built(name, options, words):
    with pytest.raises(ConfigError, match=words):
        build_network(Architecture(name=name, options=options), in_channels=3, out_channels=2)


def test_what_a_bundle_s_check_asks_is_known_of_every_architecture():
    for name, family in ARCHITECTURES.items():
        options = check_architecture(Architecture(name=name, options=SMALL.get(name, {})))
        assert isinstance(options, family)
        assert options.stride_px >= 1
        assert options.least_values >= 0
