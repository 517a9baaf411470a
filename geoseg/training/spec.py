"""What a training run is told: data, target, split, augmentation, schedule. Frozen, and strict about unknown keys."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from geoseg.models.spec import Architecture, Channel, ModelSpec, Normalisation, Value
from geoseg.scenes.labelled import class_text
from geoseg.untrusted.validation import in_words
from geoseg.values.bands import BandSet
from geoseg.values.classes import BUILDING_CLASSES, ClassInfo, parse_color

BUILDING_CHANNELS = (
    Channel(name="background", class_id=1),
    Channel(name="interior", class_id=2),
    Channel(name="border", class_id=2),
)
Side = Literal["north", "south", "east", "west"]


class LabelledScene(Value):
    """A scene with its labels; paths are relative to the data folder."""

    scene: str | tuple[str, ...]
    labels: str = Field(description="vector file whose polygons are the truth")
    layer: str | None = None
    ignore: str | None = Field(None, description="vector file of ground that no label covers: it counts for nothing")
    bands: str | None = None
    sensor: str | None = None
    nodata: float | None = None


class BuildingTarget(Value):
    """Footprints as background / interior / border; p(building) = p(interior) + p(border)."""

    kind: Literal["buildings"] = "buildings"
    border_m: float = Field(0.5, gt=0, description="width of the border inside each footprint's edge")


class ClassTarget(Value):
    """Polygons with a class attribute; ground without a polygon is ignored, or is one of the classes."""

    kind: Literal["classes"] = "classes"
    column: str
    values: dict[str, int] = Field(description="attribute value -> class id")
    classes: tuple[ClassInfo, ...]
    elsewhere: int | None = Field(None, description="class id of ground without a polygon; None ignores it")

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
        named = {*self.values.values()} if self.elsewhere is None else {*self.values.values(), self.elsewhere}
        stray = named - {c.id for c in self.classes}
        if stray:
            raise ValueError(f"class ids {sorted(stray)} are not in classes")
        return self


def _with_color(row: object) -> object:
    """Return a class with the colour that its ``#rrggbb`` means; everything else as it is."""
    if isinstance(row, dict) and isinstance(row.get("color"), str):
        return {**row, "color": parse_color(row["color"])}
    return row


class Cut(Value):
    """A strip along one side of every scene, as a share of its extent."""

    side: Side
    share: float = Field(gt=0, lt=1)


class Split(Value):
    """Where to train, validate and test: strips, and a buffer on the training side that belongs to nobody."""

    test: Cut | None = None
    validation: Cut
    buffer_px: int = Field(128, ge=0, description="scene pixels")


class Augmentation(Value):
    """Random changes of a training window; the dihedral group D4 is always in."""

    scale: tuple[float, float] = (0.7, 1.4)
    rotate: bool = True
    gain: float = 0.25
    band_gain: float = 0.1
    offset: float = 0.1
    gamma: tuple[float, float] = (0.7, 1.4)
    noise: float = 0.05
    blur: float = Field(0.2, ge=0, le=1, description="share of windows that are blurred")
    erase: float = Field(0.3, ge=0, le=1, description="share of windows in which a rectangle becomes nodata")

    @field_validator("scale", "gamma")
    @classmethod
    def _rising(cls, span: tuple[float, float]) -> tuple[float, float]:
        if not 0 < span[0] <= span[1]:
            raise ValueError(f"{span[0]:g}, {span[1]:g} is no range of positive factors, low before high")
        return span


class Schedule(Value):
    """How long and how fast."""

    epochs: int = Field(30, gt=0)
    steps_per_epoch: int = Field(80, gt=0)
    batch: int = Field(8, gt=0)
    crop_px: int = Field(256, gt=0, multiple_of=32)
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = 1e-2
    ema: float = Field(0.995, ge=0, lt=1)
    patience: int = Field(10, gt=0, description="epochs without a better validation score after which it stops")
    border_weight: float = Field(2.0, ge=1, description="weight of pixels at and near borders in the cross entropy")
    seed: int = 0


class TrainSpec(Value):
    """One training run."""

    name: str
    data: tuple[LabelledScene, ...] = Field(min_length=1)
    target: BuildingTarget | ClassTarget = Field(discriminator="kind")
    bands: str = Field(description="the model's input bands, e.g. red,green,blue")
    sensor: str | None = None
    gsd_m: float | None = Field(None, gt=0)
    arch: Architecture = Architecture(name="compact-unet", options={"widths": [24, 48, 96, 160, 240]})
    start_from: str | None = Field(None, description="a bundle whose weights to start from; its input layer is adapted")
    split: Split
    augmentation: Augmentation = Augmentation()
    schedule: Schedule = Schedule()
    window_px: int = 512
    margin_px: int = 64
    ramp_px: int = 64
    tta: Literal["none", "rotate", "d4"] = Field("none", description="views of a window that runs average by default")
    licence: str = ""
    attribution: str = ""

    @model_validator(mode="after")
    def _makes_a_model(self) -> Self:
        """Refuse before the first epoch what the bundle would refuse after it."""
        bands = len(BandSet.parse(self.bands, sensor=self.sensor).bands)
        try:
            self.of_model(Normalisation(mean=(0.0,) * bands, std=(1.0,) * bands))
        except ValidationError as error:
            raise ValueError(in_words(ModelSpec, error)) from error
        return self

    def of_model(self, normalisation: Normalisation) -> ModelSpec:
        """Return what the bundle will say of its network; raises ValidationError."""
        buildings = isinstance(self.target, BuildingTarget)
        classes = BUILDING_CLASSES if isinstance(self.target, BuildingTarget) else self.target.classes
        return ModelSpec(
            name=self.name,
            arch=self.arch,
            bands=BandSet.parse(self.bands, sensor=self.sensor).bands,
            gsd_m=self.gsd_m,
            normalisation=normalisation,
            window_px=self.window_px,
            margin_px=self.margin_px,
            ramp_px=self.ramp_px,
            tta=self.tta,
            channels=BUILDING_CHANNELS if buildings else tuple(Channel(name=c.name, class_id=c.id) for c in classes),
            classes=classes,
            polygon_class="building" if buildings else None,
            licence=self.licence,
            attribution=self.attribution,
        )

    def resolve(self, folder: Path) -> "TrainSpec":
        """Return the same run with all data paths under ``folder``."""
        data = tuple(
            d.model_copy(
                update={
                    "scene": str(folder / d.scene)
                    if isinstance(d.scene, str)
                    else tuple(str(folder / s) for s in d.scene),
                    "labels": str(folder / d.labels),
                    "ignore": None if d.ignore is None else str(folder / d.ignore),
                }
            )
            for d in self.data
        )
        return self.model_copy(update={"data": data})
