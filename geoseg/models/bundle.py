"""ModelBundle: a folder with model.json and weights.safetensors or model.onnx; written by training and import."""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from geoseg import __version__
from geoseg.disk.files import atomic, sha256_of
from geoseg.disk.places import refuse_unfit_name
from geoseg.errors import ConfigError, ModelError, OutputError
from geoseg.models import calibration
from geoseg.models.architectures import LEAST_BYTES_PER_VALUE, build_network, check_architecture
from geoseg.models.known import SPEC_FILE, known_models
from geoseg.models.spec import ModelSpec, Weights
from geoseg.untrusted.text import parse_json, read_text_file
from geoseg.untrusted.validation import in_words

if TYPE_CHECKING:
    from torch import nn

WEIGHTS_FILES = (Weights.model_fields["file"].default, "model.onnx")
RACY_NS = 2 * 10**9  # a file changed so lately may change again without a new time: clocks of file systems are coarse
LARGEST_SPEC = 16 * 2**20  # bytes of model.json
LARGEST_KEPT = 64 * 2**20  # bytes of weights

Stamp = tuple[int, ...]  # size, times and inode of a file
just_read: dict[tuple[Path, Stamp], bytes] = {}  # the last file that was hashed, until a network is made of it


@dataclass(frozen=True, slots=True)
class ModelBundle:
    """A checked bundle on disk; the network itself is built by ``network()``, so a bundle is cheap to pickle.

    digest: sha256 over model.json, which holds the sha256 of the weights: one name for everything that counts.
    """

    path: str
    spec: ModelSpec
    weights: Weights
    digest: str

    def _repr_html_(self) -> str:
        """Return what it takes and gives with the colours of its classes, for notebooks."""
        from geoseg.scenes.notebook import framed

        spec = self.spec
        told = {
            "network": spec.arch.name,
            "bands": ", ".join(band.name for band in spec.bands),
            "trained at": "any resolution" if spec.gsd_m is None else f"{spec.gsd_m:g} m",
            "licence": spec.licence or "none stated",
            "digest": self.digest[:16],
        }
        lines = (f"ModelBundle {spec.name}", *(f"  {key:11}{value}" for key, value in told.items()))
        return framed("\n".join(lines), classes=spec.class_map)

    @property
    def backend(self) -> str:
        """What runs the network: a key of ``geoseg.models.backends.BACKENDS``."""
        return check_architecture(self.spec.arch).backend

    def content(self) -> bytes:
        """Return the bytes of the weights' file; raises ModelError where they are not those of model.json."""
        file = Path(self.path) / self.weights.file
        stamp = _check_weights(file, self.weights)
        return just_read.pop((file, stamp), None) or file.read_bytes()

    def network(self) -> "nn.Module":
        """Build the network in evaluation mode with the bundle's weights as float32 on the CPU.

        Raises ModelError where the weights do not fit the architecture.
        """
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load

        content = self.content()
        try:
            net = build_network(self.spec.arch, in_channels=len(self.spec.bands), out_channels=self.spec.out_channels)
            state = load(content)
        except ConfigError as error:
            raise ModelError(f"{self.path}: {error}") from error
        except SafetensorError as error:
            raise ModelError(f"{self.path}: {self.weights.file} is not a safetensors file ({error})") from error
        own = net.state_dict()
        wrong = [k for k in own if k not in state or state[k].shape != own[k].shape]
        stray = [k for k in state if k not in own]
        if wrong or stray:
            raise ModelError(
                f"{self.path}: weights do not fit {self.spec.arch.name} "
                f"({len(wrong)} tensors missing or of another shape, {len(stray)} unknown, e.g. {(wrong + stray)[0]})"
            )
        net.load_state_dict({k: v.to(own[k].dtype) if v.is_floating_point() else v for k, v in state.items()})
        return net.eval().requires_grad_(requires_grad=False).to(torch.float32)


def backends_of(bundles: Iterable[ModelBundle]) -> tuple[str, ...]:
    """Return what runs the networks of several bundles."""
    return tuple(sorted({bundle.backend for bundle in bundles}))


