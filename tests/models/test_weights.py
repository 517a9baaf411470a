"""Weights from files of all kinds: matched whatever wraps their keys, counted, pinned, and no code of theirs is run."""

import argparse
import os

import pytest
import torch
from safetensors.torch import save_file

from geoseg.errors import ModelError
from geoseg.models.architectures import build_network
from geoseg.models.spec import Architecture
from geoseg.models.unpickle import main as unpickle
from geoseg.models.unpickle import tensors_in
from geoseg.models.weights import hyper_parameters, match, read_weights

NAMES = ("conv1.weight", "bn1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer1.0.bn1.bias")


def tensors(prefix=""):
    return {f"{prefix}{name}": torch.full((4, 3, 3, 3) if "conv" in name else (4,), i) for i, name in enumerate(NAMES)}


@pytest.mark.parametrize(
    "prefix",
    [
        "", "encoder.", "module.encoder.", "backbone.", "module.backbone.", "module.encoder_q.", "teacher.backbone.",
        "model.encoder.", "backbone.resnet.", "_orig_mod.model.encoder.model.",
    ],
)  # fmt: skip
@pytest.mark.parametrize("own", ["encoder.", "encoder.model.", ""])
def test_prefixes_of_every_wrapper_are_found(prefix, own):
    given = tensors(prefix) | {f"{prefix}fc.weight": torch.zeros(9, 4), "head.bias": torch.zeros(2)}
    given[f"{prefix}bn1.num_batches_tracked"] = torch.tensor(7)
    found = match(given, tensors(own))
    assert found.share == 1
    assert {name: int(t.flatten()[0]) for name, t in found.tensors.items()} == {own + n: i for i, n in enumerate(NAMES)}
    assert set(found.unexpected) == {f"{prefix}fc.weight", "head.bias"}
    assert found.in_words() == f"5 of 5 tensors matched, 2 unexpected ({', '.join(found.unexpected)})"


def test_what_is_missing_is_counted_and_other_bands_fit_at_the_input_alone():
    own = tensors("encoder.")
    own["encoder.conv1.weight"] = torch.zeros(4, 13, 3, 3)
    assert match(tensors(), own).missing == ("encoder.conv1.weight",)
    assert match(tensors(), own).share == 0.8
    assert match(tensors(), own, stems=["encoder.conv1.weight"]).tensors["encoder.conv1.weight"].shape[1] == 3
    assert match({}, own).share == 0


def test_containers_of_checkpoints_are_opened():
    inner = tensors("module.")
    for content in (inner, {"state_dict": inner, "epoch": 3}, {"student": {}, "teacher": inner}, {"model": inner}):
        assert tensors_in(content).keys() == inner.keys()
    assert tensors_in([1]) == {}


BLOCK = (
    ("layer_norm_1", "norm1"), ("layer_norm_2", "norm2"), ("attention.self.query", "attn.q"),
    ("attention.self.sr", "attn.sr"), ("attention.self.layer_norm", "attn.norm"),
    ("attention.output.dense", "attn.proj"), ("mlp.dense1", "mlp.fc1"), ("mlp.dense2", "mlp.fc2"),
    ("mlp.dwconv.dwconv", "mlp.dwconv.dwconv"),
)  # fmt: skip


@pytest.mark.parametrize("root", ["segformer.", ""])
def test_a_segformer_of_transformers_is_smp_s_encoder(root):
    """Keys as transformers writes them; on all of mit_b0 both encoders answer the same to 2e-5."""
    given, wanted, n = {}, {}, 0
    for stage in range(4):
        pairs = [(f"patch_embeddings.{stage}.{theirs}", f"patch_embed{stage + 1}.{ours}")
                 for theirs, ours in (("proj", "proj"), ("layer_norm", "norm"))]  # fmt: skip
        pairs += [(f"layer_norm.{stage}", f"norm{stage + 1}")]
        pairs += [(f"block.{stage}.{i}.{a}", f"block{stage + 1}.{i}.{b}") for i in range(2) for a, b in BLOCK]
        for theirs, ours in pairs:
            for kind in ("weight", "bias"):
                n += 1
                given[f"{root}encoder.{theirs}.{kind}"] = wanted[f"encoder.{ours}.{kind}"] = torch.tensor([float(n)])
        for i in range(2):
            for kind in ("weight", "bias"):
                both = torch.tensor([n + 0.25]), torch.tensor([n + 0.5])
                for name, value in zip(("key", "value"), both, strict=True):
                    given[f"{root}encoder.block.{stage}.{i}.attention.self.{name}.{kind}"] = value
                wanted[f"encoder.block{stage + 1}.{i}.attn.kv.{kind}"] = torch.cat(both)
    found = match(given | {"decode_head.classifier.bias": torch.zeros(3)}, wanted)
    assert found.share == 1
    assert all(torch.equal(found.tensors[name], value) for name, value in wanted.items())
    network = build_network(
        Architecture(name="smp-unet", options={"encoder_name": "mit_b0", "encoder_depth": 5}), in_channels=3,
        out_channels=2,
    )  # fmt: skip
    own = {name for name in network.state_dict() if name.startswith("encoder.")}
    assert own <= wanted.keys() | {name for name in own if ".attn.sr." in name or ".attn.norm." in name}
    assert wanted.keys() - own == {n for n in wanted if "block4" in n and (".attn.sr." in n or ".attn.norm." in n)}


