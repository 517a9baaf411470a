"""Weights from local files: which tensors they hold, and where these fit in a network, whatever the keys are called.

safetensors are read here; .pth, .pt, .ckpt and .bin by torch with ``weights_only``, in a process of its own. A folder
of transformers is read by its safetensors. Files by name, which may be fetched, are in ``geoseg.integrations``.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from geoseg.disk.files import sha256_of
from geoseg.errors import ModelError
from geoseg.untrusted.text import one_line, parse_json, read_text_file

if TYPE_CHECKING:
    from torch import Tensor

PICKLES = (".pth", ".pt", ".ckpt", ".bin", ".pkl", ".tar")
OF_TRANSFORMERS = (
    "SegformerForSemanticSegmentation", "SegformerForImageClassification", "SegformerModel",
    "Mask2FormerForUniversalSegmentation", "OneFormerForUniversalSegmentation", "RfDetrForInstanceSegmentation",
)  # fmt: skip
LARGEST_CONFIG = 2**20  # bytes of config.json
IN_FOLDER = ("model.safetensors", "pytorch_model.bin")  # of transformers and smp
LEAST_MATCHED = 0.8  # of a network's tensors; with fewer it is another network
MOST_NAMED = 3  # names that a line gives of each kind
COUNTERS = ("num_batches_tracked", "relative_position_index", "mask_token")  # nothing is learnt in them

# transformers' SegFormer encoder, as smp's mit_b0 to mit_b5 call it; key and value are one tensor there.
SEGFORMER = (
    (r"^(?:.*\.)?encoder\.patch_embeddings\.(\d)\.proj\.", r"patch_embed{+1}.proj."),
    (r"^(?:.*\.)?encoder\.patch_embeddings\.(\d)\.layer_norm\.", r"patch_embed{+1}.norm."),
    (r"^(?:.*\.)?encoder\.layer_norm\.(\d)\.", r"norm{+1}."),
    (r"^(?:.*\.)?encoder\.block\.(\d)\.", r"block{+1}."),
)
SEGFORMER_PARTS = (
    (".attention.self.query.", ".attn.q."), (".attention.self.sr.", ".attn.sr."),
    (".attention.self.layer_norm.", ".attn.norm."), (".attention.output.dense.", ".attn.proj."),
    (".mlp.dense1.", ".mlp.fc1."), (".mlp.dense2.", ".mlp.fc2."), (".layer_norm_1.", ".norm1."),
    (".layer_norm_2.", ".norm2."),
)  # fmt: skip

# What networks trained on ImageNet subtract from red, green and blue, as shares of white, and divide by.
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# torchvision's detectors before 0.13: layers that stand in a block of their own since.
DETECTOR_PARTS: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"(\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)$", r"\1.0.\2"),
    (r"((?:^|\.)rpn\.head\.conv)\.(weight|bias)$", r"\1.0.0.\2"),
    (r"(\.mask_head\.)mask_fcn(\d)\.", lambda found: f"{found[1]}{int(found[2]) - 1}.0."),
)


@dataclass(frozen=True, slots=True, eq=False)
class StoredWeights:
    """The content of a weights' file."""

    tensors: "dict[str, Tensor]"
    about: dict[str, str]
    """Its metadata, of safetensors; hyper_parameters as JSON, of a Lightning checkpoint."""
    sha256: str
    renamed: "dict[str, Tensor] | None" = None
    """Of a folder of transformers: the same tensors by the names that its networks have in memory."""

    @property
    def namings(self) -> "tuple[dict[str, Tensor], ...]":
        """The tensors by all the names that are known of them."""
        return (self.tensors,) if self.renamed is None else (self.tensors, self.renamed)

    def named(self, name: str) -> "Tensor | None":
        """Return the tensor that is called as one of a network, but for what wrappers put before names."""
        same = [
            (len(theirs), tensor)
            for naming in self.namings
            for theirs, tensor in naming.items()
            if f".{name}".endswith(f".{theirs}") or f".{theirs}".endswith(f".{name}")
        ]
        return max(same, key=lambda pair: pair[0], default=(0, None))[1]


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """Which of a network's tensors a file holds."""

    tensors: "dict[str, Tensor]"
    """By the network's names; an input layer of other bands is among them as the file has it."""
    missing: tuple[str, ...]
    """Names of the network that the file has no tensor for, or one of another shape."""
    unexpected: tuple[str, ...]
    """Names of the file that nothing is made of."""

    @property
    def share(self) -> float:
        """How much of the network was found."""
        return len(self.tensors) / max(1, len(self.tensors) + len(self.missing))

    def in_words(self) -> str:
        """Return counts, and a few names of what did not match."""
        parts = [f"{len(self.tensors)} of {len(self.tensors) + len(self.missing)} tensors matched"]
        for names, what in ((self.missing, "missing"), (self.unexpected, "unexpected")):
            if names:
                told = ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
                parts.append(f"{len(names)} {what} ({told})")
        return ", ".join(parts)


