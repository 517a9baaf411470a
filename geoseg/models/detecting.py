"""Detecting: what a model of objects says of them, and by what rules those of its windows become those of a scene.

Here is only what a bundle says; ``geoseg.objects`` merges. Distances are pixels of the network's grid.
"""

from typing import Annotated

from pydantic import Field

from geoseg.models.value import Name, Value

Share = Annotated[int, Field(ge=1, le=100)]  # in hundredths


class DetectRules(Value):
    """When a detection counts, and when two are one object."""

    least_score: float = Field(0.5, ge=0, le=1, description="least score of an object")
    least_mask: float = Field(0.5, gt=0, lt=1, description="probability from which a pixel is of an object")
    per_window: int = Field(100, ge=1, le=2000, description="most objects that the network gives of a window")
    edge_px: int = Field(6, ge=1, le=256, description="whole objects stay so far from their window's edges")
    same: Share = Field(50, description="two are one where they share so much of their union, in hundredths")
    inside: Share = Field(75, description="or so much of the smaller")
    join: Share = Field(50, description="pieces are one where they face each other along so much of a cell's border")
    min_px: int = Field(24, ge=1, description="smaller objects are left out")


class Detecting(DetectRules):
    """How objects are made of what windows detect."""

    things: tuple[Name, ...] = Field(min_length=1, description="classes of the objects, in the network's order")

    def faults(self, classes: set[str], *, alone: bool) -> list[str]:
        """Return why a network of these classes cannot detect so; alone: it answers nothing beside objects."""
        stray, rest = [name for name in self.things if name not in classes], sorted(classes - {*self.things})
        return [
            *([f"objects.things: {', '.join(stray)}: no such class"] if stray else []),
            *(
                [f"classes {', '.join(rest)}: one class at most is of ground without an object"]
                if alone and rest[1:]
                else []
            ),
        ]
