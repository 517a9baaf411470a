"""Weights by name: fetched where that is allowed, checked, and said in one sentence where it cannot be."""

import io
import urllib.error

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save, save_file
from segmentation_models_pytorch.encoders import get_encoder

from geoseg.errors import ConfigError, ModelError
from geoseg.integrations import named
from geoseg.integrations.named import resolved
from geoseg.models.architectures import build_network
from geoseg.models.spec import Architecture
from geoseg.training.encoder import read_encoder, start_encoder
from geoseg.training.spec import EncoderStart
from geoseg.values.bands import BandSet

TIMM = EncoderStart(weights="timm:resnet18.a1_in1k")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOSEG_MODELS", str(tmp_path))
    return tmp_path / "weights"


@pytest.fixture
def asked(monkeypatch):
    """The addresses that were asked for; each answers with a small file of weights."""
    found = []

    def answer(url, timeout):
        found.append(url)
        return io.BytesIO(save({"conv1.weight": torch.ones(1, 3, 1, 1)}))

    monkeypatch.setattr(named.urllib.request, "urlopen", answer)
    return found


def test_a_file_is_a_file(asked):
    start = EncoderStart(weights="somewhere/lite0.safetensors")
    assert resolved(start, allow_network=True) is start
    assert asked == []


def test_nothing_is_fetched_unless_it_is_allowed(folder, asked):
    with pytest.raises(
        ConfigError, match=r"pass --allow-network to fetch it, or put the file of https://.*resnet18"
    ) as e:
        resolved(TIMM, allow_network=False)
    assert str(folder / "timm-resnet18.a1_in1k.safetensors") in str(e.value)
    assert asked == []


def test_a_fetched_file_is_kept_with_the_normalisation_of_its_name(folder, asked):
    start = resolved(TIMM, allow_network=True)
    assert asked == ["https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors"]
    assert start.weights == str(folder / "timm-resnet18.a1_in1k.safetensors")
    assert (start.bands, start.mean, start.white) == ("red,green,blue", (0.485, 0.456, 0.406), 255)
    assert resolved(TIMM, allow_network=False) == start
    assert len(asked) == 1
    said = resolved(EncoderStart(weights=TIMM.weights, mean=(0.5,) * 3), allow_network=False)
    assert said.mean == (0.5,) * 3


def test_smp_s_names(asked):
    resolved(EncoderStart(weights="smp:resnet34/imagenet"), allow_network=True)
    assert asked[0].startswith("https://huggingface.co/smp-hub/resnet34.imagenet/resolve/")


@pytest.mark.parametrize(
    ("name", "file", "encoder"),
    [
        ("timm:resnet18.a1_in1k", "timm-resnet18.a1_in1k.safetensors", "tu-resnet18"),
        ("timm:resnet18.a1_in1k", "timm-resnet18.a1_in1k.safetensors", "resnet18"),
        ("smp:resnet18/imagenet", "smp-resnet18-imagenet.safetensors", "resnet18"),
    ],
)
def test_a_file_that_was_put_there_by_hand_starts_the_encoder(folder, asked, name, file, encoder):
    """Under the keys that timm and smp publish them by: those of their own networks."""
    torch.manual_seed(0)
    own = (timm.create_model("resnet18") if name[0] == "t" else get_encoder("resnet18", weights=None)).state_dict()
    folder.mkdir()
    save_file({key: value.contiguous() for key, value in own.items()}, folder / file)
    start = resolved(EncoderStart(weights=name), allow_network=False)
    network = build_network(Architecture(name="unet", options={"encoder_name": encoder}), in_channels=4, out_channels=2)
    bands = BandSet.parse("nir,red,green,blue")
    start_encoder(network, read_encoder(start), bands, source=name)
    state, inside = network.state_dict(), "encoder.model." if encoder[:3] == "tu-" else "encoder."
    assert torch.equal(state[f"{inside}layer4.1.conv2.weight"], own["layer4.1.conv2.weight"])
    assert np.corrcoef(state[f"{inside}conv1.weight"][:, 1].flatten(), own["conv1.weight"][:, 0].flatten())[0, 1] > 0.9
    assert asked == []


def test_a_fetched_file_of_another_sha256_does_not_stay(folder, asked):
    with pytest.raises(ModelError, match="its sha256 is"):
        resolved(EncoderStart(weights=TIMM.weights, sha256="00000000"), allow_network=True)
    assert list(folder.iterdir()) == []


def test_no_network_is_one_sentence_with_the_file_to_put_where(folder, monkeypatch):
    def fail(url, timeout):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(named.urllib.request, "urlopen", fail)
    with pytest.raises(ModelError) as caught:
        resolved(TIMM, allow_network=True)
    told = str(caught.value)
    assert "cannot be fetched (Name or service not known); put the file of https://" in told
    assert told.endswith(str(folder / "timm-resnet18.a1_in1k.safetensors"))
    assert "\n" not in told
    assert not any(folder.iterdir())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:resnet18.a1_in2k", "did you mean resnet18.a1_in1k"),
        ("smp:resnet43/imagenet", "did you mean resnet34"),
        ("smp:resnet34/nothing", "resnet34 has the weights imagenet"),
    ],
)
def test_an_unknown_name_is_refused(name, words, asked):
    with pytest.raises(ConfigError, match=words):
        resolved(EncoderStart(weights=name), allow_network=True)
    assert asked == []
