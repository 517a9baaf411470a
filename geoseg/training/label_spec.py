"""What labels a scene has: files with polygons, lines, points or class values, and what they mean."""

from collections import Counter
from typing import Literal

from pydantic import Field, field_validator

from geoseg.errors import InputError
from geoseg.models.value import Value
from geoseg.scenes.labelled import class_text

ClassValues = dict[str, int | None]


def as_texts(values: object) -> object:
    """Take numbers, true and false as keys for what they look like in a table."""
    return {class_text(value): means for value, means in values.items()} if isinstance(values, dict) else values


class LabelLayer(Value):
    """One layer of labels; what several say of a pixel, the last one decides."""

    file: str = Field(description="vectors in any format OGR reads, GeoParquet, COCO JSON, or a raster of class values")
    layer: str | None = Field(None, description="layer of that file; null is its only one")
    column: str | None = Field(None, description="attribute that holds the class, instead of target.column")
    values: ClassValues | None = Field(None, description="what its values mean, instead of target.values")
    means: str | None = Field(None, description="the class that all of its features are, by name, instead of a column")
    buffer_m: float | None = Field(None, description="metres by which features are widened: lines and points need it")
    uncertain: str | None = Field(None, description="attribute that is true of features to be left out: void")
    nodata: float | Literal["none"] | None = Field(None, description="of a raster, instead of what the file says")

    _plain_values = field_validator("values", mode="before")(as_texts)


def refuse_unknown(counts: Counter[str], values: dict[str, int | None], *, source: str) -> None:
    """Raise InputError for values that nothing is said of, with their counts."""
    unknown = [f"{value} ({n})" for value, n in sorted(counts.items()) if value not in values]
    if unknown:
        raise InputError(f"{source} = {', '.join(unknown)}, which values do not name; null leaves one out")
