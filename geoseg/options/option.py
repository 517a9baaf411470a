"""Option: all that is said of an option, where it is declared. Flags, keys, checks and tables are made of it.

``batch: Annotated[int, Option("Windows per network call.", limit=at_least(1))] = 1`` in a subclass of ``Checked``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import inf
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from geoseg.errors import ConfigError

UNITS = {"m": "m", "m2": "m²", "px": "px", "s": "s", "bytes": "bytes"}  # by the last word of an option's name


@dataclass(frozen=True, slots=True)
class Limit:
    """Which values are taken."""

    words: str
    """For tables, e.g. "0.01 to 100"."""
    wanted: str
    """What is right, for who gave another."""
    holds: Callable[[Any], bool]
    """Whether a value is taken."""


@dataclass(frozen=True, slots=True)
class Text:
    """How a value is written that is neither a number nor plain text."""

    metavar: str
    """Its name in a list of flags."""
    form: str
    """What is right, e.g. "i/n, e.g. 1/8"."""
    read: Callable[[Any], Any]
    """Returns the value of a text; raises ConfigError."""
    kinds: tuple[type, ...] = (str,)
    """What a config may hold that is read so."""
    has_unit: bool = False
    """Whether it says its unit itself, as 4GB does; its flag then says none."""


@dataclass(frozen=True, slots=True)
class Option:
    """What is said of an option beside its type and its default."""

    help: str
    """One sentence for whoever sets it."""
    unset: str = ""
    """What is done where it is not set, if the default does not say it."""
    limit: Limit | None = None
    """None: whatever its type takes."""
    text: Text | None = None
    """None: written as what it is."""
    topic: str | None = None
    """Heading of its flag; None: that of its group, empty: none."""
    metavar: str | None = None


class Declared(NamedTuple):
    """An option as its group declares it."""

    name: str
    kind: Any  # its type
    said: Option
    default: Any

    @property
    def unit(self) -> str:
        """The unit that its name ends with."""
        return UNITS.get(self.name.rpartition("_")[2], "")

    @property
    def flag(self) -> str:
        """Its flag without the two dashes before it."""
        text = self.said.text
        bare = self.name.rpartition("_")[0] if self.unit and text is not None and text.has_unit else self.name
        return bare.replace("_", "-")

    @property
    def choices(self) -> tuple[str, ...]:
        """The only values of its type; none: there are others."""
        alone = [kind for kind in get_args(self.kind) if kind is not NoneType]
        kind = alone[0] if len(alone) == 1 else self.kind
        return get_args(kind) if get_origin(kind) is Literal else ()

    def read(self, given: Any) -> Any:
        """Return what a flag's value means; raises ConfigError."""
        if self.said.text is None or not isinstance(given, str):
            return given
        try:
            return self.said.text.read(given)
        except ConfigError as error:
            raise ConfigError(f"{self.flag} {error}") from error

    def fault(self, value: Any) -> str | None:
        """Return what is wrong with a value, and what is right."""
        limit, named = self.said.limit, f"{self.flag} {value!r}" if isinstance(value, str) else f"{self.flag} {value}"
        if value is not None and self.choices and value not in self.choices:
            return f"{named}: choose {', '.join(self.choices)}"
        if value is None or limit is None or limit.holds(value):
            return None
        return f"{self.flag if value == '' else named}: {limit.wanted}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A group of options that is refused, with all its faults at once, when it is made."""

    TOPIC = ""  # heading of its flags

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise ConfigError that names every fault."""
        declared_faults = (one.fault(getattr(self, one.name)) for one in declared(type(self)))  # type: ignore[arg-type]
        faults = [*filter(None, declared_faults), *self._faults()]
        if faults:
            count = f"{len(faults)} faults: " if len(faults) > 1 else ""
            raise ConfigError(count + "; ".join(faults))

    def _faults(self) -> Iterator[str]:
        """Yield what is wrong with the values together, each with what is right."""
        yield from ()


@cache
def declared(group: Any) -> tuple[Declared, ...]:
    """Return the options of a group in order, without those of groups within it."""
    return tuple(
        Declared(name, get_args(hint)[0], said, default)
        for name, hint in get_type_hints(group, include_extras=True).items()
        if get_origin(hint) is Annotated
        for said in hint.__metadata__
        if isinstance(said, Option)
        for default in [group.__dataclass_fields__[name].default]
    )


@cache
def groups(group: type) -> dict[str, type[Checked]]:
    """Return the groups within a group, by name."""
    hints = get_type_hints(group)
    return {name: hint for name, hint in hints.items() if isinstance(hint, type) and issubclass(hint, Checked)}


def at_least(least: float) -> Limit:
    """Return that values are finite and not below ``least``."""
    return Limit(f"at least {least:g}", f"at least {least:g} is needed", lambda v: least <= v < inf)


def above(least: float) -> Limit:
    """Return that values are finite and above ``least``."""
    return Limit(f"above {least:g}", f"give more than {least:g}", lambda v: least < v < inf)


def inside(least: float, most: float) -> Limit:
    """Return that values lie between two numbers that are not taken themselves."""
    return Limit(
        f"between {least:g} and {most:g}", f"it lies between {least:g} and {most:g}", lambda v: least < v < most
    )


def span(least: float, most: float) -> Limit:
    """Return that values go from ``least`` to ``most``."""
    return Limit(f"{least:g} to {most:g}", f"choose {least:g} to {most:g}", lambda v: least <= v <= most)


NUMBER = Limit("any number", "give a finite number", lambda v: -inf < v < inf)
NAMED = Limit("not empty", "is empty; name a file or folder, or leave it out", lambda v: bool(v.strip()))
