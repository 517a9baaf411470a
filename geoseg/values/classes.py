"""ClassMap: the one class table that feeds palettes, attribute tables, styles, domains and reports."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import hexdigits

from geoseg.errors import ConfigError

NODATA = 0  # class rasters are uint8: 0 is nodata, classes are 1..254


def parse_color(text: str) -> tuple[int, int, int]:
    """Return (red, green, blue) of ``#rrggbb`` or ``#rgb``; raises ConfigError.

    >>> parse_color("#c8422E"), parse_color("#fa0")
    ((200, 66, 46), (255, 170, 0))
    """
    digits = text.strip().removeprefix("#")
    digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
    if len(digits) != 6 or not set(digits) <= set(hexdigits):
        raise ConfigError(f"color {text!r}: neither #rrggbb nor three values in 0..255")
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One class: its value in the raster, its name, and its colour as (red, green, blue) in 0..255."""

    id: int
    name: str
    color: tuple[int, int, int]

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ConfigError(f"class {self.id} has no name")
        if len(self.color) != 3 or not all(0 <= c <= 255 for c in self.color):
            raise ConfigError(f"class {self.name!r}: color {self.color} is not three values in 0..255")

    @property
    def hex(self) -> str:
        """The colour as ``#rrggbb``."""
        return "#{:02x}{:02x}{:02x}".format(*self.color)


@dataclass(frozen=True, slots=True)
class ClassMap:
    """The classes of a map that geoseg makes, ordered by id, 1..254; none of a model of quantities alone.

    >>> c = ClassMap((ClassInfo(1, "background", (240, 240, 240)), ClassInfo(2, "building", (200, 60, 40))))
    >>> c.by_name("building").id, c.max_id, len(c)
    (2, 2, 2)
    """

    classes: tuple[ClassInfo, ...]

    def __post_init__(self) -> None:
        ids = [c.id for c in self.classes]
        names = [c.name for c in self.classes]
        if ids != sorted(set(ids)):
            raise ConfigError(f"class ids must be unique and ascending, got {ids}")
        for c in self.classes:
            if not 1 <= c.id <= 254:
                raise ConfigError(f"class {c.name!r} has id {c.id}; ids are 1..254 (0 is nodata)")
        if len(set(names)) != len(names):
            raise ConfigError(f"class names must be unique, got {names}")

    def __iter__(self) -> Iterator[ClassInfo]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def max_id(self) -> int:
        """Largest class id."""
        return self.classes[-1].id

    def by_name(self, name: str) -> ClassInfo:
        """Return the class called ``name``; raises ConfigError naming those there are."""
        for c in self.classes:
            if c.name == name:
                return c
        raise ConfigError(f"no class {name!r}; there are {', '.join(c.name for c in self.classes)}")

    def by_id(self, class_id: int) -> ClassInfo:
        """Return the class with ``class_id``; raises ConfigError naming those there are."""
        for c in self.classes:
            if c.id == class_id:
                return c
        raise ConfigError(f"no class {class_id}; there are {', '.join(str(c.id) for c in self.classes)}")

    def only(self, names: Sequence[str]) -> "ClassMap":
        """Return the table reduced to ``names``, ids kept; raises ConfigError for a name that is not there."""
        wanted = {self.by_name(name) for name in names}
        return ClassMap(tuple(c for c in self.classes if c in wanted))

    def as_json(self) -> list[dict[str, object]]:
        """Return the table as JSON values, read back by ``from_json``."""
        return [{"id": c.id, "name": c.name, "color": list(c.color)} for c in self.classes]

    @classmethod
    def from_json(cls, rows: Sequence[dict[str, object]]) -> "ClassMap":
        """Build the table from ``as_json``'s value."""
        try:
            cells = [(int(r["id"]), str(r["name"]), tuple(int(v) for v in r["color"])) for r in rows]  # type: ignore[call-overload, attr-defined]
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"class table is not a list of {{id, name, color}}: {error!r}") from error
        return cls(tuple(ClassInfo(i, name, color) for i, name, color in cells))  # type: ignore[arg-type]


# The class table of building models and of polygons that are drawn without a model.
BUILDING_CLASSES = (ClassInfo(1, "background", (233, 229, 220)), ClassInfo(2, "building", (200, 66, 46)))