@pytest.mark.slow  # torch is imported once more
def test_a_lightning_checkpoint_is_read_in_another_process_with_what_it_says(tmp_path):
    content = {
        "state_dict": tensors("model."),
        "hyper_parameters": {"model": "unet", "in_channels": 13, "ignore": None},
    }
    torch.save(content, tmp_path / "task.ckpt")
    stored = read_weights(tmp_path / "task.ckpt")
    assert stored.tensors.keys() == tensors("model.").keys()
    assert hyper_parameters(stored) == {"model": "unet", "in_channels": 13, "ignore": None}


class Harm:
    def __reduce__(self):
        return os.system, ("touch harmed",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"state_dict": Harm()}, "it wants to import .*system"),
        ({"args": argparse.Namespace(lr=1), **tensors()}, "it wants to import argparse.Namespace"),
        ({"epoch": 3}, "no tensors by name"),
    ],
)
def test_a_pickle_that_needs_code_names_it_and_runs_nothing(tmp_path, monkeypatch, capsys, content, words):
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "w.pth")
    assert unpickle(str(tmp_path / "w.pth"), str(tmp_path / "out")) == 4
    assert capsys.readouterr().err.strip().startswith("it")
    assert {p.name for p in tmp_path.iterdir()} == {"w.pth"}
    monkeypatch.setattr("subprocess.run", lambda command, **_: _done(unpickle, command, capsys))
    with pytest.raises(ModelError, match=words) as caught:
        read_weights(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4


def _done(main, command, capsys):
    code = main(*command[3:])

    class Done:
        returncode, stderr = code, capsys.readouterr().err

    return Done


@pytest.mark.slow  # transformers is imported
@pytest.mark.parametrize("name", ["hf-segformer", "mask2former"])
def test_a_folder_that_transformers_wrote_is_its_network_whole(tmp_path, name):
    pytest.importorskip("transformers")
    network = build_network(Architecture(name=name), in_channels=3, out_channels=4)
    inner = next(m for m in network.modules() if hasattr(m, "save_pretrained"))
    inner.save_pretrained(tmp_path)
    own = network.state_dict()
    found = match(read_weights(tmp_path).namings, own)
    assert found.share == 1, found.in_words()
    assert all(torch.equal(found.tensors[key], own[key]) for key in found.tensors)


def test_a_folder_of_another_library_is_read_as_it_is(tmp_path):
    save_file(tensors(), tmp_path / "model.safetensors")
    for config in ('{"_model_class": "Unet"}', '{"architectures": ["Evil"]}', '{"architectures": 3}', "["):
        (tmp_path / "config.json").write_text(config)
        assert len(read_weights(tmp_path).namings) == 1


def test_a_pinned_file_is_the_one_that_was_meant(tmp_path):
    save_file(tensors(), tmp_path / "w.safetensors", metadata={"licence": "MIT"})
    stored = read_weights(tmp_path / "w.safetensors")
    assert stored.about == {"licence": "MIT"}
    assert read_weights(tmp_path / "w.safetensors", sha256=stored.sha256[:8].upper()).sha256 == stored.sha256
    with pytest.raises(ModelError, match=r"its sha256 is [0-9a-f]{16}…, not 00000000…; fetch it again"):
        read_weights(tmp_path / "w.safetensors", sha256="00000000")
    save_file(tensors(), tmp_path / "model.safetensors")
    assert read_weights(tmp_path).tensors.keys() == tensors().keys()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="no safetensors file and no checkpoint"):
        read_weights(tmp_path / "empty")
