"""What the training of a promptable network is told. Frozen, and strict about unknown keys."""

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from geoseg.disk.places import located
from geoseg.models.value import Value
from geoseg.options.parse import PERCENTILES
from geoseg.options.prompt import PromptOptions
from geoseg.training.data_spec import LabelledScene, Split

UNUSED = ("truth", "ignore", "area", "gsd_m")  # keys of data that mean nothing here


class PromptSchedule(Value):
    """How long and how fast."""

    epochs: int = Field(8, gt=0, description="at most")
    steps_per_epoch: int = Field(30, gt=0, description="steps between two validations")
    prompts: int = Field(4, gt=0, description="objects of one window that a step learns of")
    learning_rate: float = Field(1e-4, gt=0, description="at its peak")
    weight_decay: float = Field(1e-2, ge=0, description="of AdamW")
    clip: float = Field(1.0, gt=0, description="largest norm of a step's gradients")
    patience: int = Field(4, gt=0, description="epochs without a better validation score after which it stops")
    seed: int = Field(0, description="of windows and prompts: a run of the same seed is the same")


class PromptTrainSpec(Value):
    """One training of a promptable network."""

    name: str
    data: tuple[LabelledScene, ...] = Field(min_length=1)
    start_from: str = Field(description="the bundle of a promptable model, whose mask decoder learns")
    split: Split | None = Field(None, description="strips of every scene for validation and test")
    gsd_m: float | None = Field(None, gt=0, description="resolution at which scenes are read; null: the model's")
    stretch: tuple[float, float] | None = Field(None, description="percentiles of a scene that become 0 and 255")
    jitter: float = Field(0.1, ge=0, le=0.5, description="how far corners of boxes move, as a share of the side")
    least_px: int = Field(16, gt=0, description="pixels of an object at the least; smaller ones are left out")
    validation_objects: int = Field(100, gt=0, description="objects of each scene that are asked for, at most")
    embeddings: str | None = Field(None, description="folder of the embeddings; null: in the user's cache folder")
    schedule: PromptSchedule = PromptSchedule()
    ground: str = Field("", description="what ground it is trained on, in words")
    licence: str = Field("", description="of the weights; empty: that of the model it starts from")
    attribution: str = ""

    @field_validator("stretch", mode="before")
    @classmethod
    def _of_text(cls, stretch: object) -> object:
        return PERCENTILES.read(stretch) if isinstance(stretch, str) else stretch

    @model_validator(mode="after")
    def _has_roles(self) -> Self:
        for item in self.data:
            if not item.labels:
                raise ValueError(f"data: {item.name} has no labels")
            if said := [key for key in UNUSED if getattr(item, key)]:
                raise ValueError(f"data: {item.name}: {said[0]} means nothing where prompts are learnt; leave it out")
            if item.use == "split" and (item.split or self.split) is None:
                raise ValueError(f"split is missing, and {item.name} says neither use nor a split of its own")
        uses = {item.use for item in self.data}
        if not ({"train", "split"} & uses and {"validation", "split"} & uses):
            raise ValueError("data: scenes to train on and to validate on are needed; say use, or split")
        return self

    @property
    def asking(self) -> PromptOptions:
        """How windows are read and embedded."""
        return PromptOptions(gsd_m=self.gsd_m, stretch=self.stretch, embeddings=self.embeddings)

    def resolve(self, folder: Path) -> Self:
        """Return the same with all data paths under ``folder``."""
        data = tuple(item.under(folder) for item in self.data)
        embeddings = self.embeddings and located(self.embeddings, folder)
        return self.model_copy(update={"data": data, "embeddings": embeddings})
