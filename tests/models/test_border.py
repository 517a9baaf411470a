"""The border profile: where labels of small windows differ from those of larger ones; it is kept beside the bundle."""

import json

import numpy as np
import pytest
from conftest import write_bundle

from geoseg.cli.card import card, choice
from geoseg.errors import ModelError
from geoseg.models.border import BorderProfile, measure, store, stored, with_margin
from geoseg.models.bundle import load_model


def test_labels_differ_near_the_border_alone_of_a_network_that_looks_near(tmp_path):
    bundle = load_model(write_bundle(tmp_path / "m", widths=[4, 8]))
    windows = np.cumsum(np.random.default_rng(0).normal(size=(2, 3, 128, 128)), 2).astype(np.float32)
    profile = measure(bundle, windows)
    assert (profile.window_px, profile.within_px, profile.windows) == (64, 128, 2)
    assert [ring[:2] for ring in profile.rings] == [(0, 4), (4, 8), (8, 16), (16, 32)]
    assert profile.rings[0][2] > 0 == profile.rings[-1][2]
    store(tmp_path / "m", profile)
    assert stored(tmp_path / "m") == profile
    assert load_model(tmp_path / "m").digest == bundle.digest
    assert card(bundle)["border"].startswith("0 to 4 px ")
    (tmp_path / "m" / "border_profile.json").write_text(json.dumps({"rings": 3}))
    with pytest.raises(ModelError, match="holds no border profile"):
        stored(tmp_path / "m")


def test_it_is_not_measured_where_there_are_no_classes_or_no_smaller_windows(tmp_path):
    bundle = load_model(
        write_bundle(tmp_path / "m", widths=[4, 8], window_px=64, margin_px=0, ramp_px=0, multiple_px=64)
    )
    assert measure(bundle, np.zeros((1, 3, 64, 64), np.float32)) is None
    assert stored(tmp_path / "m") is None
    assert BorderProfile(32, 64, 1, ((0, 4, 0.5),)).in_words().startswith("0 to 4 px 50.0 % of labels")


def profile_of(*shares):
    ends = (0, 4, 8, 16, 32, 64)
    return BorderProfile(
        128, 256, 4, tuple((low, high, s) for low, high, s in zip(ends, ends[1:], shares, strict=False))
    )


@pytest.mark.parametrize(
    ("shares", "margin"),
    [
        ((0.0, 0.0, 0.0, 0.0, 0.0), 0),
        ((0.2, 0.1, 0.0, 0.0, 0.0), 16),  # half the network's stride is the least
        ((0.2, 0.1, 0.03, 0.02, 0.01), 32),
        ((0.2, 0.0, 0.0, 0.011, 0.0), 32),  # the farthest ring with too much counts
        ((0.2, 0.1, 0.1, 0.1, 0.1), 32),  # an eighth of the window is the most
    ],
)
def test_the_margin_is_the_least_that_leaves_few_labels_which_depend_on_the_border(tmp_path, shares, margin):
    bundle = load_model(write_bundle(tmp_path / "m", widths=[4, 8], window_px=256, margin_px=48, ramp_px=32))
    assert profile_of(*shares).margin_px(bundle.spec) == margin
    made = with_margin(bundle, profile_of(*shares))
    assert made.spec == bundle.spec.model_copy(update={"margin_px": margin})
    assert load_model(tmp_path / "m").spec == made.spec
    assert made.weights == bundle.weights


def test_a_bundle_stays_as_it_is_where_its_margin_is_right_or_nothing_was_measured(tmp_path):
    bundle = load_model(write_bundle(tmp_path / "m", widths=[4, 8], window_px=256, margin_px=16, ramp_px=32))
    assert with_margin(bundle, None) is bundle
    assert with_margin(bundle, profile_of(0.2, 0.0, 0.0, 0.0, 0.0)) is bundle
    assert "choose" not in choice(profile_of(0.2), bundle.spec)
    assert choice(profile_of(0.2, 0.2, 0.2, 0.2), bundle.spec).endswith(
        "at most 20.0 % differ; a training would choose 32 px"
    )
