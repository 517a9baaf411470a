"""Sensors: the bands of each with their wavelengths, widths and other names, from sensors.toml."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from geoseg.errors import ConfigError
from geoseg.untrusted.validation import near_or_known

PAN = "pan"  # marks a band over so wide a range that its centre says nothing


@dataclass(frozen=True, slots=True)
class SensorBand:
    """A band as its sensor has it."""

    name: str
    wavelength_nm: float | None = None
    """Centre; None for radar, heights and panchromatic bands."""
    width_nm: float | None = None
    aliases: tuple[str, ...] = ()
    """What files in the wild call it, beside its name and its common name."""

    @property
    def names(self) -> tuple[str, ...]:
        """All that it is called."""
        return self.name, *self.aliases


SensorBands = Mapping[str, SensorBand]  # in the sensor's own order


def _read(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, SensorBands]:
    """Return the bands of each sensor by name; a sensor ``as`` another has its bands, ``without`` some."""
    sensors: dict[str, SensorBands] = {}
    for name, own in tables.items():
        left = {"source", "as", "without", *own.get("without", ())}
        rows = tables[own["as"]] if "as" in own else own
        sensors[name] = {band: _band(band, row) for band, row in rows.items() if band not in left}
    return sensors


def _band(name: str, row: list[float | str]) -> SensorBand:
    numbers = [float(v) for v in row if not isinstance(v, str)]
    centre, width = numbers or (None, None)
    return SensorBand(name, centre, width, tuple(v for v in row if isinstance(v, str)))


SENSORS: dict[str, SensorBands] = _read(tomllib.loads((files("geoseg.values") / "sensors.toml").read_text("utf-8")))


def sensor_bands(sensor: str) -> SensorBands:
    """Return the bands of a sensor in its own order, by name; raises ConfigError with the sensors of near names."""
    table = next((bands for name, bands in SENSORS.items() if _plain(name) == _plain(sensor)), None)
    if table is None:
        raise ConfigError(f"unknown sensor {sensor!r}; {near_or_known(sensor, SENSORS)}")
    return table


def _plain(sensor: str) -> str:
    """Fold a sensor's name so that Sentinel-2, sentinel2 and SENTINEL_2 are one."""
    return re.sub(r"[^a-z0-9]", "", sensor.lower())
