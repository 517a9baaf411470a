"""The rules give textbook spectra their class, have the thresholds of docs/model.md, and take any number."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from geoseg.errors import ConfigError
from geoseg.models.architectures import build_network
from geoseg.models.bundle import load_model
from geoseg.models.spec import Architecture

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "spectral_bundle.py"
SPECTRA = [  # blue, green, red, nir, swir16
    ("water", (0.04, 0.04, 0.02, 0.01, 0.005)),
    ("water", (0.002, 0.003, 0.001, 0.002, 0.001)),  # so dark that its NDVI is noise
    ("water", (0.16, 0.23, 0.20, 0.05, 0.01)),  # a bright pond: as red as snow, and black in the near infrared
    ("dense vegetation", (0.02, 0.05, 0.03, 0.40, 0.18)),
    ("sparse vegetation", (0.07, 0.09, 0.12, 0.25, 0.28)),
    ("bare or built", (0.10, 0.14, 0.20, 0.26, 0.35)),
    ("bare or built", (0.15, 0.17, 0.18, 0.20, 0.22)),  # concrete
    ("snow", (0.80, 0.82, 0.80, 0.75, 0.10)),
]


@pytest.fixture(scope="module")
def bundle():
    return load_model("spectral")


def probabilities(bundle, spectra):
    """Return (N, classes): what a window of one row, a pixel each, is taken for."""
    pixels = torch.tensor(np.array(spectra, np.float32).T[None, :, None, :])
    p = torch.softmax(bundle.network()(pixels), 1)[0, :, 0].numpy().T
    classes = np.zeros((len(p), len(bundle.spec.classes)))
    np.add.at(classes.T, list(bundle.spec.class_of_channel), p.T)
    return classes


@pytest.mark.parametrize(("name", "spectrum"), SPECTRA)
def test_a_textbook_spectrum_has_its_class_and_is_sure_of_it(bundle, name, spectrum):
    [p] = probabilities(bundle, [spectrum])
    assert bundle.spec.classes[p.argmax()].name == name
    assert p.max() > 0.6
    assert p.sum() == pytest.approx(1, abs=1e-5)


def test_at_a_threshold_two_classes_are_equal(bundle):
    [p] = probabilities(bundle, [(0.02, 0.05, 0.1, 0.3, 0.3)])  # NDVI .5
    ids = {c.name: i for i, c in enumerate(bundle.spec.classes)}
    assert p[ids["dense vegetation"]] == pytest.approx(0.5, abs=0.01)
    assert p[ids["sparse vegetation"]] == pytest.approx(0.5, abs=0.01)


def test_any_reflectance_has_a_class(bundle):
    extremes = np.stack(np.meshgrid(*[[-0.3, 0.0, 1e-6, 0.05, 2.0]] * 5), -1).reshape(-1, 5)
    p = probabilities(bundle, extremes)
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-4)


def test_the_bundle_is_what_its_script_writes(bundle, tmp_path):
    spec = importlib.util.spec_from_file_location("spectral_bundle", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    written = script.write(tmp_path / "spectral")
    assert written.spec.model_copy(update={"probed": None}) == bundle.spec  # saved before memory was counted
    assert written.weights == bundle.weights


def test_other_bands_are_refused():
    arch = Architecture(name="spectral-rules", options={"indices": ["ndvi"]})
    with pytest.raises(ConfigError, match="takes the 5 bands blue, green, red, nir, swir16, not 3"):
        build_network(arch, in_channels=3, out_channels=2)
