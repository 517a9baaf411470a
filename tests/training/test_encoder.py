"""Encoder weights from a file: they arrive unchanged, adapted to other bands, or are refused in one line."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from geoseg.errors import ConfigError, ModelError
from geoseg.models.architectures import build_network
from geoseg.models.bundle import load_model, save_model
from geoseg.models.spec import Architecture, Normalisation
from geoseg.training import loop
from geoseg.training.areas import AreaPixels
from geoseg.training.data_spec import LabelledScene
from geoseg.training.encoder import read_encoder, start_encoder
from geoseg.training.loop import fit
from geoseg.training.samples import Samples
from geoseg.training.spec import EncoderStart, Schedule, TrainSpec
from geoseg.training.targets import BuildingTarget
from geoseg.values.bands import BandSet

ARCH = Architecture(
    name="smp-unet",
    options={"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]},
)
RGB = BandSet.parse("red,green,blue")
ABOUT = {"bands": "red,green,blue", "mean": "0.5,0.4,0.3", "std": "0.2,0.2,0.2", "licence": "Apache-2.0"}


@pytest.fixture(scope="module")
def donor():
    torch.manual_seed(1)
    network = build_network(ARCH, in_channels=3, out_channels=2)
    return {k.removeprefix("encoder."): v for k, v in network.state_dict().items() if k.startswith("encoder.")}


@pytest.fixture
def file(tmp_path, donor):
    save_file({k: v.clone() for k, v in donor.items()}, tmp_path / "encoder.safetensors", metadata=ABOUT)
    return str(tmp_path / "encoder.safetensors")


def test_the_encoder_is_the_file_s_and_its_input_is_normalised_as_it_knows(file, donor):
    weights = read_encoder(EncoderStart(weights=file))
    network = build_network(ARCH, in_channels=3, out_channels=2)
    own = start_encoder(network, weights, RGB, source=file)
    state = network.state_dict()
    assert set(own.names) == {f"encoder.{name}" for name in donor}
    assert own.anew == ()
    assert all(torch.equal(state[f"encoder.{name}"], value) for name, value in donor.items())
    assert weights.about.keys() == {"licence", "sha256"}
    assert weights.normalisation(RGB, white=255).mean == pytest.approx((127.5, 102.0, 76.5))
    assert weights.normalisation(RGB, white=255).std == pytest.approx((51.0,) * 3)


def test_other_bands_get_filters_by_wavelength(file, donor):
    network = build_network(ARCH, in_channels=4, out_channels=2)
    bands = BandSet.parse("blue,green,red,nir")
    weights = read_encoder(EncoderStart(weights=file))
    own = start_encoder(network, weights, bands, source=file)
    assert own.as_json()["stem"]["red"] == "copy of red"
    stem = network.state_dict()["encoder.conv1.weight"]
    blue, red = stem[:, 0].numpy(), stem[:, 2].numpy()
    given = donor["conv1.weight"].numpy()
    assert np.corrcoef(blue.ravel(), given[:, 2].ravel())[0, 1] > 0.95
    assert np.corrcoef(red.ravel(), given[:, 0].ravel())[0, 1] > 0.95
    assert weights.normalisation(bands, white=1).mean == pytest.approx((0.3, 0.4, 0.5, 0.4))


def test_files_that_are_no_such_encoder(tmp_path, file, donor):
    words = tmp_path / "words.safetensors"
    words.write_text("nothing")
    bare = tmp_path / "bare.safetensors"
    save_file({k: v.clone() for k, v in donor.items()}, bare)
    short = tmp_path / "short.safetensors"
    save_file({k: v.clone() for k, v in donor.items()}, short, metadata={**ABOUT, "mean": "0.5"})
    for path, message in (
        (words, "no safetensors file"),
        (tmp_path / "none.safetensors", "no safetensors file"),
        (bare, "do not say mean and std"),
        (short, "3 bands, but 1 means and 3 stds"),
    ):
        with pytest.raises(ModelError, match=message):
            read_encoder(EncoderStart(weights=str(path)))
    other = Architecture(name="smp-unet", options={**ARCH.options, "encoder_name": "resnet34"})
    with pytest.raises(ModelError, match=r"of the encoder's \d+ tensors are in it .*encoder that arch names"):
        start_encoder(
            build_network(other, in_channels=3, out_channels=2),
            read_encoder(EncoderStart(weights=file)),
            RGB,
            source=file,
        )


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_encoder_keeps_its_weights_while_the_decoder_learns(file, donor, frozen, monkeypatch):
    fitted = taught(monkeypatch, encoder=EncoderStart(weights=file, freeze_epochs=int(frozen)), arch=ARCH)
    assert fitted.spec.normalisation.mean == pytest.approx((127.5, 102.0, 76.5))
    assert fitted.spec.training["encoder"]["licence"] == "Apache-2.0"
    state = fitted.network.state_dict()
    same = torch.equal(state["encoder.layer1.0.conv1.weight"], donor["layer1.0.conv1.weight"])
    assert same == frozen


def test_the_encoder_of_a_bundle_stays_as_it_is_with_its_norms_and_what_it_is_shown(tiny_bundle, monkeypatch):
    given = load_model(tiny_bundle)
    start = {"start_from": str(tiny_bundle), "encoder": EncoderStart(freeze_epochs=1)}
    fitted = taught(monkeypatch, arch=given.spec.arch, **start)
    before, after = given.network().state_dict(), fitted.network.state_dict()
    same = {name: torch.equal(tensor, after[name]) for name, tensor in before.items() if "num_batches" not in name}
    assert all(stays for name, stays in same.items() if name.startswith("encoder."))
    assert not any(stays for name, stays in same.items() if name.startswith(("decoder.", "head.weight")))
    assert fitted.spec.normalisation == given.spec.normalisation


def test_a_network_without_an_encoder_cannot_keep_one(tmp_path, monkeypatch):
    arch = Architecture(name="pixel-mlp", options={})
    network = build_network(arch, in_channels=3, out_channels=3)
    spec = TrainSpec(
        name="t", data=(LabelledScene(scene="s.tif", labels="l.gpkg", use="train"),), target=BuildingTarget(),
        bands="red,green,blue", arch=arch,
    ).of_model(Normalisation(mean=(0.0,) * 3, std=(1.0,) * 3))  # fmt: skip
    save_model(tmp_path / "mlp", network, spec=spec)
    with pytest.raises(ConfigError, match="encoder: pixel-mlp has none; leave it out"):
        taught(monkeypatch, arch=arch, start_from=str(tmp_path / "mlp"), encoder=EncoderStart(freeze_epochs=1))


def taught(monkeypatch, **keys):
    """Train for two steps on a bright square."""
    monkeypatch.setattr(loop, "precision_of", lambda *_: "fp32")  # the probe measures time
    labels = np.zeros((64, 64), np.int32)
    labels[16:40, 16:40] = 1
    image = np.random.default_rng(0).normal(100, 30, (3, 64, 64)).astype(np.float32) + 50 * labels
    area = AreaPixels(image.astype(np.float32), np.ones((64, 64), bool), labels, gsd_m=0.5)
    spec = TrainSpec(
        name="t",
        data=(LabelledScene(scene="scene.tif", labels="labels.gpkg", use="train"),),
        target=BuildingTarget(),
        bands="red,green,blue",
        schedule=Schedule(epochs=1, steps_per_epoch=2, batch=2, crop_px=32, ema=0.0),
        **keys,
    )
    return fit(spec, Samples((area,), (area,)))
