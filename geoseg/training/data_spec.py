"""What is learnt from: scenes with their labels, what each is for, and the strips that part them."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from geoseg.disk.places import located
from geoseg.models.spec import Range
from geoseg.models.value import Value
from geoseg.training.label_spec import LabelLayer

Side = Literal["north", "south", "east", "west"]
PATHS = {"scene", "labels", "ignore", "area", "truth"}  # keys of data that a bundle does not repeat


class Cut(Value):
    """A strip along one side of every scene, as a share of its extent."""

    side: Side
    share: float = Field(gt=0, lt=1)


class Split(Value):
    """Where to train, validate and test: strips, and a buffer on the training side that belongs to nobody."""

    by: Literal["strips"] = "strips"
    test: Cut | None = None
    validation: Cut
    buffer_px: int = Field(128, ge=0, description="scene pixels")


class BlockSplit(Value):
    """Where to train, validate and test: square blocks of ground, or whole groups of scenes, by a hash."""

    by: Literal["blocks", "scene", "site", "date", "sensor"]
    validation: float = Field(0.15, gt=0, lt=1, description="share of the ground")
    test: float = Field(0.15, ge=0, lt=1, description="share of the ground; it is never read while training")
    side_m: float | None = Field(None, gt=0, description="of a block; null: of windows and of what they show")
    buffer_m: float | None = Field(None, ge=0, description="null: half a window and its margin")
    folds: int | None = Field(None, ge=2, description="k parts, one of which validates; instead of validation")
    fold: int = Field(0, ge=0, description="the number of that part, from 0")
    seed: int = 0
    keep: str | None = Field(None, description="split.gpkg of an earlier training, whose blocks keep their roles")
    scattered: float = Field(0.05, ge=0, lt=0.5, description="share of training cells that only score: as random ones")

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.folds is None and self.validation + self.test >= 1:
            raise ValueError("validation and test leave no ground to train on")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold}: folds are 0 to {self.folds - 1}")
        return self


class LabelledScene(Value):
    """A scene with its labels; paths are relative to the data folder."""

    scene: str | tuple[str, ...]
    labels: str | tuple[LabelLayer, ...] = Field((), description="polygons that are the truth, or a raster; or layers")
    truth: dict[str, str] = Field(default_factory=dict, description="rasters of numbers, by the name of their output")
    layer: str | None = None
    ignore: str | None = Field(None, description="vector file of ground that no label covers: it counts for nothing")
    area: str | None = Field(None, description="vector file of ground that is labelled: nothing else counts")
    bands: str | None = None
    sensor: str | None = None
    nodata: float | None = None
    site: str | None = Field(None, description="place it is of: windows are drawn by site; null: one of its own")
    date: str | None = Field(None, description="when it was taken, where splits go by date")
    pixel_m: float | None = Field(None, gt=0, description="true side of a pixel, where the file has no CRS")
    use: Literal["split", "train", "validation", "test"] = Field(
        "split", description="what the whole scene is for; split parts it"
    )
    split: Split | None = Field(None, description="strips of this scene, instead of the run's")
    share: float = Field(1.0, gt=0, description="weight of the scene among those that windows are drawn from")
    gsd_m: Range | None = Field(None, description="resolutions of its windows, instead of augmentation.gsd_m")
    shippable: bool = Field(False, description="windows of it may go with the bundle, for exports to be measured on")

    @field_validator("labels", mode="before")
    @classmethod
    def _files_as_layers(cls, labels: object) -> object:
        if not isinstance(labels, list | tuple):
            return labels
        return [{"file": one} if isinstance(one, str) else one for one in labels]

    @property
    def scenes(self) -> tuple[str, ...]:
        """The files of the scene."""
        return (self.scene,) if isinstance(self.scene, str) else self.scene

    @property
    def name(self) -> str:
        """The scene in messages."""
        return self.scenes[0]

    @property
    def layers(self) -> tuple[LabelLayer, ...]:
        """The layers of labels, the last one on top."""
        return (LabelLayer(file=self.labels, layer=self.layer),) if isinstance(self.labels, str) else self.labels

    @property
    def label_files(self) -> tuple[str, ...]:
        """All files that say what is known of the ground."""
        beside = (f for f in (self.ignore, self.area) if f is not None)
        return (*(layer.file for layer in self.layers), *beside, *self.truth.values())

    def under(self, folder: Path) -> "LabelledScene":
        """Return the same with paths under ``folder``."""
        scenes = tuple(located(s, folder) for s in self.scenes)
        layers = tuple(layer.model_copy(update={"file": str(folder / layer.file)}) for layer in self.layers)
        beside = {k: str(folder / v) for k in ("ignore", "area") if (v := getattr(self, k)) is not None}
        return self.model_copy(
            update={
                "scene": scenes[0] if isinstance(self.scene, str) else scenes,
                "labels": layers[0].file if isinstance(self.labels, str) else layers,
                "truth": {name: str(folder / file) for name, file in self.truth.items()},
                **beside,
            }
        )
