"""Band and BandSet: what a channel measures, so that bands are matched by identity and wavelength, never by index."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from geoseg.errors import ConfigError, InputError
from geoseg.values.sensors import SENSORS, SensorBand, sensor_bands


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
        return (
            COMMON.get(_common(self.name.partition("@")[0]), self.wavelength_nm)
            if self.wavelength_nm is not None
            else None
        )

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
ALIASES: dict[str, str] = {  # without spaces, dashes and underscores
    "b": "blue", "g": "green", "r": "red", "n": "nir", "re": "rededge", "nir1": "nir", "infrared": "nir",
    "swir1": "swir16", "swir2": "swir22", "coastalaerosol": "coastal", "coastalblue": "coastal", "ultrablue": "coastal",
    "nearinfrared": "nir", "rededge1": "rededge071", "rededge2": "rededge075", "rededge3": "rededge078",
    "narrownir": "nir08", "nirnarrow": "nir08", "watervapour": "nir09", "watervapor": "nir09",
}  # fmt: skip
IN_NAME = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s*(nm|µm|um)\b", re.IGNORECASE)  # "B4 (665 nm)"


def reach_nm(wavelength_nm: float) -> float:
    """Return how far from a wavelength another band still stands in for it.

    35 nm in the visible, where bands are narrow and red (665) must not become red edge (705), while its neighbours
    in other sensors are up to 30 nm off; 60 nm from 750 nm on (Sentinel-2 B08, 833, for Landsat's near infrared, 865).
    """
    return 35.0 if wavelength_nm < 750 else 60.0


def _common(name: str) -> str:
    """Return the common name that a name stands for, or the name itself, in lower case."""
    plain = _plain(name)
    return ALIASES.get(plain, plain if plain in COMMON else name.strip().lower())


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.lower())


def _key(name: str) -> str:
    """Fold a band name so that B1, b01 and B_01 are one."""
    m = re.fullmatch(r"([a-z]+)0*(\d+)([a-z]?)", _plain(name))
    return f"{m[1]}{m[2]}{m[3]}" if m else _plain(name)


def wavelength_in(name: str) -> float | None:
    """Return the wavelength in nm that a name says, None where it says none.

    >>> wavelength_in("B4 (665 nm)"), wavelength_in("0.84 µm"), wavelength_in("B4")
    (665.0, 840.0, None)
    """
    said = IN_NAME.search(name)
    return None if said is None else float(said[1]) * (1 if said[2].lower() == "nm" else 1000)


def may_be(name: str, common: str) -> bool:
    """Whether a band called ``name`` may measure what ``common`` means: as no sensor's band of that name contradicts.

    >>> may_be("B4", "red"), may_be("B8", "red"), may_be("842 nm", "red"), may_be("rouge", "red")
    (True, False, False, True)
    """
    said = [wavelength_in(name)] if wavelength_in(name) else [one.wavelength_nm for one in _called(name)]
    reach = reach_nm(COMMON[common])
    return not said or any(nm is not None and abs(nm - COMMON[common]) < reach for nm in said)


def _called(name: str) -> list[SensorBand]:
    """Return the bands of all sensors that are called so."""
    every = (one for table in SENSORS.values() for one in table.values())
    return [one for one in every if _key(name) in map(_key, one.names)]


def resolve_band(name: str, *, sensor: str | None = None) -> Band:
    """Return the band called ``name``, with its wavelength where the sensor's table or a common name gives one.

    >>> resolve_band("B04", sensor="sentinel-2")
    Band(name='B04', wavelength_nm=664.6)
    >>> resolve_band("R").wavelength_nm, resolve_band("B04").wavelength_nm
    (665.0, None)
    """
    bare, at, date = name.partition("@")  # of a scene of several dates
    if at:
        own = resolve_band(bare, sensor=sensor)
        return Band(f"{own.name}@{date}", own.wavelength_nm)
    if sensor is not None:
        return _of_sensor(name, sensor)
    common = _common(name)
    return Band(common, COMMON[common]) if common in COMMON else Band(name.strip(), wavelength_in(name))


def _of_sensor(name: str, sensor: str) -> Band:
    """Return the sensor's band of a name, or the one nearest to what a common name means; raises ConfigError."""
    table, common = sensor_bands(sensor), _common(name)
    found = [one for one in table.values() if _key(name) in map(_key, one.names)]
    if not found and common in COMMON:
        off = {abs(one.wavelength_nm - COMMON[common]): one for one in table.values() if one.wavelength_nm is not None}
        found = [off[least] for least in sorted(off) if least < reach_nm(COMMON[common])]
    if not found:
        meant = "".join(f"did you mean {near}? " for near in _nearly(name, table))
        raise ConfigError(f"sensor {sensor!r} has no band {name!r}; {meant}it has {', '.join(table)}")
    return Band(found[0].name, found[0].wavelength_nm)


def _is_known(name: str) -> bool:
    """Whether a name says what a band measures: a common one, a sensor's, or a wavelength."""
    bare = name.partition("@")[0]
    return _common(bare) in COMMON or wavelength_in(bare) is not None or bool(_called(bare))


def _nearly(name: str, others: Iterable[str]) -> list[str]:
    """Return the one that a mistyped name means, in a list; names that differ by their numbers alone are two bands."""
    letters = re.sub(r"\d", "", name)
    return difflib.get_close_matches(name, [one for one in others if re.sub(r"\d", "", one) != letters], n=1)


def _refuse_mistyped(missing: str, left: Iterable[str], where: str) -> None:
    """Raise ConfigError where a missing band's name is nearly one of those left, and one of both is nobody's."""
    for near in _nearly(missing, left):
        if not (_is_known(missing) and _is_known(near)):
            unknown, meant = (near, missing) if _is_known(missing) else (missing, near)
            raise ConfigError(f"{where}: unknown band {unknown!r}; did you mean {meant}?")


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
        NAIP's near infrared); never by position. Raises InputError that names what is missing, ConfigError where a
        name that no sensor has is nearly one that is missing: as it was meant, or mistyped itself.
        """
        found: list[int] = []
        missing: list[str] = []
        for band in wanted:
            match = self._nearest(band)
            if match is None:
                missing.append(band.name)
            else:
                found.append(match)
        for name in missing:
            _refuse_mistyped(name, [one for i, one in enumerate(self.names) if i not in found], where)
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

    def take(self, order: Iterable[int]) -> "BandSet":
        """Return the bands at some places."""
        return BandSet(tuple(self.bands[i] for i in order))

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
        date = band.name.partition("@")[2]
        same_date = [(i, own) for i, own in enumerate(self.bands) if own.name.partition("@")[2] == date]
        near = [(abs(own.identity_nm - nm), i) for i, own in same_date if own.identity_nm is not None]
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
