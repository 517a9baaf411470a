"""Band and BandSet: what a channel measures, so that bands are matched by identity and wavelength, never by index."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from geoseg.errors import ConfigError, InputError


@dataclass(frozen=True, slots=True)
class Band:
    """One band: a name, and its centre wavelength in nanometres where it is optical and known."""

    name: str
    wavelength_nm: float | None = None

    @property
    def identity_nm(self) -> float | None:
        """The wavelength that says what the band is: its common name's where it has one, else its own.

        NAIP's blue is centred at 460 nm, nearer to Sentinel-2's coastal band (443) than to its blue one (492).
        """
        return COMMON.get(_common(self.name), self.wavelength_nm) if self.wavelength_nm is not None else None

    def same(self, other: "Band") -> bool:
        """Whether both measure the same thing: identity within 15 nm where both have one, else equal name."""
        if self.identity_nm is not None and other.identity_nm is not None:
            return abs(self.identity_nm - other.identity_nm) <= 15.0
        return self.name.lower() == other.name.lower()


# Centre wavelengths in nm. Sentinel-2: ESA MSI User Guide (S2A); Landsat 8/9 OLI and TIRS: USGS; NAIP: Leica ADS
# nominal; WorldView-3 and PlanetScope (SuperDove): vendors' data sheets. Common names: STAC eo extension, mid-range.
COMMON: dict[str, float] = {
    "coastal": 443.0, "blue": 490.0, "green": 560.0, "yellow": 605.0, "red": 665.0, "rededge": 705.0,
    "rededge071": 705.0, "rededge075": 740.0, "rededge078": 783.0, "nir": 842.0, "nir08": 865.0, "nir09": 945.0,
    "cirrus": 1375.0, "swir16": 1610.0, "swir22": 2190.0, "lwir11": 10900.0, "lwir12": 12000.0,
}  # fmt: skip
ALIASES: dict[str, str] = {
    "b": "blue", "g": "green", "r": "red", "n": "nir", "re": "rededge", "nir1": "nir", "infrared": "nir",
    "swir1": "swir16", "swir2": "swir22", "coastal aerosol": "coastal", "near infrared": "nir",
}  # fmt: skip
SENSORS: dict[str, dict[str, float]] = {
    "sentinel-2": {
        "B01": 442.7, "B02": 492.4, "B03": 559.8, "B04": 664.6, "B05": 704.1, "B06": 740.5, "B07": 782.8,
        "B08": 832.8, "B8A": 864.7, "B09": 945.1, "B10": 1373.5, "B11": 1613.7, "B12": 2202.4,
    },
    "landsat-8": {
        "B1": 443.0, "B2": 482.0, "B3": 561.4, "B4": 654.6, "B5": 864.7, "B6": 1608.9, "B7": 2200.7, "B8": 589.5,
        "B9": 1373.4, "B10": 10895.0, "B11": 12005.0,
    },
    "landsat-7": {
        "B1": 478.0, "B2": 560.0, "B3": 661.0, "B4": 835.0, "B5": 1648.0, "B6": 11450.0, "B7": 2206.0, "B8": 706.0,
    },
    "naip": {"R": 635.0, "G": 555.0, "B": 460.0, "N": 845.0},
    "worldview-3": {"C": 427.0, "B": 482.0, "G": 547.0, "Y": 604.0, "R": 660.0, "RE": 723.0, "N": 824.0, "N2": 914.0},
    "planetscope": {"CB": 443.0, "B": 490.0, "GI": 531.0, "G": 565.0, "Y": 610.0, "R": 665.0, "RE": 705.0, "N": 865.0},
    "rgb": {"red": 665.0, "green": 560.0, "blue": 490.0},
}  # fmt: skip
SENSORS["landsat-9"] = SENSORS["landsat-8"]


def sensor_bands(sensor: str) -> dict[str, float]:
    """Return the bands of a sensor in its own order, name -> wavelength; raises ConfigError naming those there are."""
    table = SENSORS.get(sensor.lower())
    if table is None:
        raise ConfigError(f"unknown sensor {sensor!r}; known: {', '.join(sorted(SENSORS))}")
    return table


def reach_nm(wavelength_nm: float) -> float:
    """Return how far from a wavelength another band still stands in for it.

    35 nm in the visible, where bands are narrow and red (665) must not become red edge (705), while its neighbours
    in other sensors are up to 30 nm off; 60 nm from 750 nm on (Sentinel-2 B08, 833, for Landsat's near infrared, 865).
    """
    return 35.0 if wavelength_nm < 750 else 60.0


def _common(name: str) -> str:
    """Return the common name that a name stands for, or the name itself, in lower case."""
    return ALIASES.get(name.strip().lower(), name.strip().lower())


def _key(name: str) -> str:
    """Fold a band name so that B1, b01 and B01 are one."""
    m = re.fullmatch(r"([a-z]+)0*(\d+)([a-z]?)", name.strip().lower())
    return f"{m[1]}{m[2]}{m[3]}" if m else name.strip().lower()


def resolve_band(name: str, *, sensor: str | None = None) -> Band:
    """Return the band called ``name``, with its wavelength where the sensor's table or a common name gives one.

    >>> resolve_band("B04", sensor="sentinel-2")
    Band(name='B04', wavelength_nm=664.6)
    >>> resolve_band("R").wavelength_nm, resolve_band("B04").wavelength_nm
    (665.0, None)
    """
    if sensor is not None:
        table = sensor_bands(sensor)
        for key, nm in table.items():
            if _key(key) == _key(name):
                return Band(key, nm)
        common = _common(name)
        if common in COMMON:  # "red" asked of a sensor: its nearest band
            key, nm = min(table.items(), key=lambda kv: abs(kv[1] - COMMON[common]))
            if abs(nm - COMMON[common]) < reach_nm(COMMON[common]):
                return Band(key, nm)
        raise ConfigError(f"sensor {sensor!r} has no band {name!r}; it has {', '.join(table)}")
    common = _common(name)
    if common in COMMON:
        return Band(common, COMMON[common])
    return Band(name.strip())


@dataclass(frozen=True, slots=True)
class BandSet:
    """Bands in the order of the array's channels.

    >>> [b.name for b in BandSet.parse("R,G,B")]
    ['red', 'green', 'blue']
    """

    bands: tuple[Band, ...]

    def __post_init__(self) -> None:
        names = [b.name for b in self.bands]
        if not names:
            raise ConfigError("a band set needs at least one band")
        if len(set(names)) != len(names):
            raise ConfigError(f"band names must be unique, got {', '.join(names)}")

    def __iter__(self) -> Iterator[Band]:
        return iter(self.bands)

    def __len__(self) -> int:
        return len(self.bands)

    def __getitem__(self, index: int) -> Band:
        return self.bands[index]

    @property
    def names(self) -> tuple[str, ...]:
        """Band names in order."""
        return tuple(b.name for b in self.bands)

    @classmethod
    def parse(cls, text: str, *, sensor: str | None = None) -> "BandSet":
        """Build a band set from a comma-separated list of names, with wavelengths from ``sensor`` or common names."""
        names = [part.strip() for part in text.split(",") if part.strip()]
        return cls(tuple(resolve_band(name, sensor=sensor) for name in names))

    def indices_of(self, wanted: "BandSet", *, where: str = "scene") -> tuple[int, ...]:
        """Return, for each wanted band, the position of the band here that measures the same.

        By name first, then by the nearest wavelength within ``reach_nm`` (Sentinel-2 B08 serves a model trained on
        NAIP's near infrared); never by position. Raises InputError that names what is missing.
        """
        found: list[int] = []
        missing: list[str] = []
        for band in wanted:
            match = self._nearest(band)
            if match is None:
                missing.append(band.name)
            else:
                found.append(match)
        if missing:
            raise InputError(
                f"{where}: band {', '.join(missing)} not found among {', '.join(self.names)}. "
                f"Name the file's bands in order with --bands (and --sensor)"
            )
        if len(set(found)) != len(found):
            raise InputError(
                f"{where}: two of the wanted bands {', '.join(wanted.names)} match one band of {', '.join(self.names)}"
            )
        return tuple(found)

    def _nearest(self, band: Band) -> int | None:
        for i, own in enumerate(self.bands):
            if own.name.lower() == band.name.lower() and own.same(band):
                return i
        nm = band.identity_nm
        if nm is None:
            return None
        near = [(abs(own.identity_nm - nm), i) for i, own in enumerate(self.bands) if own.identity_nm is not None]
        return min(near)[1] if near and min(near)[0] < reach_nm(nm) else None

    def as_json(self) -> list[dict[str, object]]:
        """Return the bands as JSON values, read back by ``from_json``."""
        return [{"name": b.name, "wavelength_nm": b.wavelength_nm} for b in self.bands]

    @classmethod
    def from_json(cls, rows: Sequence[dict[str, object]]) -> "BandSet":
        """Build the bands from ``as_json``'s value."""
        try:
            bands = tuple(
                Band(str(r["name"]), None if r.get("wavelength_nm") is None else float(r["wavelength_nm"]))  # type: ignore[arg-type]
                for r in rows
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ConfigError(f"bands are not a list of {{name, wavelength_nm}}: {error!r}") from error
        return cls(bands)
