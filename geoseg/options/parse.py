"""Texts of options: sizes, durations, shards, lists of names, meanings of values, and nodata."""

import re
from collections.abc import Mapping
from typing import Literal

from geoseg.errors import ConfigError
from geoseg.options.option import Text

TURNS = ("none", "flip", "rotate", "d4")
SCALES = (0.25, 4.0)  # of a window
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def parse_bytes(text: str) -> int:
    """Return a size in bytes; raises ConfigError.

    >>> parse_bytes("4GB"), parse_bytes("1.5 GiB"), parse_bytes("512M")
    (4000000000, 1610612736, 512000000)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?\s*", text.upper())
    if found is None or found[2] not in UNITS:
        raise ConfigError(f"{text!r}: write {SIZE.form}")
    return int(float(found[1]) * UNITS[found[2]])


def parse_seconds(text: str) -> float:
    """Return a duration in seconds; raises ConfigError.

    >>> parse_seconds("90"), parse_seconds("55m"), parse_seconds("1.5h")
    (90.0, 3300.0, 5400.0)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text.lower())
    if found is None:
        raise ConfigError(f"{text!r}: write {DURATION.form}")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def parse_shard(text: str) -> tuple[int, int]:
    """Return (i, n) of "i/n", the i-th of n, counted from 1; raises ConfigError.

    >>> parse_shard("1/8")
    (1, 8)
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if found is None:
        raise ConfigError(f"{text!r}: write {SHARD.form}")
    return int(found[1]), int(found[2])


def parse_names(text: str) -> tuple[str, ...]:
    """Return the names of a list with commas.

    >>> parse_names("classes, confidence")
    ('classes', 'confidence')
    """
    return tuple(name.strip() for name in text.split(","))


def parse_values(text: str) -> dict[str, str]:
    """Return what values mean; raises ConfigError.

    >>> parse_values("0=background, 7=building")
    {'0': 'background', '7': 'building'}
    """
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(value.strip() and name.strip() for value, _, name in pairs):
        raise ConfigError(f"{text}: write {VALUES.form}")
    return {value.strip(): name.strip() for value, _, name in pairs}


def parse_nodata(text: str) -> float | Literal["none"]:
    """Return a nodata value, or that there is none; raises ConfigError."""
    if text == "none":
        return "none"
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"{text}: write {NODATA.form}") from error


def parse_percentiles(text: str) -> tuple[float, float]:
    """Return two percentiles of "LOW,HIGH"; raises ConfigError.

    >>> parse_percentiles("2,98")
    (2.0, 98.0)
    """
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{text}: write {PERCENTILES.form}") from error
    return low, high


def parse_views(said: object) -> str:
    """Return views of a window as one text; raises ConfigError.

    >>> parse_views("d4@1"), parse_views({"views": "flip", "scales": [0.75, 1, 1.25]})
    ('d4', 'flip@0.75,1,1.25')
    """
    if isinstance(said, Mapping):
        unknown = set(said) - {"views", "scales"}
        scales = said.get("scales", [1])
        if unknown or not isinstance(scales, list | tuple):
            raise ConfigError(f"{dict(said)}: write {VIEWS.form}")
        said = f"{said.get('views', 'none')}@{','.join(map(str, scales))}"
    turns, scales = turns_and_scales(str(said))
    return turns if scales == (1,) else f"{turns}@{','.join(f'{scale:g}' for scale in scales)}"


def are_views(text: str) -> bool:
    """Return whether a text names views of a window."""
    try:
        return bool(turns_and_scales(text))
    except ConfigError:
        return False


def turns_and_scales(text: str) -> tuple[str, tuple[float, ...]]:
    """Return the two parts of a text such as "flip@0.75,1,1.25"; raises ConfigError.

    >>> turns_and_scales("rotate")
    ('rotate', (1.0,))
    """
    turns, _, listed = text.replace(" ", "").partition("@")
    try:
        scales = tuple(float(part) for part in listed.split(",")) if "@" in text else (1.0,)
    except ValueError:
        scales = ()
    sound = all(SCALES[0] <= scale <= SCALES[1] for scale in scales) and 0 < len(set(scales)) == len(scales) <= 8
    if turns not in TURNS or not sound:
        raise ConfigError(f"{text!r}: write {VIEWS.form}")
    return turns, scales


SIZE = Text("SIZE", "a size such as 4GB, 512MB or 1.5GiB", parse_bytes, has_unit=True)
DURATION = Text("TIME", "a duration such as 3600, 55m or 12h", parse_seconds, has_unit=True)
SHARD = Text("I/N", "i/n, e.g. 1/8", parse_shard)
NAMES = Text("NAMES", "names with commas between them", parse_names)
VALUES = Text("VALUE=CLASS,…", "VALUE=CLASS,VALUE=CLASS, e.g. 0=background,1=building", parse_values)
PERCENTILES = Text("LOW,HIGH", "two percentiles, e.g. 2,98", parse_percentiles)
NODATA = Text("N|none", "a number, or none", parse_nodata)
VIEWS = Text(
    "VIEWS",
    "none, flip, rotate or d4, and scales of 0.25 to 4 after an @, e.g. flip@0.75,1,1.25",
    parse_views,
    kinds=(str, dict),
)
