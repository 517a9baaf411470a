"""Networks are built by name, keep the size of their input, and refuse options they do not know."""

import sys

import pytest
import torch
from networks import TINY
from torchvision.models import vgg

from geoseg.errors import ConfigError
from geoseg.models.architectures import ARCHITECTURES, build_network, check_architecture
from geoseg.models.architectures.unets_torch import Gate
from geoseg.models.spec import Architecture

SMALL = {
    "compact-unet": {"widths": [4, 8, 12]},
    "smp-unet": {"encoder_name": "resnet18"},
    "pixel-mlp": {"boxes": [3, 7], "widths": [8]},
    "spectral-rules": {"indices": ["ndvi", "mndwi"]},
    "window-method": {"method": "chan-vese"},
}
LEARNED = [
    ("plain-unet", {"widths": [8, 12]}),
    ("compact-unet", {"widths": [8, 12]}),
    ("unet++", {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}),
    ("unet", {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}),
    ("attention-unet", {"encoder_name": "resnet18", "decoder_channels": [16, 8, 8]}),
    ("nnunet-plain", {"widths": [8, 12]}),
    ("fcn-8s", {"encoder_name": "resnet18"}),
    ("fpn", {"encoder_name": "resnet18", "decoder_pyramid_channels": 16, "decoder_segmentation_channels": 32}),
]


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
        ("deeplab", {}, r"unknown architecture 'deeplab'; did you mean deeplabv3\?"),
        ("xyz", {}, "unknown architecture 'xyz'; there are compact-unet, plain-unet, unet, unet"),
        ("unet", {"encoder": "resnet18"}, r"encoder: unknown key; did you mean encoder_\w+\?"),
        (
            "attention-unet",
            {"encoder_name": "resnet1010"},
            r"unknown encoder_name 'resnet1010'; did you mean resnet101",
        ),
        (
            "unet",
            {"upsampling": "nearest"},
            "upsampling: 'nearest': choose 'bilinear', 'transposed' or",
        ),
        (
            "manet",
            {"upsampling": "transposed"},
            "upsampling: transposed: this network grows by layers of its own; leave",
        ),
        ("transunet", {"heads": 7, "encoder_name": "resnet18"}, "7 heads do not divide the 512 channels"),
        ("nnunet-residual", {"widths": [8, 8], "blocks": [1, 1, 1]}, "2 widths, but blocks of 3 levels"),
        ("unet3d", {"dates": 2}, "3 channels are no bands of 2 dates"),
        ("temporal", {"dates": 2, "network": {"name": "unet"}}, "3 channels are no bands of 2 dates"),
        ("temporal", {"dates": 3, "network": {"name": "umet"}}, r"unknown architecture 'umet'; did you mean unet\?"),
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
        options = check_architecture(Architecture(name=name, options={**TINY, **SMALL}.get(name, {})))
        assert isinstance(options, family)
        assert options.multiple_px >= 1
        assert options.least_values >= 0


def test_the_plain_u_net_is_the_textbook_s():
    net = build_network(Architecture(name="plain-unet"), in_channels=1, out_channels=2)
    assert sum(p.numel() for p in net.parameters()) == 31_036_546


@pytest.mark.parametrize("kind", ["bilinear", "transposed", "pixel-shuffle"])
@pytest.mark.parametrize(("name", "options"), LEARNED)
def test_decoders_grow_as_asked(name, options, kind):
    arch = Architecture(name=name, options={**options, "upsampling": kind})
    net = build_network(arch, in_channels=3, out_channels=4).eval()
    layers = {type(m) for m in net.modules()}
    assert (torch.nn.ConvTranspose2d in layers, torch.nn.PixelShuffle in layers) == (
        kind == "transposed",
        kind == "pixel-shuffle",
    )
    with torch.no_grad():
        assert net(torch.randn(1, 3, 64, 32)).shape == (1, 4, 64, 32)


def test_gates_let_through_a_share_that_depends_on_what_lies_below():
    torch.manual_seed(0)
    gate = Gate(8, 12)
    skip, below, other = torch.randn(1, 8, 6, 6), torch.randn(1, 12, 6, 6), torch.randn(1, 12, 6, 6)
    with torch.no_grad():
        shares = gate.shares(skip, below)
        assert ((shares > 0) & (shares < 1)).all()
        assert not torch.equal(shares, gate.shares(skip, other))
        torch.testing.assert_close(gate(skip, below), skip * shares)