def load_model(model: str | Path) -> ModelBundle:
    """Open a bundle by path, or one of ``known_models`` by name, and check its sha256.

    A name that geoseg knows is never a folder here, so a job means the same wherever it is started; write ./buildings
    for a folder of that name. Raises ModelError where it is missing, incomplete, damaged or of another schema.

    >>> load_model("buildings").spec.band_set.names
    ('red', 'green', 'blue')
    """
    own = known_models()
    folder = own[model] if isinstance(model, str) and model in own else Path(model)
    spec_file = folder / SPEC_FILE
    if not spec_file.is_file():
        raise _no_bundle(model, folder, own)
    try:
        text = read_text_file(spec_file, at_most=LARGEST_SPEC)
    except OSError as error:
        raise ModelError(f"{spec_file}: cannot be read ({error.strerror}); see to its permissions") from error
    except ValueError as error:
        raise ModelError(f"{spec_file}: not a model description ({error})") from error
    spec, weights = _described(spec_file, text)
    _check_network(spec_file, spec, weights)
    _check_weights(folder / weights.file, weights)
    return ModelBundle(str(folder), spec, weights, hashlib.sha256(text).hexdigest())


def _no_bundle(model: str | Path, folder: Path, own: Mapping[str, Path]) -> ModelError:
    """Return the error for a path that is no bundle's folder, with the folder where it lies inside one."""
    if (folder.parent / SPEC_FILE).is_file() and folder.exists():
        return ModelError(f"{model}: a file of a model bundle; name its folder, {folder.parent}")
    if folder.is_file():
        return ModelError(f"{model}: a file, no model bundle; a bundle is a folder with {SPEC_FILE} and its weights")
    inside = sorted(p.parent for p in folder.glob(f"*/{SPEC_FILE}")) if folder.is_dir() else []
    if inside:
        return ModelError(f"{model}: a folder that holds model bundles, e.g. {inside[0]}; name one of them")
    near = get_close_matches(str(model), own, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    if str(model).startswith("clouds"):
        hint = "; geoseg models --install clouds writes it"
    return ModelError(
        f"{model}: no model bundle ({SPEC_FILE} not found). Those known by name: {', '.join(own) or 'none'}{hint}"
    )


def _described(path: Path, text: bytes) -> tuple[ModelSpec, Weights]:
    kind: type = Weights
    try:
        content = parse_json(text)
        _refuse_newer(path, content)
        weights = Weights.model_validate(content.pop("weights"))
        kind = ModelSpec
        return ModelSpec.model_validate(content), weights
    except ModelError:
        raise
    except ValidationError as error:
        where = "weights." if kind is Weights else ""
        raise ModelError(f"{path}: {where}{in_words(kind, error)}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # cut off, not JSON, not an object, no weights
        raise ModelError(f"{path}: not a model description ({error!r})") from error


def _refuse_newer(path: Path, content: Any) -> None:
    """Raise ModelError for a description of a schema that a later geoseg has."""
    newest = ModelSpec.model_fields["schema_version"].default
    schema = content.get("schema_version")
    if isinstance(schema, int) and schema > newest:
        raise ModelError(
            f"{path}: schema_version {schema} is of a newer geoseg; this is {__version__}, which reads 1 to {newest}: "
            f"install the geoseg that wrote the bundle, or a later one"
        )


def _check_network(path: Path, spec: ModelSpec, weights: Weights) -> None:
    """Raise ModelError for a network that geoseg does not build, or that the windows or the weights cannot be of."""
    try:
        options = check_architecture(spec.arch)
    except ConfigError as error:
        raise ModelError(f"{path}: arch: {error}") from error
    if (options.detects, options.blends) != (spec.objects is not None, not spec.detects_alone):
        told = "lists objects" if options.detects else "lists no objects"
        told += " and answers classes" if options.detects and options.blends else ""
        raise ModelError(f"{path}: task: {spec.task}, and the network {spec.arch.name} {told}")
    if spec.multiple_px % options.multiple_px:
        raise ModelError(
            f"{path}: multiple_px: {spec.multiple_px} is no multiple of the network's stride, {options.multiple_px} px"
        )
    if fault := options.fault_of_window(spec.window_px):
        raise ModelError(f"{path}: window_px: {spec.arch.name}: {fault}")
    if options.least_values * LEAST_BYTES_PER_VALUE > weights.bytes:
        raise ModelError(
            f"{path}: weights do not fit {spec.arch.name}: {weights.bytes} bytes hold fewer than the "
            f"{options.least_values} values that its options ask for"
        )


def _check_weights(path: Path, weights: Weights) -> Stamp:
    """Check the weights' file, and return its stamp; raises ModelError where it is missing or is not model.json's."""
    if not path.is_file():
        raise ModelError(f"{path}: the bundle's weights are missing; copy the whole folder")
    try:
        info = path.stat()
        if info.st_size != weights.bytes:
            raise ModelError(
                f"{path}: holds {info.st_size} bytes, {SPEC_FILE} says {weights.bytes}; "
                f"the bundle is damaged, fetch it again"
            )
        stamp = info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino
        just_written = time.time_ns() - info.st_mtime_ns < RACY_NS
        found = (_hashed.__wrapped__ if just_written else _hashed)(path, stamp)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); see to its permissions") from error
    if found != weights.sha256:
        raise ModelError(f"{path}: sha256 differs from the one in {SPEC_FILE}; the bundle is damaged, fetch it again")
    return stamp


@lru_cache(maxsize=64)
def _hashed(path: Path, stamp: Stamp) -> str:
    """Return the sha256 of a file, once as long as it stays as it is; a small one is kept for who takes its content."""
    just_read.clear()
    if stamp[0] > LARGEST_KEPT:
        return sha256_of(path)
    content = just_read[path, stamp] = path.read_bytes()
    return hashlib.sha256(content).hexdigest()


def refuse_bundle(folder: Path, *, overwrite: bool, beside: Sequence[str] = ()) -> None:
    """Raise OutputError where ``folder`` holds a bundle, unless told, or other files of the names that are written.

    beside: names that go with the bundle; what lies there is its own where there is a bundle. Raises ConfigError for a
    name that no output can bear.
    """
    refuse_unfit_name(folder)
    if weights_of(folder) is not None:
        if not overwrite:
            raise OutputError(f"{folder}: holds a model bundle already; choose another folder or pass --overwrite")
        return
    for name in (SPEC_FILE, *WEIGHTS_FILES, *beside):
        if os.path.lexists(folder / name):
            raise OutputError(
                f"{folder / name}: lies there already, and not in a bundle of geoseg; move it away or choose another "
                f"folder, --overwrite replaces only bundles"
            )


def weights_of(folder: Path) -> str | None:
    """Return the name of the weights' file of the bundle in ``folder``, damaged or not; None where there is none."""
    try:
        content = json.loads((folder / SPEC_FILE).read_bytes())
        described = {"arch", "bands"} <= content.keys() and not content.keys().isdisjoint(("channels", "outputs"))
        described = described and "sha256" in content["weights"]
        return Path(content["weights"].get("file", WEIGHTS_FILES[0])).name if described else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def save_model(
    folder: Path, network: "nn.Module", *, spec: ModelSpec, half: bool = True, overwrite: bool = False
) -> ModelBundle:
    """Write ``network`` and ``spec`` as a bundle; raises OutputError where one exists, and see ``refuse_bundle``.

    The network runs once, for one window, so that plans know what memory it takes.
    half: floats as fp16, but for tensors with values beyond its range (running variances of unusual layers).
    """
    import torch
    from safetensors.torch import save

    from geoseg.models.live_bytes import probe

    refuse_bundle(folder, overwrite=overwrite)
    fits = torch.finfo(torch.float16).max
    state = {
        k: v.half() if half and v.is_floating_point() and v.abs().max() <= fits else v
        for k, v in ((k, v.detach().cpu().contiguous()) for k, v in network.state_dict().items())
    }
    # Of a detector, as many objects as a window may hold.
    rules, detector = spec.objects and spec.objects.model_copy(update={"least_score": 0.0}), cast("Any", network)
    of = None if rules is None else partial(detector.detect if spec.detects_alone else detector.both, rules=rules)
    probed = probe(network, len(spec.bands), spec.window_px, of=of)
    return write_bundle(folder, save(state), spec=spec.model_copy(update={"probed": probed}))


def write_network(folder: Path, network: "nn.Module", *, spec: ModelSpec) -> ModelBundle:
    """Write ``network`` as it is, and a ``spec`` that says what memory it takes, over a bundle that is there."""
    from safetensors.torch import save

    state = {name: tensor.detach().clone().contiguous() for name, tensor in network.state_dict().items()}
    return write_bundle(folder, save(state), spec=spec)


def write_bundle(folder: Path, content: bytes, *, spec: ModelSpec, file: str = WEIGHTS_FILES[0]) -> ModelBundle:
    """Write the bytes of a weights' file and ``spec`` as a bundle, over one that is there."""
    before = weights_of(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = Weights(file=file, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    told = json.loads(spec.model_dump_json())  # a score that is NaN, of a class validation lacks, becomes null
    body: dict[str, Any] = {**told, "weights": weights.model_dump(mode="json")}
    with atomic(folder / SPEC_FILE) as described:
        described.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        with atomic(folder / weights.file) as weighed:  # first: a torn bundle is told by the sha256 in its description
            weighed.write_bytes(content)
    for old in {before or file, calibration.FILE, calibration.BORDER_FILE} - {file}:  # of the bundle that was there
        (folder / old).unlink(missing_ok=True)
    return load_model(folder)
