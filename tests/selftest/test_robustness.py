"""The robustness card: a network that looks at single pixels changes with their values alone."""

import json

import numpy as np
import pytest

from geoseg.cli import main
from geoseg.models.bundle import load_model
from geoseg.selftest import robustness as card


@pytest.fixture
def windows():
    return np.random.default_rng(0).normal(0, 1, (2, 3, 128, 128)).astype(np.float32)


def test_a_network_of_single_pixels_changes_with_their_values_alone(windows, tiny_bundle, monkeypatch):
    monkeypatch.setattr(card._Card, "classes", lambda _, image: (image[0] > 0).astype(np.intp))
    found = card.robustness(load_model(tiny_bundle), windows)
    assert found["windows"] == 2
    changed = found["changed"]
    assert changed["flip left to right"] == changed["flip upside down"] == changed["windows 17 px further"] == 0
    assert {name for name, share in changed.items() if share > 0.005} >= {
        "gain +10%", "noise of 2 %", "haze of 15 %", "pixels 20 % coarser",
    }  # fmt: skip
    assert changed["haze of 15 %"] == pytest.approx(float((np.abs(windows[:, 0] + 0.22) < 0.22).mean()), abs=0.01)


def test_the_card_of_a_bundle_is_printed(tiny_scene, tiny_bundle, capsys):
    assert main(["verify", str(tiny_scene), "-m", str(tiny_bundle), "--robustness", "--json", "-q"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"gain -10%", "JPEG of quality 75", "flip upside down"} <= told["changed"].keys()
    assert all(0 <= share <= 1 for share in told["changed"].values())
