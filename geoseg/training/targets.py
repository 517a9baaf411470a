"""What labels become: a target burns them as raw numbers, and turns those into channels at any resolution.

Raw labels are building numbers or channel indices. They may be sampled at another resolution by the nearest pixel;
borders, which have a width on the ground, are drawn afterwards. Files are read in labels.py.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from geoseg.errors import ConfigError
from geoseg.models.outputs import Channel
from geoseg.models.value import Value
from geoseg.scenes.labelled import burn, class_text, class_texts
from geoseg.values.classes import BUILDING_CLASSES, ClassInfo, parse_color

if TYPE_CHECKING:
    import geopandas as gpd

    from geoseg.values.grid import Grid

IGNORE = 255  # channel index of what is unknown
UNKNOWN = -1  # the same among raw labels
BACKGROUND, INTERIOR, BORDER = 0, 1, 2
BUILDING_CHANNELS = (
    Channel(name="background", class_id=1),
    Channel(name="interior", class_id=2),
    Channel(name="border", class_id=2),
)
Raw = NDArray[np.int32]


class BuildingTarget(Value):
    """Footprints as background / interior / border; p(building) = p(interior) + p(border)."""

    kind: Literal["buildings"] = "buildings"
    border_m: float = Field(0.5, gt=0, description="width of the border inside each footprint's edge")

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The network's outputs."""
        return BUILDING_CHANNELS

    @property
    def class_table(self) -> tuple[ClassInfo, ...]:
        """The classes that the channels lead to."""
        return BUILDING_CLASSES

    @property
    def polygon_class(self) -> str | None:
        """Name of the class that is drawn as polygons."""
        return "building"

    @property
    def regions(self) -> tuple[tuple[int, ...], ...]:
        """Channels whose summed probability a loss of regions judges: building, and border."""
        return (INTERIOR, BORDER), (BORDER,)

    @property
    def border(self) -> int | None:
        """The channel of borders."""
        return BORDER

    def burn(self, frame: "gpd.GeoDataFrame", grid: "Grid", *, source: str) -> Raw:  # noqa: ARG002  # ClassTarget names it
        """Return building numbers (H, W), 0 for none; small buildings lie on top of those they stand on."""
        import shapely

        geometries = np.asarray(frame.geometry.values)
        order = np.argsort(-shapely.area(geometries))
        return burn(geometries[order], range(1, len(order) + 1), grid)

    def of_raster(self, values: Raw, *, source: str) -> Raw:  # noqa: ARG002  # ClassTarget names it
        """Return building numbers from a raster: its own, where 0 is none; a mask has one. UNKNOWN stays."""
        return np.where(values == UNKNOWN, UNKNOWN, values).astype(np.int32)

    def reach_px(self, gsd_m: float) -> int:
        """Return from how many pixels away a raw label decides channels."""
        return max(1, round(self.border_m / gsd_m))

    def labels(self, raw: Raw, *, gsd_m: float) -> NDArray[np.uint8]:
        """Return channel indices (H, W) of building numbers whose pixels are ``gsd_m`` wide."""
        return building_labels(raw, border_px=self.border_m / gsd_m)


