"""Sensors: the bands of each with their wavelengths, from sensors.toml."""

import tomllib
from importlib.resources import files

from geoseg.errors import ConfigError

SENSORS: dict[str, dict[str, float]] = tomllib.loads((files("geoseg.values") / "sensors.toml").read_text("utf-8"))


def sensor_bands(sensor: str) -> dict[str, float]:
    """Return the bands of a sensor in its own order, name -> wavelength; raises ConfigError naming those there are."""
    table = SENSORS.get(sensor.lower())
    if table is None:
        raise ConfigError(f"unknown sensor {sensor!r}; known: {', '.join(sorted(SENSORS))}")
    return table
