"""What labels become: a target makes raw numbers of classes, and turns those into channels at any resolution.

Raw labels are building numbers or channel indices. They may be sampled at another resolution by the nearest pixel;
borders, which have a width on the ground, are drawn afterwards. Files are read in labels.py.
"""

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from geoseg.errors import ConfigError
from geoseg.models.detecting import Detecting
from geoseg.models.grouping import Grouping
from geoseg.models.outputs import Channel, Output
from geoseg.models.spec import border_of
from geoseg.models.value import Value
from geoseg.training.label_spec import ClassValues, LabelLayer, as_texts
from geoseg.values.classes import BUILDING_CLASSES, ClassInfo, parse_color

IGNORE = 255  # channel index of what is unknown
UNKNOWN = -1  # the same among raw labels
BACKGROUND, INTERIOR, BORDER = 0, 1, 2
BUILDING_CHANNELS = (
    Channel(name="background", class_id=1),
    Channel(name="interior", class_id=2),
    Channel(name="border", class_id=2),
)
Raw = NDArray[np.int32]


class PlainTarget(Value):
    """What is said of all targets but those of things: classes alone."""

    @property
    def more(self) -> tuple[Output, ...]:
        """Groups of channels beside those of the classes."""
        return ()

    @property
    def grouping(self) -> Grouping | None:
        """How objects are made of these groups."""
        return None

    @property
    def detects_alone(self) -> bool:
        """Whether a detector learns it that answers nothing beside objects."""
        return False

    @property
    def detecting(self) -> Detecting | None:
        """How objects are made of what a detector lists."""
        return None

    @property
    def beside_count(self) -> int:
        """How many numbers of a pixel ``beside`` gives."""
        return sum(len(group.channels) for group in self.more)

    def beside(self, raw: Raw) -> NDArray[np.float32]:
        """Return what the channels of ``more`` shall say, (D, H, W), NaN where void."""
        return np.empty((0, *raw.shape), np.float32)


class BuildingTarget(PlainTarget):
    """Footprints as background / interior / border; p(building) = p(interior) + p(border)."""

    kind: Literal["buildings"] = "buildings"
    border_m: float = Field(0.5, gt=0, description="width of the border inside each footprint's edge")
    void_px: float = Field(0, ge=0, description="pixels around footprints that are void: they are drawn no better")

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

    @property
    def class_column(self) -> str | None:
        """No attribute is needed."""
        return None

    @property
    def default_class(self) -> int | None:
        """The class id of features that nothing is said of; values of rasters are their numbers then."""
        return BUILDING_CLASSES[1].id

    @property
    def elsewhere_raw(self) -> int:
        """The raw label of ground without a label."""
        return 0

    def meanings(self, layer: LabelLayer) -> dict[str, int | None]:
        """Return the class id, or None for void, that values of a layer mean; raises ConfigError."""
        return _meanings(layer.values, self.class_table, source=layer.file)

    def raw(self, ids: NDArray[np.int64], numbers: NDArray[np.int64]) -> Raw:
        """Return raw labels (N,) of class ids: the number of a building, else 0."""
        return np.where(ids == self.default_class, numbers, 0).astype(np.int32)

    def order(self, geometries: NDArray[np.object_]) -> NDArray[np.int64]:
        """Return the order of drawing: small buildings lie on top of those they stand on."""
        import shapely

        return np.argsort(-shapely.area(geometries))

    def reach_px(self, gsd_m: float) -> int:
        """Return from how many pixels away a raw label decides channels."""
        return max(_reach(self.border_m / gsd_m), round(self.void_px + 0.5))

    def labels(self, raw: Raw, *, gsd_m: float) -> NDArray[np.uint8]:
        """Return channel indices (H, W) of building numbers whose pixels are ``gsd_m`` wide."""
        labels = building_labels(raw, border_px=self.border_m / gsd_m)
        if self.void_px > 0:
            labels[(raw == 0) & _differs(raw, self.void_px + 0.5)] = IGNORE
        return labels


