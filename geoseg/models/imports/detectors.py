"""Detectors that others publish become bundles that run untrained, see ``published`` for which.

The stem is adapted to the bands. Heads keep all classes, since a score is a share among them: nothing starts anew, or
the file is refused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geoseg.errors import ConfigError, ModelError
from geoseg.models.adapt import adapt_stem, input_layers
from geoseg.models.architectures import build_network, check_architecture
from geoseg.models.bundle import ModelBundle, save_model
from geoseg.models.detecting import Detecting
from geoseg.models.imports.describe import known, spec_of
from geoseg.models.imports.probing import Shape
from geoseg.models.imports.published import Published, of_folder, of_torchvision, refuse_other_layers
from geoseg.models.imports.stated import numbered
from geoseg.models.imports.transformers_folder import USUAL_BANDS, licence_of
from geoseg.models.spec import Normalisation
from geoseg.models.weights import match
from geoseg.options.exchange import ImportOptions
from geoseg.values.bands import BandSet

if TYPE_CHECKING:
    from torch import Tensor, nn

RGB = BandSet.parse(USUAL_BANDS)  # of all that are published
GROUND = "ground"  # the class of what is no object
RULES = ("least_score", "per_window")


def import_detector(
    path: Path, folder: Path, options: ImportOptions, *, overwrite: bool
) -> tuple[ModelBundle, tuple[str, ...]]:
    """Write the bundle of a published detector; returns it with what became of its stem and its heads, a line each.

    Raises ModelError for a file that is none of the family, ConfigError for what nobody says.
    """
    found = (of_torchvision if options.family == "mask-rcnn" else of_folder)(path, options)
    bands = BandSet.parse(options.bands, sensor=options.sensor) if options.bands else RGB
    own, seen = check_architecture(found.arch), _seen_in(bands, found.seen)
    window, margin, ramp = own.windows
    usual = {
        "bands": bands.bands, "mean": seen.mean, "std": seen.std, "window_px": found.window_px or window,
        "ramp_px": ramp, "licence": licence_of(path), **({"margin_px": margin} if options.window_px is None else {}),
        **({"classes": numbered(list(found.names))} if found.names else {}),
    }  # fmt: skip
    fields = known(path, usual, options, like=None, name=folder.name)
    kept, named = [*found.names.values()] or range(found.classes), [one.name for one in fields["classes"]]
    if len(named) != len(kept):
        raise ConfigError(
            f"{path}: its heads know {len(kept)} classes, and {len(named)} are named; name them all in order, or train "
            f"from the file to learn others"
        )
    network = build_network(found.arch, in_channels=len(bands), out_channels=len(kept))
    if found.config is not None:
        refuse_other_layers(network, found.config, str(path))
    stem, heads = _fill(network, found, bands, kept, where=str(path), size_px=own.window_from(64))
    told = {"stem": stem, "heads": heads, "classes": [len(kept), found.classes]}
    fields |= {
        "task": "objects",
        "outputs": (),
        "classes": (*fields["classes"], *([] if GROUND in named else numbered([*named, GROUND])[-1:])),
        "objects": Detecting(
            things=tuple(named), **{k: v for k in RULES if (v := getattr(options, k)) is not None}
        ),
        "training": {
            "imported": {"file": path.name, "family": options.family, "sha256": found.stored.sha256, **told}
        },
    }  # fmt: skip
    spec = spec_of(fields, Shape(0, fields["window_px"], own.multiple_px), found.arch, where=str(path))
    lines = (
        "stem: " + "; ".join(f"{band}: {how}" for band, how in stem.items()),
        f"heads: kept as they are, {found.classes} classes"
        + (f", but for {found.classes - len(kept)} that have no name" if len(kept) < found.classes else ""),
    )
    return save_model(folder, network, spec=spec, half=False, overwrite=overwrite), lines


def _fill(
    network: "nn.Module", found: Published, bands: BandSet, classes: Sequence[int], *, where: str, size_px: int
) -> tuple[dict[str, str], list[str]]:
    """Fill a network; returns where each band's filters come from, and names of the heads of which rows were kept."""
    import torch

    state = network.state_dict()
    stems = input_layers(network, len(bands), size_px)
    matched = match(found.stored.namings, state, stems=stems)
    tensors, count, heads = dict(matched.tensors), *found.rows(classes)
    kept, lacking = [], []
    for name in matched.missing:
        rows = _rows(found.stored.named(name), state[name], count, heads)
        if rows is None:
            lacking.append(name)
        else:
            tensors[name] = rows
            kept.append(name)
    wrong = [name for name in stems if name in tensors and tensors[name].shape[1] != len(RGB)]
    if lacking or wrong or not stems:
        raise ModelError(
            f"{where}: {matched.in_words()}; its network is not {found.arch.name} with {found.arch.options}"
        )
    origins: dict[str, str] = {}
    for name in stems:
        adapted, by = adapt_stem(tensors[name].float().numpy(), RGB, bands)
        tensors[name] = torch.from_numpy(adapted)
        origins = {one.band: one.how for one in by}
    network.load_state_dict({**state, **tensors})
    network.eval()
    return origins, kept


def _rows(given: "Tensor | None", own: "Tensor", count: int, picked: Sequence[int]) -> "Tensor | None":
    """Return some of the ``count`` groups of rows that a head's tensor has; None where it is no such tensor."""
    if given is None or given.ndim != own.ndim or given.shape[1:] != own.shape[1:] or len(given) % count:
        return None
    out = given.reshape(count, -1, *given.shape[1:])[list(picked)].flatten(0, 1)
    return out if out.shape == own.shape else None


def _seen_in(bands: BandSet, seen: Normalisation) -> Normalisation:
    """Return how bands are shown to a network of red, green and blue; one that it has not, as these are on average."""
    mean, std = (
        tuple(values[RGB.indices_of(BandSet((b,)))[0]] if RGB.holds(b) else float(np.mean(values)) for b in bands)
        for values in (seen.mean, seen.std)
    )
    return Normalisation(mean=mean, std=std)
