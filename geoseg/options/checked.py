"""Checked: a value that is refused with all its faults."""

from collections.abc import Iterator
from dataclasses import dataclass

from geoseg.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Options that are refused, with all their faults at once, when they are made."""

    def __post_init__(self) -> None:
        faults = list(self._faults())
        if faults:
            count = f"{len(faults)} faults: " if len(faults) > 1 else ""
            raise ConfigError(count + "; ".join(faults))

    def _faults(self) -> Iterator[str]:
        """Yield what is wrong with the values, each with what is right."""
        raise NotImplementedError
