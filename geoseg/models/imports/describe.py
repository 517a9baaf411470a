"""Describe: what a bundle says of a network from elsewhere, by its file, by a bundle that it is like, and by flags."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from geoseg.errors import ConfigError
from geoseg.models.imports.probing import Shape
from geoseg.models.imports.stated import softmax_of
from geoseg.models.spec import Architecture, ModelSpec, Normalisation
from geoseg.options.exchange import ImportOptions
from geoseg.untrusted.validation import in_words
from geoseg.values.bands import BandSet

# What is asked for by name where nothing says it.
ASKED = {
    "classes": "its classes (--classes NAMES)",
    "bands": "its bands (--bands NAMES)",
    "normalisation": "its normalisation (--mean and --std, or --normalises where the network does it)",
    "gsd_m": "the resolution it was trained at (--gsd-m METRES, or any)",
}
OF_THE_LIKE = (
    "bands", "optional", "derived", "values", "gsd_m", "gsd_range_m", "suits_m", "quantity", "normalisation",
    "window_px", "margin_px", "ramp_px", "outputs", "classes", "polygon_class", "tta", "threshold",
)  # fmt: skip
SHARE = 8  # of a window: its margin
Numbers = tuple[float, ...]


def known(
    path: Path, read: Mapping[str, Any], options: ImportOptions, *, like: ModelSpec | None, name: str
) -> dict[str, Any]:
    """Return the fields of a bundle's description that are known before the network is run.

    read: what the file says; like: a bundle whose bands, classes and values it shares. Raises ConfigError that names
    everything that is missing.
    """
    fields: dict[str, Any] = {} if like is None else {field: getattr(like, field) for field in OF_THE_LIKE}
    fields |= {"name": name, **read}
    if options.bands is not None:
        fields["bands"] = BandSet.parse(options.bands, sensor=options.sensor).bands
        fields |= {"optional": (), "derived": (), "values": None}
    if options.classes is not None:
        fields |= {"classes": options.classes, "outputs": softmax_of(options.classes), "polygon_class": None}
    if options.gsd_m is not None:
        fields |= {"gsd_m": None if options.gsd_m == "any" else options.gsd_m, "gsd_range_m": None, "suits_m": None}
    mean, std = options.mean or fields.pop("mean", None), options.std or fields.pop("std", None)
    if options.normalises or (mean is not None and std is not None):
        fields["normalisation"] = (mean or (0.0,), std or (1.0,))
    flags = ("quantity", "polygon_class", "licence", "attribution", "window_px", "margin_px", "ramp_px", "multiple_px")
    fields |= {flag: value for flag in flags if (value := getattr(options, flag)) is not None}
    fields |= {} if options.model_name is None else {"name": options.model_name}
    if missing := [words for field, words in ASKED.items() if field not in fields]:
        raise ConfigError(f"{path}: lacks {', '.join(missing)}; or name a bundle that it is like (--like BUNDLE)")
    if isinstance(fields["normalisation"], tuple):
        mean, std = fields["normalisation"]
        fields["normalisation"] = _normalisation(mean, std, len(fields["bands"]), str(path))
    return fields


def _normalisation(mean: Numbers, std: Numbers, bands: int, where: str) -> Normalisation:
    if not {len(mean), len(std)} <= {1, bands}:
        raise ConfigError(f"{where}: {len(mean)} means and {len(std)} stds, and {bands} bands; give one, or each")
    return Normalisation(mean=mean * (bands // len(mean) or 1), std=std * (bands // len(std) or 1))


def spec_of(fields: Mapping[str, Any], found: Shape, arch: Architecture, *, where: str) -> ModelSpec:
    """Return a bundle's description, once the network was run; raises ConfigError where both do not fit."""
    channels = sum(len(group.channels) for group in fields["outputs"])
    if found.channels != channels and not (found.channels == 1 and channels == 2):
        raise ConfigError(
            f"{where}: answers {found.channels} channels, and {channels} classes are named; name them all in order"
        )
    if over := found.window_px % found.multiple_px:
        near = [side for side in (found.window_px - over, found.window_px - over + found.multiple_px) if side]
        raise ConfigError(
            f"{where}: takes windows of multiples of {found.multiple_px} px, not of {found.window_px}; the nearest are "
            f"{' and '.join(map(str, near))}"
        )
    try:
        return ModelSpec(**{**fields, **_windows(fields, found), "arch": arch, "multiple_px": found.multiple_px})
    except ValidationError as error:
        raise ConfigError(f"{where}: {in_words(ModelSpec, error)}") from error


def _windows(fields: Mapping[str, Any], found: Shape) -> dict[str, int]:
    """Return window, margin and ramp: as they are known for such windows, else an eighth each, about.

    The ramp is as long as it must be for the stride to be a multiple of the network's.
    """
    window, multiple = found.window_px, found.multiple_px
    asked, ramp = fields.get("margin_px"), fields.get("ramp_px")
    if asked is not None and ramp is not None and fields.get("window_px", window) == window:
        return {"window_px": window, "margin_px": asked, "ramp_px": ramp}
    for margin in range(window // SHARE, -1, -1) if asked is None else (asked,):
        least = margin if ramp is None else ramp
        fits = least + (window - 2 * margin - least) % multiple
        if 2 * (margin + fits) <= window and window - 2 * margin - fits >= multiple:
            return {"window_px": window, "margin_px": margin, "ramp_px": fits}
    return {"window_px": window, "margin_px": asked or 0, "ramp_px": ramp or 0}
