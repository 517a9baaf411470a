"""Band and BandSet: what a channel measures, so that bands are matched by identity and wavelength, never by index."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from geoseg.errors import ConfigError, InputError
from geoseg.values.sensors import sensor_bands


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


# Common names and mid-range wavelengths in nm: STAC eo extension.
COMMON: dict[str, float] = {
    "coastal": 443.0, "blue": 490.0, "green": 560.0, "yellow": 605.0, "red": 665.0, "rededge": 705.0,
    "rededge071": 705.0, "rededge075": 740.0, "rededge078": 783.0, "nir": 842.0, "nir08": 865.0, "nir09": 945.0,
    "cirrus": 1375.0, "swir16": 1610.0, "swir22": 2190.0, "lwir11": 10900.0, "lwir12": 12000.0,
}  # fmt: skip
ALIASES: dict[str, str] = {
    "b": "blue", "g": "green", "r": "red", "n": "nir", "re": "rededge", "nir1": "nir", "infrared": "nir",
    "swir1": "swir16", "swir2": "swir22", "coastal aerosol": "coastal", "near infrared": "nir",
}  # fmt: skip


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

    def holds(self, band: Band) -> bool:
        """Whether one of the bands measures what ``band`` does."""
        return self._nearest(band) is not None

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