def read_weights(path: str | Path, *, sha256: str | None = None) -> StoredWeights:
    """Read the tensors of a file, or of a folder of transformers; no code in it is run.

    sha256: what the file's must begin with. Raises ModelError where the file is missing, is no such file, differs from
    sha256, or is a pickle that needs code.
    """
    file = Path(path)
    if file.is_dir():
        file = next((file / name for name in IN_FOLDER if (file / name).is_file()), file)
    if not file.is_file():
        raise ModelError(f"{path}: no safetensors file and no checkpoint of weights there")
    found = sha256_of(file)
    if sha256 and not found.startswith(sha256.lower()):
        raise ModelError(f"{path}: its sha256 is {found[:16]}…, not {sha256[:16]}…; fetch it again")
    if file.suffix.lower() not in PICKLES:
        return StoredWeights(*_safetensors(file), found, _of_transformers(Path(path)))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "weights.safetensors"
        done = subprocess.run(
            [sys.executable, "-m", "geoseg.models.unpickle", str(file), str(out)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            told = (done.stderr.strip().splitlines() or ["it cannot be read"])[-1]
            raise ModelError(
                f"{path}: not taken ({told}); geoseg runs no code of a checkpoint: save its state_dict alone, best as "
                f"safetensors"
            )
        return StoredWeights(*_safetensors(out), found)


def _safetensors(file: Path) -> "tuple[dict[str, Tensor], dict[str, str]]":
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as opened:
            return {n: opened.get_tensor(n) for n in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file}: no safetensors file of weights ({error})") from error


def _of_transformers(folder: Path) -> "dict[str, Tensor] | None":
    """Return the tensors of a folder of transformers as its networks have them in memory; None for another path.

    transformers renames what it reads, and only it knows how; it reads safetensors here, and no code of the folder.
    """
    if not (folder / "config.json").is_file():
        return None
    try:
        kinds = parse_json(read_text_file(folder / "config.json", at_most=LARGEST_CONFIG))["architectures"]
    except (OSError, ValueError, LookupError, TypeError):
        return None  # smp's, which says nothing of the kind
    if not isinstance(kinds, list) or kinds[:1] not in [[kind] for kind in OF_TRANSFORMERS]:
        return None
    try:
        import transformers
    except ImportError:
        return None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        network = getattr(transformers, kinds[0]).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError) as error:
        told = one_line(error)
        why = "its tensors have other sizes than config.json says" if "ignore_mismatched" in told else told
        raise ModelError(f"{folder}: not a folder of transformers' {kinds[0]} ({why})") from error
    return dict(network.state_dict())


def match(
    given: "Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]]",
    own: "Mapping[str, Tensor]",
    *,
    stems: Iterable[str] = (),
) -> Matched:
    """Return which tensors of a file are those of a network, or of a part of it.

    Wrappers put prefixes before names (module., model.encoder., teacher.backbone.) and the pair of prefixes, of the
    file and of the network, that most names and shapes agree with is taken; SegFormer is translated from transformers'
    names to smp's, an old file of torchvision's detectors to its names of today. given: by the names of the file, or
    by several namings, of which the best counts. stems: names of input layers, which may have another number of bands.
    Counters are left out.
    """
    wanted = {name: tensor for name, tensor in own.items() if not name.endswith(COUNTERS)}
    stem_names = frozenset(stems)
    namings = [given] if isinstance(given, Mapping) else given
    tried = [names for naming in namings for names in (naming, _segformer(naming), _torchvision(naming))]
    return max((_matched(names, wanted, stem_names) for names in tried), key=lambda m: m.share)


def _matched(given: "Mapping[str, Tensor]", wanted: "Mapping[str, Tensor]", stems: frozenset[str]) -> Matched:
    pairs = {
        (theirs, ours): {
            name: source
            for name, tensor in wanted.items()
            if name.startswith(ours)
            and (source := theirs + name.removeprefix(ours)) in given
            and _fits(given[source], tensor, stem=name in stems)
        }
        for theirs in _prefixes(given)
        for ours in _prefixes(wanted)
    }
    found = max(pairs.values(), key=len, default={})
    used = {*found.values()}
    return Matched(
        {name: given[source] for name, source in found.items()},
        tuple(name for name in wanted if name not in found),
        tuple(name for name in given if name not in used and not name.endswith(COUNTERS)),
    )


def _fits(given: "Tensor", own: "Tensor", *, stem: bool) -> bool:
    if stem and given.ndim == own.ndim == 4:
        return (given.shape[0], *given.shape[2:]) == (own.shape[0], *own.shape[2:])
    return given.shape == own.shape


def _prefixes(names: Iterable[str]) -> list[str]:
    """Return what a wrapper may have put before names: the beginnings up to a dot that a tenth of them share."""
    found = Counter("".join(f"{part}." for part in name.split(".")[:n]) for name in names for n in range(5))
    every = found[""]
    return [prefix for prefix, count in found.items() if count * 10 >= every and not re.search(r"\.\d+\.$", prefix)]


def _segformer(given: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Return transformers' SegFormer under smp's names; empty where it is none."""
    import torch

    if not any("encoder.patch_embeddings.0.proj" in name for name in given):
        return {}
    renamed = {_smp_name(name): tensor for name, tensor in given.items()}
    out = {}
    for name, tensor in renamed.items():
        if ".attention.self.key." in name:
            value = renamed[name.replace(".self.key.", ".self.value.")]
            out[name.replace(".attention.self.key.", ".attn.kv.")] = torch.cat([tensor, value])
        elif ".attention.self.value." not in name:
            out[name] = tensor
    return out


def _torchvision(given: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Return a detector that torchvision published before 0.13 under the names that it has today; empty for others."""
    renamed = {
        reduce(lambda found, pair: re.sub(pair[0], pair[1], found), DETECTOR_PARTS, name): tensor
        for name, tensor in given.items()
    }
    return renamed if renamed.keys() != given.keys() else {}


def _smp_name(name: str) -> str:
    for pattern, new in SEGFORMER:
        if found := re.match(pattern, name):
            name = new.replace("{+1}", str(int(found[1]) + 1)) + name[found.end() :]
            break
    for old, new in SEGFORMER_PARTS:
        name = name.replace(old, new)
    return name


def hyper_parameters(stored: StoredWeights) -> dict[str, object]:
    """Return what a Lightning checkpoint says of its network; empty where it says nothing."""
    told = json.loads(stored.about.get("hyper_parameters", "{}"))
    return told if isinstance(told, dict) else {}
