"""Checkpoints of smp, Lightning and torchgeo's tasks become bundles whose networks answer as they did."""

import io
import os
from contextlib import redirect_stderr
from dataclasses import replace
from types import SimpleNamespace

import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import save_file

from geoseg.cli import main
from geoseg.errors import ConfigError, ModelError
from geoseg.models import unpickle, weights
from geoseg.models.bundle import load_model
from geoseg.models.imports.run import import_model
from geoseg.options.exchange import ImportOptions, parse_classes

SAID = ImportOptions(
    bands="red,green,blue", classes=parse_classes("land,roof"), mean=(80.0,), std=(40.0,), gsd_m=0.5, window_px=64
)
ENCODER, DECODER = "mobilenet_v2", (16, 16, 8, 8, 4)


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Read pickles in this process: one of its own is what ``tests/models/test_weights.py`` tries."""

    def run(command, **_):
        said = io.StringIO()
        with redirect_stderr(said):
            code = unpickle.main(*command[-2:])
        return SimpleNamespace(returncode=code, stderr=said.getvalue())

    monkeypatch.setattr(weights.subprocess, "run", run)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return smp.Unet(ENCODER, encoder_weights=None, classes=2, decoder_channels=DECODER).eval()


@pytest.fixture(scope="module")
def window():
    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def assert_same(bundle, network, window):
    with torch.no_grad():
        torch.testing.assert_close(bundle.network()(window), network(window))


def test_a_folder_of_smp_says_its_network_itself(network, window, tmp_path):
    network.save_pretrained(tmp_path / "unet")
    made = import_model(tmp_path / "unet", tmp_path / "b", SAID).bundle
    assert_same(made, network, window)
    assert made.spec.arch.options["encoder_name"] == ENCODER
    assert (made.spec.multiple_px, made.spec.window_px) == (32, 64)
    assert [c.name for c in made.spec.classes] == ["land", "roof"]
    with pytest.raises(ConfigError, match="a network for 3 bands, and 2 are named"):
        import_model(tmp_path / "unet", tmp_path / "c", replace(SAID, bands="red,nir"))
    with pytest.raises(ConfigError, match="a network for 2 classes, and 3 are named"):
        import_model(tmp_path / "unet", tmp_path / "c", replace(SAID, classes=parse_classes("a,b,c")))


def test_lightning_s_checkpoint_is_of_the_network_that_is_named(network, window, tmp_path):
    tensors = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"state_dict": tensors, "hyper_parameters": {"rate": 0.1}, "epoch": 3}, tmp_path / "last.ckpt")
    with pytest.raises(ConfigError, match=r"--network NAME, --network-options JSON.*--like BUNDLE"):
        import_model(tmp_path / "last.ckpt", tmp_path / "b", SAID)
    options = {"encoder_name": ENCODER, "decoder_channels": list(DECODER)}
    named = replace(SAID, network="smp-unet", network_options=options)
    made = import_model(tmp_path / "last.ckpt", tmp_path / "b", named).bundle
    assert_same(made, network, window)
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, tmp_path / "bare.safetensors")
    like = import_model(tmp_path / "bare.safetensors", tmp_path / "c", ImportOptions(), like=str(tmp_path / "b"))
    assert_same(like.bundle, network, window)
    other = replace(named, network_options={"encoder_name": "resnet18"})
    with pytest.raises(ModelError, match=r"tensors matched, .* missing .*its network is not smp-unet with"):
        import_model(tmp_path / "last.ckpt", tmp_path / "d", other)
    unknown = replace(named, network="smp-une")
    with pytest.raises(ConfigError, match=r"unknown architecture 'smp-une'; did you mean"):
        import_model(tmp_path / "last.ckpt", tmp_path / "d", unknown)


def test_a_torchgeo_task_says_model_and_backbone(window, tmp_path):
    network = smp.Unet(ENCODER, encoder_weights=None, classes=2).eval()
    tensors = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    told = {"model": "unet", "backbone": ENCODER, "in_channels": 3, "num_classes": 2, "loss": "ce", "lr": 1e-3}
    torch.save({"state_dict": tensors, "hyper_parameters": told}, tmp_path / "task.ckpt")
    assert_same(import_model(tmp_path / "task.ckpt", tmp_path / "b", SAID).bundle, network, window)


class Malicious:
    def __reduce__(self):
        return os.system, ("touch /tmp/geoseg-was-here",)


def test_a_pickle_that_needs_code_is_refused_with_what_it_wants(tmp_path, capsys):
    torch.save({"state_dict": {}, "hyper_parameters": Malicious()}, tmp_path / "bad.ckpt")
    flags = ["--bands", "r,g,b", "--classes", "a,b", "--normalises", "--gsd-m", "any", "--network", "smp-unet"]
    assert main(["import", str(tmp_path / "bad.ckpt"), "-o", str(tmp_path / "b"), *flags]) == 4
    assert "it wants to import posix.system" in capsys.readouterr().err


def test_the_command_takes_options_as_json(network, tmp_path, capsys):
    torch.save(network.state_dict(), tmp_path / "net.pth")
    flags = [
        "--bands",
        "R,G,B",
        "--classes",
        "a,b",
        "--mean",
        "80",
        "--std",
        "40",
        "--gsd-m",
        "0.5",
        "--window-px",
        "64",
        "--network",
        "smp-unet",
    ]
    given = '{"encoder_name": "mobilenet_v2", "decoder_channels": [16, 16, 8, 8, 4]}'
    to = ["import", str(tmp_path / "net.pth"), "-o", str(tmp_path / "b"), *flags]
    assert main([*to, "--network-options", given]) == 0
    assert load_model(tmp_path / "b").spec.arch.options["decoder_channels"] == [16, 16, 8, 8, 4]
    assert main([*to, "--overwrite", "--network-options", "encoder"]) == 2
    assert "write a JSON object" in capsys.readouterr().err
