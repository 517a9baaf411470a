"""Outputs: the channels of a network, in groups that are activated together, and what they mean.

Here is only what a bundle says of them. Backends activate them, and give 0..1 whatever the activation: what they are
blended as. Tasks make layers of them.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from geoseg.models.value import Name, Physical, Text, Value
from geoseg.values.layers import RASTERS

MOST_CHANNELS = 1024
Activation = Literal["softmax", "sigmoid", "signed", "linear"]
# What belongs to an activation alone; of each, a group of another activation says nothing.
OWN: Mapping[str, Activation] = {"range_px": "signed", "range": "linear", "unit": "linear", "bits": "sigmoid"}
OPTIONAL = ("unit", "bits")
VECTOR = ("row", "col")  # the channels of a signed group, in this order


class Channel(Value):
    """One channel of a network: p(class) is the sum over the channels of the softmax that count towards it."""

    name: Name
    class_id: int | None = Field(None, description="the class it counts towards; of a softmax alone")


class Output(Value):
    """Channels that are activated together, in the network's order.

    softmax: one class a pixel; sigmoid: classes that do not exclude each other, each by itself; signed: a vector of two
    sigmoids whose 0..1 stand for -range_px..range_px pixels of the network's grid; linear: a quantity, whose low..high
    of ``range`` stand for 0..1 and are its least and its largest value.
    """

    name: str = Field("classes", pattern=r"^[A-Za-z0-9][\w-]*$", max_length=100, description="of its raster, NAME.tif")
    activation: Activation = "softmax"
    channels: tuple[Channel, ...] = Field(min_length=1, max_length=MOST_CHANNELS)
    range_px: int | None = Field(None, gt=0, le=2**16, description="of a signed group")
    range: tuple[Physical, Physical] | None = Field(None, description="of a linear group: low, high")
    bits: Literal[16] | None = Field(None, description="of a sigmoid group: 16 for words instead of bytes")
    unit: Text = Field("", max_length=100, description="of a linear group, e.g. m")

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for key, activation in OWN.items():
            if getattr(self, key) and activation != self.activation:
                raise ValueError(f"{key} is said of {activation} groups, and {self.name} is {self.activation}")
            if key not in OPTIONAL and not getattr(self, key) and activation == self.activation:
                raise ValueError(f"{self.name} is {activation}: its {key} is missing")
        if self.activation == "signed" and tuple(c.name for c in self.channels) != VECTOR:
            raise ValueError(f"{self.name} is signed: its channels are {' and '.join(VECTOR)}, a vector")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range: {self.range[0]:g}, {self.range[1]:g}: give low before high")
        if len({c.name for c in self.channels}) < len(self.channels):
            raise ValueError(f"the channels of {self.name} have one name twice")
        if any((c.class_id is not None) != (self.activation == "softmax") for c in self.channels):
            raise ValueError(f"{self.name}: class_id is said of every channel of a softmax, and of no other")
        if self.activation != "softmax" and self.name in RASTERS:
            raise ValueError(f"name {self.name}: geoseg writes a raster of that name itself; take another")
        return self


def of_schema_2(content: Any) -> Any:
    """Return a bundle's description with its channels as one softmax, where it is of schema 1 or says none.

    >>> of_schema_2({"schema_version": 1, "channels": []})
    {'schema_version': 2, 'outputs': [{'channels': []}]}
    """
    if not isinstance(content, dict) or "channels" not in content or content.get("schema_version", 1) != 1:
        return content
    kept = {k: v for k, v in content.items() if k != "channels"}
    return {**kept, "schema_version": 2, "outputs": [{"channels": content["channels"]}]}