class ClassTarget(Value):
    """Labels with a class each; ground without a label is ignored, or is one of the classes."""

    kind: Literal["classes"] = "classes"
    column: str | None = Field(None, description="attribute of label polygons that holds the class; none for rasters")
    values: dict[str, int | None] = Field(description="attribute or pixel value -> class id; null leaves it unknown")
    classes: tuple[ClassInfo, ...]
    elsewhere: int | None = Field(None, description="class id of ground without a label; None ignores it")

    @field_validator("values", mode="before")
    @classmethod
    def _as_texts(cls, values: object) -> object:
        """Take numbers, true and false for what they look like in a table."""
        return (
            {class_text(value): class_id for value, class_id in values.items()} if isinstance(values, dict) else values
        )

    @field_validator("classes", mode="before")
    @classmethod
    def _hex_colors(cls, classes: object) -> object:
        return [_with_color(row) for row in classes] if isinstance(classes, list | tuple) else classes

    @model_validator(mode="after")
    def _ids_exist(self) -> Self:
        stray = {*self.values.values(), self.elsewhere} - {None} - {c.id for c in self.classes}
        if stray:
            raise ValueError(f"class ids {sorted(stray, key=str)} are not in classes")
        return self

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The network's outputs."""
        return tuple(Channel(name=c.name, class_id=c.id) for c in self.classes)

    @property
    def class_table(self) -> tuple[ClassInfo, ...]:
        """The classes that the channels lead to."""
        return self.classes

    @property
    def polygon_class(self) -> str | None:
        """No class is drawn as polygons."""
        return None

    @property
    def regions(self) -> tuple[tuple[int, ...], ...]:
        """Channels that a loss of regions judges: every class on its own."""
        return tuple((c,) for c in range(len(self.classes)))

    @property
    def border(self) -> int | None:
        """No channel is one of borders."""
        return None

    def burn(self, frame: "gpd.GeoDataFrame", grid: "Grid", *, source: str) -> Raw:
        """Return channel indices (H, W) of polygons, UNKNOWN where none says a class."""
        if self.column is None:
            raise ConfigError(f"{source}: target.column is missing; name the attribute that holds the class")
        texts = class_texts(frame, self.column, source=source)
        channel = self._channels(texts, source=f"{source}: {self.column}")
        burnt = burn(frame.geometry.values, [channel[text] + 2 for text in texts], grid)  # 0 is no polygon, 1 UNKNOWN
        return np.where(burnt == 0, self._channel(self.elsewhere), burnt - 2).astype(np.int32)

    def of_raster(self, values: Raw, *, source: str) -> Raw:
        """Return channel indices (H, W) of a raster of class values; UNKNOWN stays."""
        present, at = np.unique(values, return_inverse=True)
        channel = self._channels([str(v) for v in present if v != UNKNOWN], source=f"{source}: value")
        table = np.array([UNKNOWN if v == UNKNOWN else channel[str(v)] for v in present], np.int32)
        return table[at].reshape(values.shape)

    def reach_px(self, gsd_m: float) -> int:  # noqa: ARG002  # BuildingTarget needs it
        """Return 0: each raw label decides its own channel alone."""
        return 0

    def labels(self, raw: Raw, *, gsd_m: float) -> NDArray[np.uint8]:  # noqa: ARG002  # BuildingTarget needs it
        """Return channel indices (H, W), IGNORE where unknown; their pixels may be of any width."""
        return np.where(raw == UNKNOWN, IGNORE, raw).astype(np.uint8)

    def _channels(self, texts: Sequence[str], *, source: str) -> dict[str, int]:
        """Return the channel of every text; raises ConfigError for those that ``values`` does not name."""
        unknown = sorted(set(texts) - set(self.values))
        if unknown:
            raise ConfigError(f"{source} = {', '.join(unknown)}, which values do not name")
        return {text: self._channel(self.values[text]) for text in texts}

    def _channel(self, class_id: int | None) -> int:
        return UNKNOWN if class_id is None else [c.id for c in self.classes].index(class_id)


def _with_color(row: object) -> object:
    """Return a class with the colour that its ``#rrggbb`` means; everything else as it is."""
    if isinstance(row, dict) and isinstance(row.get("color"), str):
        return {**row, "color": parse_color(row["color"])}
    return row


def building_labels(ids: Raw, *, border_px: float) -> NDArray[np.uint8]:
    """Turn building numbers (0 = none) into background, interior and border; IGNORE where unknown.

    Border is each building's pixels within ``border_px`` of anything that is not that building, so walls between
    touching buildings are border on both sides.

    >>> building_labels(np.array([[0, 1, 1, 1, 2, 2, 2, 0]], np.int32), border_px=1).tolist()
    [[0, 2, 1, 2, 2, 1, 2, 0]]
    """
    reach = max(1, round(border_px))
    yy, xx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = yy**2 + xx**2 <= reach**2 + 0.5
    most = np.where(ids == UNKNOWN, np.iinfo(ids.dtype).max, ids)  # what is unknown makes no edge
    from scipy.ndimage import maximum_filter, minimum_filter

    edge = maximum_filter(ids, footprint=disk, mode="nearest") != minimum_filter(most, footprint=disk, mode="nearest")
    labels = np.where(ids == 0, BACKGROUND, np.where(edge, BORDER, INTERIOR))
    return np.where(ids == UNKNOWN, IGNORE, labels).astype(np.uint8)