class ClassTarget(PlainTarget):
    """Labels with a class each; ground without a label is ignored, or is one of the classes."""

    kind: Literal["classes"] = "classes"
    column: str | None = Field(None, description="attribute of label polygons that holds the class; none for rasters")
    values: ClassValues = Field(
        default_factory=dict,
        description="attribute, pixel value or colour -> class id; null: void; none: ids, names",
    )
    classes: tuple[ClassInfo, ...] = Field((), description="none: those of the first label raster, with its palette")
    elsewhere: int | None = Field(None, description="class id of ground without a label; None ignores it")
    border_m: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description="class -> metres inside its objects that are border: it parts those that touch",
    )
    void_px: float = Field(0, ge=0, description="pixels on both sides of where classes meet that are void")

    _as_texts = field_validator("values", mode="before")(as_texts)

    @field_validator("classes", mode="before")
    @classmethod
    def _hex_colors(cls, classes: object) -> object:
        return [_with_color(row) for row in classes] if isinstance(classes, list | tuple) else classes

    @model_validator(mode="after")
    def _ids_exist(self) -> Self:
        ids, names = {c.id for c in self.classes}, {c.name for c in self.classes}
        stray = {*self.values.values(), self.elsewhere} - {None} - ids
        if stray and self.classes:
            raise ValueError(f"class ids {sorted(stray, key=str)} are not in classes")
        if beside := sorted(set(self.border_m) - names):
            raise ValueError(f"border_m of {', '.join(beside)}, which no class is called")
        return self

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The network's outputs: classes, then borders, which count towards the class of their objects."""
        by_name = {c.name: c.id for c in self.classes}
        plain = tuple(Channel(name=c.name, class_id=c.id) for c in self.classes)
        return (*plain, *(Channel(name=border_of(name), class_id=by_name[name]) for name in self.border_m))

    @property
    def class_table(self) -> tuple[ClassInfo, ...]:
        """The classes that the channels lead to."""
        return self.classes

    @property
    def polygon_class(self) -> str | None:
        """Name of the class that is drawn as polygons: the one whose objects have a border."""
        return next(iter(self.border_m)) if len(self.border_m) == 1 else None

    @property
    def regions(self) -> tuple[tuple[int, ...], ...]:
        """Channels whose summed probability a loss of regions judges: every class with its border, and borders."""
        n = len(self.classes)
        border = {name: n + i for i, name in enumerate(self.border_m)}
        whole = tuple((i, border[c.name]) if c.name in border else (i,) for i, c in enumerate(self.classes))
        return (*whole, *((channel,) for channel in border.values()))

    @property
    def border(self) -> int | None:
        """The channel of borders, where there is one."""
        return len(self.classes) if len(self.border_m) == 1 else None

    @property
    def class_column(self) -> str | None:
        """The attribute that holds the class."""
        return self.column

    @property
    def default_class(self) -> int | None:
        """None: the class of features has to be said."""
        return None

    @property
    def elsewhere_raw(self) -> int:
        """The raw label of ground without a label."""
        return UNKNOWN if self.elsewhere is None else [c.id for c in self.classes].index(self.elsewhere)

    def meanings(self, layer: LabelLayer) -> dict[str, int | None]:
        """Return the class id, or None for void, that values of a layer mean; raises ConfigError."""
        return _meanings(layer.values or self.values, self.classes, source=layer.file)

    @property
    def numbered(self) -> frozenset[str]:
        """Names of the classes whose objects are told apart."""
        return frozenset(self.border_m)

    def raw(self, ids: NDArray[np.int64], numbers: NDArray[np.int64]) -> Raw:
        """Return raw labels (N,) of class ids: channels, and of numbered classes a multiple by number more."""
        channel = {c.id: i for i, c in enumerate(self.classes)}
        bordered = {c.id for c in self.classes if c.name in self.numbered}
        plain = np.array([channel.get(int(i), UNKNOWN) for i in ids], np.int64)
        return (plain + np.where(np.isin(ids, list(bordered)), numbers * len(self.classes), 0)).astype(np.int32)

    def order(self, geometries: NDArray[np.object_]) -> NDArray[np.int64]:
        """Return the order of drawing: the file's."""
        return np.arange(len(geometries))

    def reach_px(self, gsd_m: float) -> int:
        """Return from how many pixels away a raw label decides channels."""
        widths = [_reach(width_m / gsd_m) for width_m in self.border_m.values()]
        return max(widths, default=0) + (round(self.void_px + 0.5) if self.void_px > 0 else 0)

    def labels(self, raw: Raw, *, gsd_m: float) -> NDArray[np.uint8]:
        """Return channel indices (H, W), IGNORE where unknown; their pixels are ``gsd_m`` wide."""
        plain = np.where(raw == UNKNOWN, IGNORE, raw % max(1, len(self.classes))).astype(np.uint8)
        labels = plain.copy()
        names = [c.name for c in self.classes]
        for i, (name, width_m) in enumerate(self.border_m.items()):
            edge = _differs(raw, (_reach(width_m / gsd_m) ** 2 + 0.5) ** 0.5)
            labels[(plain == names.index(name)) & edge] = len(names) + i
        if self.void_px > 0:
            known = np.where(raw == UNKNOWN, UNKNOWN, plain.astype(np.int32))
            labels[_differs(known, self.void_px + 0.5)] = IGNORE
        return labels


def _meanings(values: ClassValues | None, classes: tuple[ClassInfo, ...], *, source: str) -> dict[str, int | None]:
    """Return the class id of every value, by what ``values`` say, else of ids and names as they are."""
    ids = {c.id for c in classes}
    if not values:
        return {name: c.id for c in classes for name in (str(c.id), c.name)}
    stray = sorted({v for v in values.values() if v is not None} - ids)
    if stray:
        raise ConfigError(f"{source}: values lead to {', '.join(map(str, stray))}, which is the id of no class")
    return dict(values)


class NoTarget(ClassTarget):
    """No classes: only the outputs beside them are learnt, of scenes where any of their truth is known."""

    kind: Literal["quantities"] = "quantities"  # type: ignore[assignment]

    @property
    def channels(self) -> tuple[Channel, ...]:
        """What labels are counted as; no output."""
        return (Channel(name="known"),)

    def labels(self, raw: Raw, *, gsd_m: float) -> NDArray[np.uint8]:  # noqa: ARG002  # other targets need it
        """Return 0 where something is known, else IGNORE."""
        return np.where(raw == UNKNOWN, IGNORE, 0).astype(np.uint8)


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
    edge = _differs(ids, (_reach(border_px) ** 2 + 0.5) ** 0.5)
    labels = np.where(ids == 0, BACKGROUND, np.where(edge, BORDER, INTERIOR))
    return np.where(ids == UNKNOWN, IGNORE, labels).astype(np.uint8)


def _reach(border_px: float) -> int:
    return max(1, round(border_px))


def _differs(raw: Raw, radius_px: float) -> NDArray[np.bool_]:
    """Return the pixels (H, W) with another raw label within ``radius_px``; what is unknown differs from nothing."""
    from scipy.ndimage import maximum_filter, minimum_filter  # configs are read without it

    reach = int(radius_px)
    yy, xx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = yy**2 + xx**2 <= radius_px**2 + 1e-9
    most = np.where(raw == UNKNOWN, np.iinfo(raw.dtype).max, raw)
    return maximum_filter(raw, footprint=disk, mode="nearest") != minimum_filter(most, footprint=disk, mode="nearest")
