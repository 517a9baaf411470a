"""Input layers adapted by what bands measure: exact where bands are shared, of equal strength where they are not."""

import numpy as np
import pytest
import torch

from geoseg.errors import ModelError
from geoseg.models.adapt import CORRELATION, adapt_stem, start_from
from geoseg.models.architectures import build_network
from geoseg.models.spec import Architecture
from geoseg.values.bands import BandSet

RGB = BandSet.parse("red,green,blue")
S2 = BandSet.parse("B02,B03,B04,B08,B11,B12", sensor="sentinel-2")
ARCHS = {
    "compact-unet": Architecture(name="compact-unet", options={"widths": [8, 12, 16]}),
    "smp-unet": Architecture(name="smp-unet", options={"encoder_name": "resnet18"}),
}


def stem(bands, filters=64, size=7):
    """Filters as trained ones are: smooth, most of their energy in a few oriented waves."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-3:4, -3:4][:, :size, :size] / 3
    waves = [np.cos(a * x + b * y + c) * np.exp(-(x**2 + y**2)) for a, b, c in rng.normal(0, 2, (filters * bands, 3))]
    return np.array(waves, np.float32).reshape(filters, bands, size, size)


def test_the_same_bands_in_any_order_are_copied_bit_for_bit():
    weight = stem(3)
    for order in ("red,green,blue", "blue,red,green", "green,blue,red"):
        target = BandSet.parse(order)
        adapted, origins = adapt_stem(weight, RGB, target)
        assert np.array_equal(adapted, weight[:, RGB.indices_of(target)])
        assert [o.how for o in origins] == [f"copy of {name}" for name in target.names]


def test_a_subset_is_copied_and_never_random():
    every = BandSet.parse("B01,B02,B03,B04,B05,B06,B07,B08,B8A,B09,B10,B11,B12", sensor="sentinel-2")
    weight = stem(13, 16)
    np.testing.assert_array_equal(adapt_stem(weight, every, S2)[0], weight[:, [1, 2, 3, 7, 11, 12]])


def test_zero_and_mean_start_strange_bands_so():
    weight, target = stem(3), BandSet.parse("nir,blue,VV,red,green,swir16")
    zero, origins = adapt_stem(weight, RGB, target, "zero")
    np.testing.assert_array_equal(zero[:, [3, 4, 1]], weight)
    assert not zero[:, [0, 2, 5]].any()
    assert [o.how for o in origins] == ["zero", "copy of blue", "zero", "copy of red", "copy of green", "zero"]
    mean, origins = adapt_stem(weight, RGB, target, "mean")
    assert [o.how for o in origins if o.band in ("nir", "VV")] == ["mean of all bands"] * 2
    np.testing.assert_array_equal(mean[:, 0], mean[:, 2])


@pytest.mark.parametrize("arch", ARCHS)
def test_policy_zero_is_an_exact_identity(arch):
    torch.manual_seed(0)
    donor = build_network(ARCHS[arch], in_channels=3, out_channels=2).eval()
    network = build_network(ARCHS[arch], in_channels=5, out_channels=2)
    start_from(network, donor, source=RGB, target=BandSet.parse("nir,red,green,blue,swir16"), policy="zero")
    image = torch.rand(1, 5, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(image), donor(image[:, 1:4]), atol=1e-5, rtol=1e-4)


def test_near_infrared_comes_from_red_and_radar_from_the_mean():
    weight = stem(3)
    adapted, origins = adapt_stem(weight, RGB, BandSet.parse("red,green,blue,nir,VV"))
    assert [o.how for o in origins[3:]] == ["neighbours red", "mean of all bands"]
    for o in range(0, 64, 7):
        nir, vv = adapted[o, 3].ravel(), adapted[o, 4].ravel()
        assert np.corrcoef(nir, weight[o, 0].ravel())[0, 1] > 0.99
        assert np.corrcoef(vv, weight[o].mean(0).ravel())[0, 1] > 0.999


def test_the_nearest_of_two_equal_bands_is_copied():
    source = BandSet.parse("B8A,B08", sensor="sentinel-2")
    assert adapt_stem(stem(2), source, BandSet.parse("nir"))[1][0].how == "copy of B08"


@pytest.mark.parametrize(
    "target", [S2, BandSet.parse("R,G,B,N", sensor="naip"), BandSet.parse("VV,VH"), BandSet.parse("nir")]
)
def test_responses_keep_their_variance(target):
    """On standardised bands that correlate by 0.8 in place and in spectrum, as measured on real scenes."""
    rng = np.random.default_rng(1)

    def patches(bands):
        shared = rng.standard_normal((4000, 1, 1, 1))
        place = rng.standard_normal((4000, bands, 1, 1))
        detail = rng.standard_normal((4000, bands, 7, 7))
        level = np.sqrt(CORRELATION) * shared + np.sqrt(1 - CORRELATION) * place
        return np.sqrt(CORRELATION) * level + np.sqrt(1 - CORRELATION) * detail

    weight = stem(3)
    adapted, _ = adapt_stem(weight, RGB, target)
    before = np.einsum("nbij,obij->no", patches(3), weight).var(0)
    after = np.einsum("nbij,obij->no", patches(len(target)), adapted).var(0)
    assert 0.8 < np.median(after / before) < 1.25
    assert 0.8 < after.sum() / before.sum() < 1.25


def test_where_the_bands_correlation_was_measured_responses_keep_their_variance_exactly():
    """Bands of one place: red, green and blue alike, near infrared against them, as over fields."""
    rng = np.random.default_rng(2)
    light, green = rng.standard_normal((2, 50000))
    pixels = np.stack([light, 0.95 * light + 0.3 * green, 0.97 * light, green - 0.6 * light])
    pixels += 0.1 * rng.standard_normal(pixels.shape)
    pixels = ((pixels - pixels.mean(1, keepdims=True)) / pixels.std(1, keepdims=True)).astype(np.float32)
    weight, target = stem(3, 64, 1), BandSet.parse("red,green,blue,nir")
    for policy in ("copy", "mean"):
        told, _ = adapt_stem(weight, RGB, target, policy, correlation=np.corrcoef(pixels))
        plain, _ = adapt_stem(weight, RGB, target, policy)
        before = np.einsum("oi,in->on", weight[..., 0, 0], pixels[:3]).var(1)
        after, blind = (np.einsum("oi,in->on", w[..., 0, 0], pixels).var(1) for w in (told, plain))
        np.testing.assert_allclose(after, before, rtol=1e-3)
        assert np.abs(np.log(blind / before)).max() > 0.2
    unknown = adapt_stem(stem(3), RGB, target, correlation=np.full((4, 4), np.nan))[0]
    np.testing.assert_allclose(unknown.std(), adapt_stem(stem(3), RGB, target)[0].std(), rtol=0.3)


@pytest.mark.parametrize("arch", ARCHS)
def test_a_network_started_on_reordered_bands_answers_the_same(arch):
    torch.manual_seed(0)
    donor = build_network(ARCHS[arch], in_channels=3, out_channels=2).eval()
    network = build_network(ARCHS[arch], in_channels=3, out_channels=2)
    start_from(network, donor, source=RGB, target=BandSet.parse("blue,red,green"))
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(image[:, [2, 0, 1]]), donor(image), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("arch", ARCHS)
def test_every_convolution_that_sees_the_image_is_adapted(arch):
    torch.manual_seed(0)
    donor = build_network(ARCHS[arch], in_channels=3, out_channels=2)
    network = build_network(ARCHS[arch], in_channels=6, out_channels=5)
    origins = start_from(network, donor, source=RGB, target=S2)
    assert [o.band for o in origins] == list(S2.names)
    given, state = donor.state_dict(), network.state_dict()
    stems = [k for k in state if state[k].ndim == 4 and state[k].shape[1] == 6]
    assert len(stems) == (2 if arch == "compact-unet" else 1)  # conv1 and the shortcut; resnet's first convolution
    for name in stems:
        np.testing.assert_array_equal(state[name], adapt_stem(given[name].numpy(), RGB, S2)[0])
    others = [k for k in state if k not in stems and state[k].shape == given[k].shape]
    assert all(torch.equal(state[k], given[k]) for k in others)
    assert len(others) > 0.9 * len(state)


def test_another_architecture_is_refused():
    donor = build_network(ARCHS["compact-unet"], in_channels=3, out_channels=2)
    wider = Architecture(name="compact-unet", options={"widths": [16, 24, 32]})
    for arch in (wider, ARCHS["smp-unet"]):
        with pytest.raises(ModelError, match="another architecture"):
            start_from(build_network(arch, in_channels=6, out_channels=2), donor, source=RGB, target=S2)