def test_a_mean_or_attention_over_dates_does_not_depend_on_their_order():
    image = torch.randn(1, 3 * 4, 16, 16)
    shuffled = image.reshape(1, 3, 4, 16, 16)[:, [2, 0, 1]].reshape(1, 12, 16, 16)
    for over in ("mean", "attention"):
        options = {"dates": 3, "over": over, "network": {"name": "compact-unet", "options": {"widths": [4, 8]}}}
        net = build_network(Architecture(name="temporal", options=options), in_channels=12, out_channels=2).eval()
        with torch.no_grad():
            torch.testing.assert_close(net(image), net(shuffled))
    with torch.no_grad():
        one = net.network(image[:, :4])  # a stack of one date three times is that date
        torch.testing.assert_close(net(image[:, :4].repeat(1, 3, 1, 1)), one)


def test_nnunet_answers_at_every_level_of_its_decoder():
    arch = Architecture(name="nnunet-plain", options={"widths": [8, 12, 16]})
    net = build_network(arch, in_channels=3, out_channels=4).eval()
    x = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        full, half = net.levels(x)
        assert torch.equal(full, net(x))
    assert half.shape == (1, 4, 8, 8)


@pytest.mark.parametrize(
    ("name", "options", "px", "words"),
    [
        ("unet", {}, 500, "multiples of 32 px, 32 px or more; the nearest are 480 and 512 px"),
        ("pan", {}, 96, "multiples of 32 px, 128 px or more; the nearest are 128 and 160 px"),
        ("pan", {}, 128, ""),
        ("deeplabv3+", {}, 240, ""),
        ("rf-detr-seg", {}, 168, "multiples of 24 px, 192 px or more"),  # 200 queries begin at 14 x 14 patches or more
    ],
)
def test_windows_that_are_not_taken_are_told_with_the_nearest(name, options, px, words):
    told = check_architecture(Architecture(name=name, options=options)).fault_of_window(px)
    assert words in told
    assert bool(told) == bool(words)


@pytest.mark.parametrize(
    ("name", "options", "everywhere"),
    [
        ("unet", {}, False),
        ("unet", {"encoder_name": "efficientnet-b0"}, True),
        ("unet", {"encoder_name": "mobilenet_v2"}, False),
        ("unet", {"decoder_attention_type": "scse"}, True),
        ("nnunet-plain", {}, False),
        ("nnunet-plain", {"norm": "instance"}, True),
        ("pspnet", {}, True),
        ("fpn", {}, True),
    ],
)
def test_what_looks_everywhere_says_so(name, options, everywhere):
    arch = Architecture(name=name, options=options)
    assert check_architecture(arch).looks_everywhere == everywhere


@pytest.mark.parametrize(
    ("name", "options", "drops"),
    [
        ("unet", {}, False),
        ("unet", {"encoder_name": "vgg11"}, True),
        ("fcn-8s", {}, True),
        ("attention-unet", {"encoder_name": "tu-vgg11"}, True),
        ("mask-rcnn", {"encoder_name": "vgg13_bn"}, True),
        ("temporal", {"dates": 2, "network": {"name": "unet", "options": {"encoder_name": "vgg11"}}}, True),
        ("compact-unet", {"widths": [4, 8]}, False),
    ],
)
def test_the_classifier_that_an_encoder_builds_and_drops_is_told(name, options, drops):
    with torch.device("meta"):
        classifier = vgg.vgg11(weights=None).classifier
    real = sum(p.numel() * p.element_size() for p in classifier.parameters())
    arch = Architecture(name=name, options=options)
    assert check_architecture(arch).dropped_bytes == real * drops


def test_no_architecture_takes_an_encoder_that_a_library_would_fetch(monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_a, **_k: pytest.fail("asked for an address"))
    refused = []
    for name in (name for name, family in ARCHITECTURES.items() if "encoder_name" in family.model_fields):
        for encoder in ("tu-hf_hub:a/b", "hf-hub:a/b", "tu-local-dir:/tmp/x"):
            with pytest.raises(ConfigError, match="does not take these options"):
                check_architecture(Architecture(name=name, options={"encoder_name": encoder}))
        refused.append(name)
    assert len(refused) > 10


def test_without_transformers_its_networks_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        ConfigError, match=r"^transformers is not installed; type: pip install 'geoseg\[transformers\]'$"
    ):
        build_network(Architecture(name="mask2former"), in_channels=3, out_channels=2)
