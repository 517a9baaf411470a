"""The pixel network: what it sees of a pixel against numpy, and what its answer does not depend on."""

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from geoseg.models.architectures import build_network, check_architecture
from geoseg.models.architectures.pixel_mlp_torch import BRIGHT, ROUGH, box_mean, describe
from geoseg.models.spec import Architecture

ARCH = Architecture(name="pixel-mlp", options={"boxes": [3, 7], "widths": [8], "context": [3, 5]})
REACH_PX = 7 // 2 + 5 // 2


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network(ARCH, in_channels=3, out_channels=4).eval()


@pytest.mark.parametrize("side", [1, 3, 9])
def test_box_means_are_those_of_what_lies_in_the_window(side):
    x = np.random.default_rng(0).random((12, 20))
    inside = uniform_filter(x, side, mode="constant") / uniform_filter(np.ones_like(x), side, mode="constant")
    np.testing.assert_allclose(box_mean(torch.from_numpy(x)[None, None], side)[0, 0], inside, rtol=1e-9)


def test_a_pixel_is_described_by_logarithms_and_spreads():
    x = torch.rand(1, 2, 9, 9, dtype=torch.float64) + 0.5
    seen = describe(x, (9,))[0, :, 4, 4].tolist()
    dark, light = x[0].numpy()
    means, stds = (dark.mean(), light.mean()), (dark.std(), light.std())
    logs = np.log([dark[4, 4], light[4, 4], *means])
    rough = np.divide(stds, means)
    expected = [*(logs - BRIGHT[0]) / BRIGHT[1], *(rough - ROUGH[0]) / ROUGH[1]]
    np.testing.assert_allclose(seen, expected, rtol=1e-6)
    assert len(seen) == check_architecture(Architecture(name="pixel-mlp", options={"boxes": [9]})).features(2)


def test_the_answer_turns_and_flips_with_the_ground(network):
    image = torch.randn(1, 3, 24, 24)
    with torch.no_grad():
        turned = network(image.rot90(1, (2, 3)).flip(3)).flip(3).rot90(-1, (2, 3))
        torch.testing.assert_close(network(image), turned, rtol=1e-4, atol=1e-5)


def test_windows_agree_where_their_edges_are_out_of_reach(network):
    image = torch.randn(1, 3, 40, 40)
    inner = slice(REACH_PX, 30 - REACH_PX)
    with torch.no_grad():
        whole, part = network(image).softmax(1), network(image[:, :, 5:35, 5:35]).softmax(1)
    torch.testing.assert_close(whole[:, :, 5:35, 5:35][:, :, inner, inner], part[:, :, inner, inner])


def test_black_and_what_lies_below_it_gives_numbers(network):
    with torch.no_grad():
        assert torch.isfinite(network(torch.full((1, 3, 16, 16), -9.0))).all()
