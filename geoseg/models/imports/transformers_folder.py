"""A folder that transformers has saved becomes a bundle that takes prompts, or words; no code of it is run.

Nothing is fetched: config.json, model.safetensors, the preprocessor's configuration and, for words, tokenizer.json.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geoseg.disk.files import atomic
from geoseg.errors import ConfigError, ModelError
from geoseg.models.architectures import WORDS, check_architecture
from geoseg.models.architectures.sam import Sam2VideoOptions, SamOptions
from geoseg.models.architectures.transformers_config import PARTS
from geoseg.models.architectures.words import WordsOptions
from geoseg.models.bundle import ModelBundle, write_network
from geoseg.models.following import probe_following
from geoseg.models.probed import Probed
from geoseg.models.promptable import probe
from geoseg.models.spec import Architecture, ModelSpec, Normalisation
from geoseg.models.words import TOKENIZER_FILE, probe_words, tokenizer_of
from geoseg.options.exchange import ImportOptions
from geoseg.untrusted.text import parse_json, read_text_file
from geoseg.values.bands import BandSet

KINDS = {
    "sam": ("sam",),
    "sam2": ("sam2", "sam2_video"),  # a folder of SAM 2 is saved as its video model
    "sam2-video": ("sam2_video",),
    "sam3": ("sam3", "sam3_video"),  # and one of SAM 3 may be
    "grounding-dino": ("grounding-dino",),
}
BINDING = {
    "sam3": "the SAM License binds all who use SAM 3 or what is made of it: no military use, no espionage, nothing "
    "that ITAR controls; read LICENSE in the folder, and pass --accept-licence where you do"
}
USUAL_BANDS = "red,green,blue"
LARGEST = 2**20  # bytes of a JSON file
BYTE = 255.0


def import_folder(path: Path, folder: Path, options: ImportOptions) -> ModelBundle:
    """Write the bundle of a folder of one of the families; see above for what it has to hold.

    Raises ModelError where something is missing, the network is none of the family, or its licence binds and nobody
    has accepted it, and ConfigError.
    """
    family = options.family
    assert family is not None  # the caller has looked
    config, seen = read_config(path / "config.json"), normalisation_of(path)
    if config.get("model_type") not in KINDS[family]:
        raise ModelError(f"{path}: its config.json says {config.get('model_type')!r}, and {family} is asked for")
    if family in BINDING and not options.accept_licence:
        raise ModelError(f"{path}: {BINDING[family]}")
    if not (path / "model.safetensors").is_file():
        raise ModelError(f"{path}: no model.safetensors; other weights are pickles, which run code when they are read")
    words = _tokenizer(path) if family in WORDS else None
    digest = {} if words is None else {"tokenizer": hashlib.sha256(words).hexdigest()}
    try:
        known = check_architecture(Architecture(name=family, options={"config": _parts(config, family), **digest}))
    except ConfigError as error:
        raise ModelError(f"{path}: config.json: {error}") from error
    assert isinstance(known, SamOptions | WordsOptions)
    side = known.image_px if options.window_px is None else options.window_px
    if fault := known.fault_of_window(side):
        raise ConfigError(f"window: {fault}")
    network = _loaded(path, known)
    bands = BandSet.parse(options.bands or USUAL_BANDS, sensor=options.sensor).bands
    margin, ramp = side // 4 if options.margin_px is None else options.margin_px, options.ramp_px or 0
    probed = _probed(network, known, len(bands), side)
    spec = ModelSpec(
        name=options.model_name or folder.name,
        task="promptable" if words is None else "words",
        arch=Architecture(name=family, options=known.model_dump()),
        bands=bands,
        gsd_m=None if options.gsd_m in (None, "any") else float(options.gsd_m),
        normalisation=seen,
        window_px=side,
        margin_px=margin,
        ramp_px=ramp,
        multiple_px=known.multiple_px,
        outputs=(),
        classes=(),
        licence=options.licence or licence_of(path),
        attribution=options.attribution or "",
        training={"imported": {"folder": path.name, "parameters": sum(p.numel() for p in network.parameters())}},
        probed=probed,
    )
    if words is not None:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(folder / TOKENIZER_FILE) as temporary:
            temporary.write_bytes(words)
    return write_network(folder, network, spec=spec)


def _probed(network: Any, known: SamOptions | WordsOptions, bands: int, side: int) -> Probed:
    if isinstance(known, WordsOptions):
        return probe_words(network, known, bands, side)
    return (probe_following if isinstance(known, Sam2VideoOptions) else probe)(network, bands, side)


def _tokenizer(path: Path) -> bytes:
    """Return the file that makes numbers of words; raises ModelError where there is none that can be read."""
    file = path / TOKENIZER_FILE
    if not file.is_file():
        raise ModelError(
            f"{path}: no {TOKENIZER_FILE}: how words become numbers is not known; fetch the file that belongs to the "
            f"weights"
        )
    content = file.read_bytes()
    tokenizer_of(file, hashlib.sha256(content).hexdigest())
    return content


def _parts(config: Mapping[str, Any], family: str) -> dict[str, Any]:
    """Return what of a config says how layers are made; that of a video model of SAM 3 holds its detector's."""
    own = config.get("detector_config", config) if family == "sam3" else config
    if family in ("grounding-dino", "sam2-video"):
        return dict(own)
    parts = {key: own[key] for key in PARTS if isinstance(own.get(key), dict)}
    # Of a video model, parts have names of their own, and the same layers.
    return {key: {k: v for k, v in part.items() if not _of_video(k, v)} for key, part in parts.items()}


