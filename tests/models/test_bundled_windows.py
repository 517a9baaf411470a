"""The calibration windows beside the bundles that come with geoseg."""

import sys
from pathlib import Path

import numpy as np
import pytest

from geoseg.models.bundle import load_model
from geoseg.models.calibration import FILE, stored

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import calibration_windows


def test_bundles_hold_squares_of_the_demo_as_their_networks_see_them(tmp_path):
    for name in calibration_windows.SCENES:
        bundle = load_model(name)
        shipped = Path(bundle.path) / FILE
        assert shipped.stat().st_size < 200_000
        windows = stored(shipped.parent, bundle.spec)
        assert windows.shape[1:] == (len(bundle.spec.bands), bundle.spec.window_px, bundle.spec.window_px)
        assert windows.std((2, 3)).min() > 0.02  # no square is empty, and none is another
        assert len(np.unique(windows[:, 0, 5, 5:37], axis=0)) == len(windows) > 5
    calibration_windows.write(tmp_path, name)
    np.testing.assert_allclose(windows, stored(tmp_path / name, bundle.spec), atol=0.02)


@pytest.mark.parametrize("name", ["spectral"])
def test_no_scene_that_ships_has_these_bands(name):
    bundle = load_model(name)
    assert stored(Path(bundle.path), bundle.spec) is None
