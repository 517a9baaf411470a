"""Which classical method is fitted to a scene, and to what of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from geoseg.options.exchange import CLASSES, parse_classes
from geoseg.options.option import Checked, Option, Text, at_least
from geoseg.values.classes import ClassInfo

MOST_CLASSES = 254


def parse_count(text: str) -> int | tuple[ClassInfo, ...]:
    """Return a number of classes, or their names; raises ConfigError.

    >>> parse_count("5"), [c.name for c in parse_count("land, water")]
    (5, ['land', 'water'])
    """
    return int(text) if text.strip().isdigit() else parse_classes(text)


COUNT = Text(f"N|{CLASSES.metavar}", f"a number, or {CLASSES.form}", parse_count)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions(Checked):
    """A method without training, and what it looks at."""

    TOPIC = "Fit"

    method: Annotated[
        Literal["otsu", "kmeans"],
        Option(
            "otsu: the threshold of one band that parts its values best; kmeans: clusters of pixels that are alike."
        ),
    ] = "otsu"
    window_method: Annotated[
        Literal["graph-cut", "random-walker", "chan-vese"] | None,
        Option(
            "Method that puts a window's answer right: graph-cut: borders go where neighbours differ; random-walker: "
            "sure pixels spread; chan-vese: outlines move to where each side is most of one colour.",
            unset="none: each pixel for itself",
        ),
    ] = None
    of: Annotated[
        str | None,
        Option(
            "Bands or indices that are looked at, with commas between them: names, ndvi, ndwi, ndbi, "
            "name=(a-b)/(a+b) or name=a-b.",
            unset="all bands of the scene",
            metavar="NAME,…",
        ),
    ] = None
    classes: Annotated[
        int | tuple[ClassInfo, ...] | None,
        Option("How many, or their names from low to high values.", unset="2 of otsu, 5 of kmeans", text=COUNT),
    ] = None
    seed: Annotated[int, Option("Of the first centres of kmeans.", limit=at_least(0))] = 0

    @property
    def count(self) -> int:
        """How many classes."""
        if self.classes is None:
            return 2 if self.method == "otsu" else 5
        return self.classes if isinstance(self.classes, int) else len(self.classes)

    @property
    def table(self) -> tuple[ClassInfo, ...]:
        """The classes with names and colours."""
        if self.classes is not None and not isinstance(self.classes, int):
            return self.classes
        names = ("low", "high") if self.method == "otsu" else [f"cluster {i + 1}" for i in range(self.count)]
        return parse_classes(",".join(names))

    def _faults(self) -> Iterator[str]:
        if self.method == "otsu" and self.count != 2:
            yield f"classes {self.count}: otsu parts values in 2"
        elif self.window_method in ("graph-cut", "chan-vese") and self.count != 2:
            yield f"window-method {self.window_method}: parts 2 classes, not {self.count}; random-walker parts more"
        elif not 2 <= self.count <= MOST_CLASSES:
            yield f"classes {self.count}: 2 to {MOST_CLASSES}"