def _of_video(key: str, value: object) -> bool:
    return key == "model_type" and str(value).startswith("sam2_video_")


def _loaded(path: Path, known: SamOptions | WordsOptions) -> Any:
    """Return the network of a folder; raises ModelError where its tensors are of another one."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()  # its report of a load is said in one line below
    config = getattr(transformers, f"{known.kind}Config")(**known.config)
    try:
        network, found = getattr(transformers, known.network).from_pretrained(
            path,
            config=config,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            attn_implementation="sdpa" if isinstance(known, SamOptions) else "eager",
            dtype=torch.float32,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: weights cannot be read ({str(error).splitlines()[0]})") from error
    wrong = sorted(map(str, (*found["missing_keys"], *found["mismatched_keys"], *found["unexpected_keys"])))
    if wrong:
        raise ModelError(f"{path}: {len(wrong)} tensors are missing, unknown or of another shape, e.g. {wrong[0]}")
    return network


def normalisation_of(path: Path) -> Normalisation:
    """Return how pixels are normalised; raises ModelError that names the key which is missing."""
    told: Mapping[str, Any] = {}
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (path / name).is_file():
            told = read_config(path / name)
            told = told.get("image_processor", told)
            break
    values = []
    for key in ("image_mean", "image_std"):
        numbers = told.get(key)
        if not isinstance(numbers, list) or not all(isinstance(n, int | float) for n in numbers):
            raise ModelError(
                f"{path}: preprocessor_config.json: {key} is missing: how the network wants its pixels is not known; "
                f"fetch the file that belongs to the weights"
            )
        values.append(numbers)
    factor = told.get("rescale_factor", 1 / BYTE)
    mean, std = (tuple(n / factor for n in numbers) for numbers in values)
    return Normalisation(mean=mean, std=std)


def read_config(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file of a folder; raises ModelError where it cannot be read."""
    try:
        content = parse_json(read_text_file(path, at_most=LARGEST))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); a folder that transformers has saved is needed") from error
    return content if isinstance(content, dict) else {}


def licence_of(path: Path) -> str:
    """Return the licence that the folder's README states, empty where it states none."""
    try:
        text = read_text_file(path / "README.md", at_most=LARGEST).decode(errors="replace")
    except (OSError, ValueError):
        return ""
    found = re.search(r"^license(?:_name)?:\s*([\w .-]{1,80})$", text, re.MULTILINE)
    return found[1].strip() if found else ""
