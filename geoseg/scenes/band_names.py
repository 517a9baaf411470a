"""What the bands of a scene are called: descriptions, colour interpretations, file names, flags and sensors' tables."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from geoseg.errors import ConfigError
from geoseg.values.bands import Band, BandSet, may_be, resolve_band
from geoseg.values.sensors import PAN, SENSORS, sensor_bands

COLORS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
AROUND_NAMES = re.compile(r"^(band|layer|channel)[\s_-]*\d+|[\s_]*\(?\d+(\.\d+)?\s*(nm|µm)\)?$", re.IGNORECASE)
# What a description may not hold where the colour interpretation, which writers set by default, is to be believed.
OTHER_BANDS = re.compile(
    r"edge|infra|ir\b|ir_|ir\d|nd[vwb]i|index|^v[vh]|^h[vh]|cirrus|coast|aerosol|yellow", re.IGNORECASE
)
NUMBER = re.compile(r"\d+(\.\d+)?")
NUMBERED = re.compile(r"(band|layer|channel)?[\s_-]*\d+", re.IGNORECASE)  # "Band 1", "Layer_2": a count, not a name


def label_of(src: DatasetReader, i: int, path: str, *, alone: bool = False) -> str | None:
    """Return what band ``i`` is called, None where nothing says it or it is called alpha.

    alone: no other file is beside it, so that one that is called b.tif is no more blue than one that is called a.tif.
    """
    told = (src.descriptions[i] or "").split(",")[0].strip()  # "B4, central wavelength 665 nm"
    color = COLORS.get(src.colorinterp[i])
    if told and not NUMBERED.fullmatch(told):
        if told.lower() in ("alpha", "mask") and src.colorinterp[i] is ColorInterp.alpha:
            return None
        return _known(told) or (color if color is not None and _all_may_be(src) else told)
    if color is not None:
        return color
    if src.colorinterp[i] is ColorInterp.palette:
        return "palette"  # numbers of colours, no grey values
    token = label_of_name(path) if src.count == 1 else None
    if token is not None and not (alone and len(Path(path).stem) == 1):
        return token
    micrometres = src.tags(i + 1, ns="IMAGERY").get("CENTRAL_WAVELENGTH_UM")  # of ENVI headers and some products
    return f"{float(micrometres) * 1000:g} nm" if micrometres and NUMBER.fullmatch(micrometres) else None


def label_of_name(path: str) -> str | None:
    """Return the band that a file's name ends with: T32UMA_20260101_B04_10m.jp2, scene-R.tif; None for none."""
    tokens = reversed(re.split(r"[^A-Za-z0-9]+", Path(path).stem))
    return next((token for token in tokens if token.lower() in _names_in_files()), None)


@cache
def _names_in_files() -> frozenset[str]:
    every = (band.names for table in SENSORS.values() for band in table.values() if PAN not in band.aliases)
    return frozenset(name.lower() for names in every for name in names)


def overruled(src: DatasetReader, labels: Sequence[str | None]) -> list[str]:
    """Return "description as label" of the bands that are taken for what their colour interpretation says."""
    pairs = zip(src.descriptions, src.colorinterp, labels, strict=True)
    return [
        f"{told.strip()!r} as {label}"
        for told, color, label in pairs
        if told and label == COLORS.get(color) and not NUMBERED.fullmatch(told.strip()) and _known(told) != label
    ]


def _all_may_be(src: DatasetReader) -> bool:
    """Whether all coloured bands may be what their colours say: b0, b1, b2 are names, though b1 alone may be green."""
    told = [
        ((name or "").split(",")[0].strip(), COLORS.get(c))
        for name, c in zip(src.descriptions, src.colorinterp, strict=True)
    ]
    plain = ((name, color, i) for i, (name, color) in enumerate(told) if name and not NUMBERED.fullmatch(name))
    return all(_known(name) or _may_be(name, color, i) for name, color, i in plain if color is not None)


def _may_be(told: str, color: str, i: int) -> bool:
    """Whether the description of band ``i`` leaves it to be a colour: B1 of the first one is a count."""
    counted = re.fullmatch(rf"b[\s_-]*0*{i + 1}", told, re.IGNORECASE) is not None
    return counted or (not OTHER_BANDS.search(told) and may_be(told, color))


def _known(told: str) -> str | None:
    """Return the common name within "Band 1 (Red)" or "Red (665 nm)", None where there is none."""
    name = AROUND_NAMES.sub("", told).strip(" ()_-:")
    return next((n for n in (name, told) if resolve_band(n).wavelength_nm is not None), None)


def name_bands(
    labels: list[str | None], is_alpha: list[bool], bands: str | None, sensor: str | None, path: str
) -> tuple[BandSet, bool, tuple[int, ...]]:
    """Return the bands, whether their names are known, and which of the files' bands they are."""
    data = tuple(i for i, alpha in enumerate(is_alpha) if not alpha) or tuple(range(len(labels)))
    table = sensor_bands(sensor) if sensor is not None else {}
    if bands is not None:
        given = [b.strip() for b in bands.split(",") if b.strip()]
        if all(b.isdigit() for b in given):
            picked = tuple(int(b) - 1 for b in given)
            if not picked or min(picked) < 0 or max(picked) >= len(labels):
                raise ConfigError(f"--bands {bands}: {path} has bands 1..{len(labels)}")
            if table:
                raise ConfigError(f"--bands {bands} --sensor {sensor}: numbers pick bands, only names have wavelengths")
            again = [f" ({picked[:n].count(i) + 1})" if i in picked[:n] else "" for n, i in enumerate(picked)]
            return (
                BandSet(tuple(Band(f"band{i + 1}{nth}") for i, nth in zip(picked, again, strict=True))),
                False,
                picked,
            )
        if len(given) not in (len(data), len(labels)):
            raise ConfigError(
                f"--bands names {len(given)} bands, {path} has {len(data)}; name all in file order, or give numbers"
            )
        return BandSet.parse(bands, sensor=sensor), True, data if len(given) == len(data) else tuple(range(len(labels)))
    found = _resolved([labels[i] for i in data], sensor)
    if table and not all(found):
        order = [Band(one.name, one.wavelength_nm) for one in table.values()]
        if len(order) != len(data) or any(own not in (None, b) for own, b in zip(found, order, strict=True)):
            raise ConfigError(
                f"--sensor {sensor}: {path} has {len(data)} bands, not all named; name them in file order with --bands"
            )
        return BandSet(tuple(order)), True, data
    named = BandSet(tuple(own or Band(f"band{i + 1}") for i, own in zip(data, found, strict=True)))
    return named, any(found), data


def _resolved(labels: list[str | None], sensor: str | None) -> list[Band | None]:
    """Return the band that each label names; None where there is none, and where two labels name the same."""
    found = [None if label is None else _resolve(label, sensor) for label in labels]
    times = Counter(band.name.lower() for band in found if band)
    return [band if band and times[band.name.lower()] == 1 else None for band in found]


def _resolve(label: str, sensor: str | None) -> Band:
    if sensor is None:
        return resolve_band(label)
    try:
        return resolve_band(label, sensor=sensor)
    except ConfigError:
        return Band(label)  # a band beside the sensor's own, e.g. a quality layer
