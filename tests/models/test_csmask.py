"""Networks of the package ukis-csmask become bundles; a made-up package stands for it, with a smaller encoder."""

import json

import pytest
import torch

from geoseg.cli import main
from geoseg.errors import ModelError, OutputError
from geoseg.models import csmask
from geoseg.models.architectures import build_network
from geoseg.models.bundle import load_model
from geoseg.models.spec import Architecture

BANDS = {"4b": ["blue", "green", "red", "nir"], "6b": ["blue", "green", "red", "nir", "swir16", "swir22"]}


@pytest.fixture(scope="module")
def weights():
    """The tensors of the networks of 4 and 6 bands, as the package's files hold them: without what no U-Net reads."""
    torch.manual_seed(0)
    arch = Architecture(name="smp-unet", options={"encoder_name": "efficientnet-b0"})
    nets = {kind: build_network(arch, in_channels=len(bands), out_channels=3) for kind, bands in BANDS.items()}
    return {
        kind: {
            name: tensor.half().float()
            for name, tensor in net.state_dict().items()
            if not name.startswith(csmask.UNUSED) and not name.endswith("num_batches_tracked")
        }
        for kind, net in nets.items()
    }


@pytest.fixture
def package(tmp_path, monkeypatch, weights):
    """A folder of what the package holds, and ``csmask`` made to find it."""
    for kind, _ in csmask.KINDS.values():
        bands = BANDS[kind[:2]]
        statistics = {"img": [[0.2] * len(bands), [0.1] * len(bands)], "band_names": bands}
        content = {"data": {"dataset_statistics": statistics}}
        (tmp_path / f"model_{kind}.json").write_text(json.dumps(content))
    monkeypatch.setattr(csmask, "ENCODER", "efficientnet-b0")
    monkeypatch.setattr(csmask, "version", lambda _name: "1.0.0")
    monkeypatch.setattr(csmask, "_installed", lambda: tmp_path)
    monkeypatch.setattr(csmask, "_weights", lambda path: weights[path.name[6:8]])
    monkeypatch.setenv("GEOSEG_MODELS", str(tmp_path / "models"))
    return tmp_path


def test_the_verb_writes_four_models_that_are_found_by_name(package, weights, capsys):
    assert main(["models", "--install", "clouds"]) == 0
    assert capsys.readouterr().out.split() == [str(package / "models" / name) for name in csmask.KINDS]
    clouds, rgbn = load_model("clouds"), load_model("clouds-rgbn-l2a")
    assert clouds.spec.band_set.names == tuple(BANDS["6b"])
    assert rgbn.spec.band_set.names == tuple(BANDS["4b"])
    assert [c.name for c in clouds.spec.classes] == ["clear", "cloud", "cloud shadow"]
    assert (clouds.spec.quantity, clouds.spec.licence) == ("reflectance", "Apache-2.0")
    assert clouds.spec.normalisation.mean == (0.2,) * 6
    found = clouds.network().state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in weights["6b"].items())


def test_what_is_there_is_replaced_only_when_asked_and_comes_out_the_same(package):
    first = [bundle.digest for bundle in csmask.install(package / "models")]
    with pytest.raises(OutputError, match="--overwrite"):
        list(csmask.install(package / "models"))
    assert [bundle.digest for bundle in csmask.install(package / "models", overwrite=True)] == first


def test_weights_of_another_network_are_refused(package, monkeypatch):
    monkeypatch.setattr(csmask, "_weights", lambda _path: {})
    with pytest.raises(ModelError, match=r"model_6b_l1c\.onnx: \d+ of \d+ tensors missing .* 1\.0\.0 is the version"):
        list(csmask.install(package / "models"))


def test_a_missing_package_is_one_sentence_with_the_line_to_type(monkeypatch, capsys):
    monkeypatch.setattr(csmask, "find_spec", lambda _name: None)
    assert main(["models", "--install", "clouds"]) == 2
    told = capsys.readouterr().err
    assert told == "error: ukis-csmask and onnx not installed; type: pip install 'geoseg[clouds]'\n"
