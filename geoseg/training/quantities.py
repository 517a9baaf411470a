"""Groups of channels beside the classes, or instead of them, and how they are learnt; truth.py reads their rasters."""

from typing import Self

from pydantic import Field, model_validator

from geoseg.models.outputs import Channel, Output
from geoseg.training.losses.terms import TERMS, Terms

USUAL = {"linear": "huber", "sigmoid": "bce"}


class LearntOutput(Output):
    """A group of channels and what it is learnt by; its truth is a raster under its name in every entry of the data."""

    channels: tuple[Channel, ...] = Field((), description="bands of its truth, in order; none: one of its own name")
    loss: Terms = Field(
        default_factory=dict, description="losses by name; none: huber of linear groups, bce of sigmoids"
    )
    weight: float = Field(1.0, gt=0, le=1e6, description="of its loss, beside 1 for the classes")

    @model_validator(mode="before")
    @classmethod
    def _one_channel(cls, said: object) -> object:
        if not isinstance(said, dict) or said.get("channels") or not isinstance(said.get("name"), str):
            return said
        return {**said, "channels": [{"name": said["name"]}]}

    @model_validator(mode="after")
    def _is_judged(self) -> Self:
        if self.activation not in USUAL:
            raise ValueError(f"{self.name} is {self.activation}; linear and sigmoid groups are learnt of rasters")
        for name, term in self.loss.items():
            if self.activation not in term.outputs:
                raise ValueError(f"loss: {name} judges no {self.activation} output such as {self.name}")
        return self

    @property
    def terms(self) -> Terms:
        """The losses by name."""
        usual = USUAL[self.activation]
        return self.loss or {usual: TERMS[usual]()}

    @property
    def plain(self) -> Output:
        """What the bundle says of it."""
        return Output(**{name: getattr(self, name) for name in Output.model_fields})
